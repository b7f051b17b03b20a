//! TLS against real servers: PostgreSQL and Redis with their own, ClickHouse behind a door that ends it.
//!
//! One rule: each door is tried without the authority, with it, and with and without our certificate where the
//! server wants one; what is refused says that it is TLS, and what to set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redis::cmd;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;

use super::*;
use crate::clients::reach::Reach;
use crate::clients::{clickhouse, postgres as pg, redis as rd};
use crate::domain::{Kind, Trouble};
use crate::rehearsal::stage::{find_program, free_port};

/// An authority, a server's certificate for loopback, and a client's whose name is `langfuse`.
struct Papers {
    dir: tempfile::TempDir,
}

impl Papers {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of ours");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        for (name, hosts) in [("server", vec!["localhost".into(), "127.0.0.1".into()]), ("langfuse", vec![])]
        {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(hosts).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let signed = params.signed_by(&key, &authority).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), signed.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// TLS with nothing but the system's roots.
    fn bare() -> TlsOptions {
        TlsOptions { enabled: Some(true), ..TlsOptions::default() }
    }

    fn with_ca(&self) -> TlsOptions {
        TlsOptions { ca_file: Some(self.path("ca.pem")), ..Self::bare() }
    }

    fn with_certificate(&self) -> TlsOptions {
        TlsOptions {
            client_cert: Some(self.path("langfuse.pem")),
            client_key: Some(self.path("langfuse.key")),
            ..self.with_ca()
        }
    }
}

/// What was refused is called TLS and has a next step that names a key.
#[track_caller]
fn is_tls<T: std::fmt::Debug>(answer: Result<T, Trouble>, step: &str) {
    let trouble = answer.unwrap_err();
    assert_eq!(trouble.kind, Kind::Tls, "{trouble}");
    assert!(trouble.remedy.contains(step), "{step:?} is not in: {trouble}");
}

async fn postgres_with(url: &str, tls: TlsOptions) -> Result<(), Trouble> {
    let target = PostgresTarget { tls, ..postgres(url) };
    let connected = pg::connect(&Reach::new(None), &target).await?;
    let asked = sqlx::query("SELECT 1").execute(&connected.pool).await;
    match asked {
        Ok(_) => Ok(()),
        Err(error) => Err(connected.trouble(&error).await),
    }
}

/// Runs statements as the superuser, over a connection that is there already.
async fn postgres_does(connection: &mut sqlx::PgConnection, statements: &[String]) {
    for statement in statements {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.clone())).execute(&mut *connection).await.unwrap();
    }
}

/// Copies a file into the server's folder, owned by the folder's owner and closed to others.
fn hand_over(from: &Path, folder: &Path) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let to = folder.join(from.file_name().unwrap());
    std::fs::copy(from, &to).unwrap();
    std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).unwrap();
    let owner = std::fs::metadata(folder).unwrap();
    chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_and_clickhouse() {
    let Some((stage, stores)) = started().await else {
        return;
    };
    let (at, papers) = (stores.endpoints(), Papers::new());
    postgresql(&at.postgres_url, &papers).await;
    behind_a_door(&at, &papers).await;
    stores.stop().await;
    stage.close().await.unwrap();
}

async fn postgresql(url: &str, papers: &Papers) {
    is_tls(postgres_with(url, papers.with_ca()).await, "tls.enabled = false");
    postgres_with(url, TlsOptions::default()).await.unwrap();

    let mut admin = crate::rehearsal::stores::postgres::connect(url).await.unwrap();
    let (folder,): (String,) = sqlx::query_as("SHOW data_directory").fetch_one(&mut admin).await.unwrap();
    let folder = PathBuf::from(folder);
    for file in ["ca.pem", "server.pem", "server.key"] {
        hand_over(&papers.path(file), &folder);
    }
    let on =
        ["ssl_ca_file = 'ca.pem'", "ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", "ssl = on"];
    let set = on.map(|setting| format!("ALTER SYSTEM SET {setting}"));
    postgres_does(&mut admin, &[&set[..], &["SELECT pg_reload_conf()".into()]].concat()).await;
    let start = tokio::time::Instant::now();
    while let Err(trouble) = postgres_with(url, papers.with_ca()).await {
        assert!(start.elapsed().as_secs() < 10, "{trouble}");
    }
    is_tls(postgres_with(url, Papers::bare()).await, "ca_file");
    postgres_with(url, TlsOptions { insecure: true, ..Papers::bare() }).await.unwrap();
    // As libpq does: `require` encrypts and asks nobody; with an authority it is asked.
    let require = format!("{url}?sslmode=require");
    postgres_with(&require, TlsOptions::default()).await.unwrap();
    let other = Papers::new();
    for url in [url, &require] {
        let of_another = TlsOptions { enabled: None, ..other.with_ca() };
        is_tls(postgres_with(url, of_another).await, "ca_file");
        postgres_with(url, TlsOptions { enabled: None, ..papers.with_ca() }).await.unwrap();
    }

    // The server wants our certificate.
    let rules = "local all all scram-sha-256\nhostssl all all all cert\n";
    std::fs::write(folder.join("pg_hba.conf"), rules).unwrap();
    postgres_does(&mut admin, &["SELECT pg_reload_conf()".into()]).await;
    let start = tokio::time::Instant::now();
    let refused = loop {
        match postgres_with(url, papers.with_ca()).await {
            Err(trouble) => break trouble,
            Ok(()) => assert!(start.elapsed().as_secs() < 10, "the rules were never read"),
        }
    };
    assert_eq!(refused.kind, Kind::Unauthorized, "{refused}");
    assert!(refused.remedy.contains("tls.client_cert"), "{refused}");
    postgres_with(url, papers.with_certificate()).await.unwrap();
    let plain = TlsOptions { enabled: Some(false), ..TlsOptions::default() };
    let refused = postgres_with(url, plain).await.unwrap_err();
    assert!(refused.kind == Kind::Unauthorized && refused.remedy.contains("TLS"), "{refused}");
}

/// A door before `behind` that ends TLS, and asks for a certificate of our authority when `wants` is set.
async fn door(papers: &Papers, behind: SocketAddr, wants: bool) -> u16 {
    let chain = vec![CertificateDer::from_pem_file(papers.path("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(papers.path("server.key")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(papers.path("ca.pem")).unwrap()).unwrap();
    let builder = rustls::ServerConfig::builder();
    let builder = if wants {
        let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                let Ok(mut outside) = TcpStream::connect(behind).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    });
    port
}

async fn clickhouse_with(at: &Endpoints, url: &str, tls: TlsOptions) -> Result<(), Trouble> {
    let target = ClickhouseTarget { address: Address::url(url), tls, ..targets(at).clickhouse.unwrap() };
    let connected = clickhouse::connect(&Reach::new(None), &target).await?;
    connected.one::<u8>(connected.query("SELECT toUInt8(1)")).await.map(drop)
}

async fn behind_a_door(at: &Endpoints, papers: &Papers) {
    let behind: SocketAddr = at.clickhouse_url.trim_start_matches("http://").parse().unwrap();
    let open = format!("https://localhost:{}", door(papers, behind, false).await);
    is_tls(clickhouse_with(at, &open, TlsOptions::default()).await, "ca_file");
    clickhouse_with(at, &open, TlsOptions { enabled: None, ..papers.with_ca() }).await.unwrap();
    clickhouse_with(at, &open, TlsOptions { insecure: true, ..TlsOptions::default() }).await.unwrap();
    let closed = format!("https://localhost:{}", door(papers, behind, true).await);
    is_tls(clickhouse_with(at, &closed, papers.with_ca()).await, "client_cert");
    clickhouse_with(at, &closed, papers.with_certificate()).await.unwrap();
    // TLS to a port that does not speak it, and the other way round.
    is_tls(
        clickhouse_with(at, &format!("https://{behind}"), papers.with_ca()).await,
        "not seem to speak TLS",
    );
    let plain = open.replace("https", "http");
    let trouble = clickhouse_with(at, &plain, TlsOptions::default()).await.unwrap_err();
    assert!(trouble.remedy.contains("whether it speaks TLS"), "{trouble}");
}

/// A Redis of its own with TLS; `None` where the program has none.
fn redis_server(papers: &Papers, wants: bool) -> Option<(tokio::process::Child, u16)> {
    let program = find_program(&["redis-server", "valkey-server"], &[])?;
    let port = free_port().unwrap();
    let mut command = tokio::process::Command::new(program);
    command.current_dir(papers.dir.path()).args([
        "--save",
        "",
        "--port",
        "0",
        "--tls-port",
        &port.to_string(),
    ]);
    command.args([
        "--tls-cert-file",
        "server.pem",
        "--tls-key-file",
        "server.key",
        "--tls-ca-cert-file",
        "ca.pem",
    ]);
    command.args(["--tls-auth-clients", if wants { "yes" } else { "no" }]);
    let child = command
        .kill_on_drop(true)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    Some((child.unwrap(), port))
}

async fn redis_with(url: &str, tls: TlsOptions) -> Result<(), Trouble> {
    let target = RedisTarget { tls, ..redis(url) };
    rd::connect(&Reach::new(None), &target).await?.ask::<String>(&cmd("PING")).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls() {
    crate::clients::tls::install_provider();
    let papers = Papers::new();
    for wants in [false, true] {
        let Some((mut child, port)) = redis_server(&papers, wants) else {
            eprintln!("SKIPPED: there is no redis-server");
            return;
        };
        let url = format!("rediss://127.0.0.1:{port}");
        let start = tokio::time::Instant::now();
        let all = papers.with_certificate();
        let up = loop {
            match redis_with(&url, all.clone()).await {
                Ok(()) => break true,
                Err(_) if child.try_wait().unwrap().is_some() => break false,
                Err(trouble) => assert!(start.elapsed().as_secs() < 10, "{trouble}"),
            }
        };
        if !up {
            eprintln!("SKIPPED: this redis-server has no TLS");
            return;
        }
        if wants {
            is_tls(redis_with(&url, papers.with_ca()).await, "client_cert");
        } else {
            is_tls(redis_with(&url, TlsOptions::default()).await, "ca_file");
            redis_with(&url, TlsOptions { enabled: None, ..papers.with_ca() }).await.unwrap();
            redis_with(&url, TlsOptions { insecure: true, ..TlsOptions::default() }).await.unwrap();
            let plain = url.replace("rediss", "redis");
            let trouble = redis_with(&plain, TlsOptions::default()).await.unwrap_err();
            assert!(trouble.remedy.contains("whether it speaks TLS"), "{trouble}");
        }
        child.kill().await.unwrap();
    }
}
