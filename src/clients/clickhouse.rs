//! ClickHouse for reading, over its HTTP interface: queries that cannot write, run long or crowd out others.
//!
//! One rule: every query goes through [`Clickhouse::all`] or [`Clickhouse::one`], which own the deadline.

use std::net::SocketAddr;
use std::time::Duration;

use ::clickhouse::query::Query;
use ::clickhouse::{Client, Compression, RowOwned, RowRead, error::Error};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioExecutor;
use reqwest::Url;

use super::failure::{chain, transport, within};
use super::http::{base, take_userinfo};
use super::reach::{Reach, name};
use super::target::{ClickhouseTarget, TlsOptions};
use crate::domain::{Kind, Trouble};

/// Deadline of one query on our side; the server's own is 5 s.
const ANSWER: Duration = Duration::from_secs(6);

/// How often the first question is asked again where the connection ended before it was written: with TLS 1.3 a server
/// that wants another certificate says so after the handshake, and may be heard only by who asks once more.
const AGAIN: u32 = 4;

/// What every query is sent with (`readonly=2`: reads only, settings may still be set).
const SETTINGS: [(&str, &str); 6] = [
    ("readonly", "2"),
    ("max_execution_time", "5"),
    ("max_threads", "2"),
    ("priority", "10"),
    ("log_comment", "cutover"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
];

/// A client and what it was pointed at.
#[derive(Clone)]
pub struct Clickhouse {
    pub(super) client: Client,
    /// "ClickHouse default@http://ch:8123/default".
    pub object: String,
    /// The database that the queries read.
    pub database: String,
    /// Whether this user may send settings.
    pub(super) settings: bool,
}

impl std::fmt::Debug for Clickhouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clickhouse").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Clickhouse {
    /// A query; bind its parameters and pass it to [`Self::all`] or [`Self::one`].
    pub fn query(&self, sql: &str) -> Query {
        self.client.query(sql)
    }

    /// All rows of a query.
    pub async fn all<T: RowOwned + RowRead>(&self, query: Query) -> Result<Vec<T>, Trouble> {
        within(ANSWER, &self.object, "query", async {
            query.fetch_all::<T>().await.map_err(|e| trouble(&self.object, &e))
        })
        .await
    }

    /// The only row of a query.
    pub async fn one<T: RowOwned + RowRead>(&self, query: Query) -> Result<T, Trouble> {
        within(ANSWER, &self.object, "query", async {
            query.fetch_one::<T>().await.map_err(|e| trouble(&self.object, &e))
        })
        .await
    }
}

/// A client without limits of ours, and the names of what it reaches.
pub(super) async fn build(reach: &Reach, target: &ClickhouseTarget) -> Result<Clickhouse, Trouble> {
    let database = target.database.clone().unwrap_or_else(|| "default".into());
    let object = format!("ClickHouse {}/{database}", name(&target.address));
    let (mut url, local) = base(reach, &target.address, &target.tls, &object).await?;
    let in_url = take_userinfo(&mut url);
    let mut client = http_client(&url, local, &target.tls, &object)?
        .with_url(dialled(&url, local, &target.tls))
        .with_database(&database);
    if !target.compression {
        client = client.with_compression(Compression::None);
    }
    let user = target.user.clone().or_else(|| in_url.as_ref().map(|(user, _)| user.clone()));
    if let Some(user) = user.filter(|u| !u.is_empty()) {
        client = client.with_user(user);
    }
    if let Some(password) = target.password.clone().or_else(|| in_url.and_then(|(_, password)| password)) {
        client = client.with_password(password.expose());
    }
    Ok(Clickhouse { client, object, database, settings: true })
}

/// Connects and asks one question. A user whose profile is `readonly=1` may not send settings: for that one
/// they are left out, and the profile forbids writes.
pub async fn connect(reach: &Reach, target: &ClickhouseTarget) -> Result<Clickhouse, Trouble> {
    let free = build(reach, target).await?;
    let mut with_limits = free.clone();
    for (setting, value) in SETTINGS {
        with_limits.client = with_limits.client.with_setting(setting, value);
    }
    let mut asked = with_limits.one::<u8>(with_limits.query("SELECT toUInt8(1)")).await;
    for _ in 0..AGAIN {
        if !matches!(&asked, Err(trouble) if trouble.detail.contains("connection was not ready")) {
            break;
        }
        asked = with_limits.one::<u8>(with_limits.query("SELECT toUInt8(1)")).await;
    }
    match asked {
        Ok(_) => Ok(with_limits),
        Err(trouble) if trouble.detail.contains("Code: 164") => Ok(Clickhouse { settings: false, ..free }),
        Err(trouble) => Err(reach.explain(&target.address, trouble).await),
    }
}

/// The URL to dial: a port-forward without TLS is dialled by its address, since the name cannot be resolved.
fn dialled(url: &Url, local: Option<SocketAddr>, tls: &TlsOptions) -> String {
    match local {
        Some(local) if tls.enabled != Some(true) => format!("http://{local}"),
        // With TLS the connector is told the address; the name stays for the certificate.
        _ => url.as_str().trim_end_matches('/').to_owned(),
    }
}

fn http_client(
    url: &Url,
    local: Option<SocketAddr>,
    tls: &TlsOptions,
    object: &str,
) -> Result<Client, Trouble> {
    let config = super::tls::config(tls, super::http::may_speak_tls(url))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(super::http::CONNECT));
    tcp.set_keepalive(Some(Duration::from_secs(30)));
    macro_rules! over {
        ($connector:expr) => {
            Client::with_http_client(
                hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                    .pool_idle_timeout(Duration::from_secs(2))
                    .build(
                        hyper_rustls::HttpsConnectorBuilder::new()
                            .with_tls_config(config)
                            .https_or_http()
                            .enable_http1()
                            .wrap_connector($connector),
                    ),
            )
        };
    }
    if let (Some(local), Some(true)) = (local, tls.enabled) {
        return Ok(over!(Fixed { tcp, local }));
    }
    Ok(match super::http::proxy(url) {
        Some(by) if by.uri().scheme_str().is_some_and(|s| s.starts_with("socks5")) => {
            over!(SocksV5::new(by.uri().clone(), tcp).local_dns(by.uri().scheme_str() == Some("socks5")))
        }
        Some(by) if by.uri().scheme_str() == Some("http") => {
            let tunnel = Tunnel::new(by.uri().clone(), tcp);
            over!(match by.basic_auth() {
                Some(auth) => tunnel.with_auth(auth.clone()),
                None => tunnel,
            })
        }
        Some(by) => {
            let tried = format!("proxy {} cannot be used", by.uri());
            return Err(Trouble::new(Kind::NotConfigured, object, tried)
                .remedy("name an http:// or socks5:// proxy, or add the host to NO_PROXY"));
        }
        None => over!(tcp),
    })
}

/// Connects to one address, whatever the URL's host.
#[derive(Clone)]
struct Fixed {
    tcp: HttpConnector,
    local: SocketAddr,
}

impl tower_service::Service<http::Uri> for Fixed {
    type Response = <HttpConnector as tower_service::Service<http::Uri>>::Response;
    type Error = <HttpConnector as tower_service::Service<http::Uri>>::Error;
    type Future = <HttpConnector as tower_service::Service<http::Uri>>::Future;

    fn poll_ready(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        tower_service::Service::poll_ready(&mut self.tcp, cx)
    }

    fn call(&mut self, original: http::Uri) -> Self::Future {
        let to = format!("http://{}", self.local).parse().unwrap_or(original);
        tower_service::Service::call(&mut self.tcp, to)
    }
}

/// Exception codes an operator can act on: (code, kind, next step). ClickHouse, src/Common/ErrorCodes.cpp.
const CODES: [(u32, Kind, &str); 16] = [
    (516, Kind::Unauthorized, "the user or password is wrong"),
    (193, Kind::Unauthorized, "the password is wrong"),
    (192, Kind::Unauthorized, "there is no such user"),
    (81, Kind::Missing, "there is no such database: check CLICKHOUSE_DB"),
    (60, Kind::Missing, "the table is not there: has v3's web container run its ClickHouse migrations?"),
    (47, Kind::Missing, "a column is not there: this is another version of Langfuse than v3"),
    (497, Kind::Forbidden, "grant this user SELECT on the database and on system.parts"),
    (164, Kind::Refused, "this user may only read, on purpose"),
    (159, Kind::Timeout, "the query ran into a limit of time (a poll's is 5 s); it is tried again"),
    (160, Kind::Timeout, "the server thinks the query would be too slow; it is tried again"),
    (202, Kind::Throttled(None), "too many queries run at once; wait"),
    (241, Kind::Refused, "the query needs more memory than it may have: see max_memory_usage of this user"),
    (
        243,
        Kind::Refused,
        "a disk of ClickHouse is full: make room; an insert that was refused is tried again",
    ),
    (252, Kind::Throttled(None), "ClickHouse merges more slowly than it is written to; wait"),
    (242, Kind::Refused, "the table is read-only: look at Keeper/ZooKeeper and system.replicas"),
    (139, Kind::Refused, "no Keeper is configured: CLICKHOUSE_CLUSTER_ENABLED must be false for one node"),
];

/// The [`Trouble`] of an error of the clickhouse crate.
pub fn trouble(object: &str, error: &Error) -> Trouble {
    match error {
        Error::BadResponse(text) => from_exception(object, text),
        Error::Network(e) => transport(object, e.as_ref()),
        Error::TimedOut => Trouble::new(Kind::Timeout, object, "no answer"),
        Error::RowNotFound => Trouble::new(Kind::Missing, object, "no row"),
        Error::SchemaMismatch(text) => Trouble::new(Kind::Unexpected, object, text)
            .remedy("this version of ClickHouse answers with other types than the query asked for"),
        other => Trouble::new(Kind::Unexpected, object, chain(other))
            .remedy("check that the port is ClickHouse's HTTP interface (8123), not the native one (9000)"),
    }
}

fn from_exception(object: &str, text: &str) -> Trouble {
    let code = text
        .find("Code: ")
        .map(|at| text[at + 6..].chars().take_while(char::is_ascii_digit).collect::<String>())
        .and_then(|digits| digits.parse::<u32>().ok());
    let row = CODES.iter().find(|(known, ..)| Some(*known) == code);
    let short: String = text.chars().take(300).collect();
    if code == Some(241) && text.contains("(total)") {
        // What all queries and merges of the server hold together: another moment has more.
        return Trouble::new(Kind::Throttled(None), object, short).remedy(
            "queries and merges hold all memory the server may have (max_server_memory_usage); wait",
        );
    }
    match row {
        Some((_, kind, remedy)) => Trouble::new(*kind, object, short).remedy(*remedy),
        None if code.is_some() => Trouble::new(Kind::Refused, object, short),
        None => Trouble::new(Kind::Unexpected, object, short)
            .remedy("check that the address is ClickHouse's HTTP interface (port 8123)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_by_code() {
        let t = from_exception("ch", "Code: 516. DB::Exception: default: Authentication failed");
        assert_eq!(t.kind, Kind::Unauthorized);
        assert_eq!(from_exception("ch", "Code: 60. DB::Exception: Unknown table").kind, Kind::Missing);
        assert_eq!(from_exception("ch", "<html>").kind, Kind::Unexpected);
        // A query that is too large stays so; a server that is full for now does not (both as ClickHouse words them).
        let own =
            "Code: 241. DB::Exception: Query memory limit exceeded: would use 10.01 MiB, maximum: 10.00 MiB";
        assert_eq!(from_exception("ch", own).kind, Kind::Refused);
        for all in ["(total) memory limit exceeded: would use", "Memory limit (total) exceeded: would use"] {
            let text = format!("Code: 241. DB::Exception: {all} 702.28 MiB, maximum: 700.00 MiB");
            assert_eq!(from_exception("ch", &text).kind, Kind::Throttled(None));
        }
    }
}
