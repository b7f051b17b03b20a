//! Redis or Valkey for reading: one connection, our timeouts, no repetition by the library.
//!
//! One rule: only commands that read are sent from here on; nothing enumerates with KEYS.

use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates,
};

use super::failure::{chain, transport, within};
use super::reach::{Reach, name};
use super::target::{Address, RedisTarget};
use crate::domain::{Kind, Trouble};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(3);
/// Until an answer.
const ANSWER: Duration = Duration::from_secs(3);

/// A connection and what it was pointed at.
#[derive(Clone)]
pub struct Redis {
    manager: ConnectionManager,
    /// `Redis redis://10.0.0.7:6379`.
    pub object: String,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Redis {
    /// One command.
    pub async fn ask<T: FromRedisValue>(&self, command: &::redis::Cmd) -> Result<T, Trouble> {
        let mut manager = self.manager.clone();
        within(ANSWER, &self.object, "ask", async {
            command.query_async(&mut manager).await.map_err(|e| trouble(&self.object, &e))
        })
        .await
    }

    /// Several commands in one round trip.
    pub async fn pipe<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Trouble> {
        let mut manager = self.manager.clone();
        within(ANSWER, &self.object, "ask", async {
            pipeline.query_async(&mut manager).await.map_err(|e| trouble(&self.object, &e))
        })
        .await
    }
}

/// Connects, with authentication.
pub async fn connect(reach: &Reach, target: &RedisTarget) -> Result<Redis, Trouble> {
    super::tls::install_provider();
    let object = format!("Redis {}", name(&target.address));
    let client = client(reach, target, &object).await?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(ANSWER))
        .set_number_of_retries(0);
    let connected = within(CONNECT + ANSWER, &object, "connect", async {
        client.get_connection_manager_with_config(config).await.map_err(|e| trouble(&object, &e))
    })
    .await;
    match connected {
        Ok(manager) => Ok(Redis { manager, object }),
        Err(trouble) => Err(reach.explain(&target.address, trouble).await),
    }
}

async fn client(reach: &Reach, target: &RedisTarget, object: &str) -> Result<Client, Trouble> {
    let unusable = |e: &RedisError| {
        Trouble::new(Kind::NotConfigured, object, format!("the URL cannot be used: {}", chain(e)))
            .remedy("write it as redis://user:password@host:6379/0, or rediss:// for TLS")
    };
    let info: ConnectionInfo = match (&target.address, reach.local(&target.address).await?) {
        (Address::Url(url), _) => url.expose().into_connection_info().map_err(|e| unusable(&e))?,
        (_, local) => {
            let port = local.map_or(6379, |l| l.port());
            ConnectionAddr::Tcp("127.0.0.1".into(), port).into_connection_info().map_err(|e| unusable(&e))?
        }
    };
    let settings = settings(target, info.redis_settings().clone());
    let mut through = matches!(target.address, Address::Service { .. });
    let mut addr = address(target, info.addr().clone());
    if !through
        && let ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } = &mut addr
        && let Some(local) = reach.proxied(host, *port).await?
    {
        (*host, *port) = (local.ip().to_string(), local.port());
        through = true;
    }
    let is_tls = matches!(addr, ConnectionAddr::TcpTls { .. });
    let info = info.set_redis_settings(settings).set_addr(addr);
    if !is_tls {
        return Client::open(info).map_err(|e| unusable(&e));
    }
    let client = Client::build_with_tls(info, certificates(target)?).map_err(|e| unusable(&e))?;
    if !through {
        return Ok(client);
    }
    // Through a listener of ours the host name means nothing: the certificate is held against the CA alone.
    let info = client.get_connection_info().clone();
    let mut addr = info.addr().clone();
    addr.set_danger_accept_invalid_hostnames(true);
    Client::open(info.set_addr(addr)).map_err(|e| unusable(&e))
}

fn settings(target: &RedisTarget, mut settings: RedisConnectionInfo) -> RedisConnectionInfo {
    if let Some(user) = &target.user {
        settings = settings.set_username(user);
    }
    if let Some(password) = &target.password {
        settings = settings.set_password(password.expose());
    }
    if let Some(database) = target.database {
        settings = settings.set_db(database);
    }
    settings
}

/// TLS where it is asked for.
fn address(target: &RedisTarget, addr: ConnectionAddr) -> ConnectionAddr {
    let mut addr = match addr {
        ConnectionAddr::Tcp(host, port) if target.tls.enabled == Some(true) => {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        }
        other => other,
    };
    if let ConnectionAddr::TcpTls { insecure, .. } = &mut addr {
        *insecure = target.tls.insecure;
    }
    addr
}

fn certificates(target: &RedisTarget) -> Result<TlsCertificates, Trouble> {
    let read = |file: &std::path::Path| {
        std::fs::read(file).map_err(|e| {
            Trouble::new(Kind::Tls, file.display().to_string(), e.to_string())
                .remedy("name a readable PEM file")
        })
    };
    let client_tls = match (&target.tls.client_cert, &target.tls.client_key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert: target.tls.ca_file.as_deref().map(read).transpose()? })
}

/// The [`Trouble`] of an error of the redis crate.
pub fn trouble(object: &str, error: &RedisError) -> Trouble {
    let text = chain(error);
    let upper = error.code().unwrap_or_default();
    let (kind, remedy) = match error.kind() {
        _ if upper == "NOAUTH" || upper == "WRONGPASS" => (Kind::Unauthorized, "check the user and password"),
        ErrorKind::AuthenticationFailed => (Kind::Unauthorized, "check the user and password"),
        ErrorKind::Server(ServerErrorKind::NoPerm) => (
            Kind::Forbidden,
            "allow this ACL user +@read, +info, +scan, +config|get and +client|list on the queues' keys",
        ),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => {
            (Kind::Unreachable, "the server loads its data; wait")
        }
        ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot) => (
            Kind::Refused,
            "this is a node of a Redis Cluster: Langfuse needs REDIS_CLUSTER_ENABLED, or a node without cluster mode",
        ),
        ErrorKind::Server(ServerErrorKind::ResponseError) if text.contains("unknown command") => {
            (Kind::Refused, "the service does not offer this command")
        }
        ErrorKind::Server(_) | ErrorKind::Extension => (Kind::Refused, ""),
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
            (Kind::Unexpected, "check that the port is Redis and whether it speaks TLS (rediss://)")
        }
        _ if error.is_timeout() => (Kind::Timeout, super::failure::transport_remedy(Kind::Timeout)),
        _ => return transport(object, error),
    };
    Trouble::new(kind, object, text).remedy(remedy)
}
