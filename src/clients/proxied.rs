//! PostgreSQL and Redis through the proxy that `ALL_PROXY` names: a local listener whose connections go there.
//!
//! One rule: only `ALL_PROXY` counts for what is not HTTP, and `NO_PROXY` is kept.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::domain::{Kind, Trouble};

/// The proxy for a host, by the two variables' values.
pub fn choose(all: &str, no: &str, host: &str, port: u16) -> Option<Intercept> {
    let to = format!("http://{host}:{port}").parse().ok()?;
    Matcher::builder().all(all).no(no).build().intercept(&to)
}

/// The same by the environment.
pub fn from_env(host: &str, port: u16) -> Option<Intercept> {
    let get = |upper: &str, lower: &str| std::env::var(upper).or_else(|_| std::env::var(lower)).ok();
    let all = get("ALL_PROXY", "all_proxy").filter(|all| !all.is_empty())?;
    choose(&all, &get("NO_PROXY", "no_proxy").unwrap_or_default(), host, port)
}

/// An open listener; it closes when this is dropped.
#[derive(Debug)]
pub struct Proxied {
    local: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Proxied {
    /// Listens on a free port of 127.0.0.1 for connections to `host:port`.
    pub async fn open(by: Intercept, host: &str, port: u16) -> Result<Self, Trouble> {
        let to = format!("http://{host}:{port}")
            .parse::<http::Uri>()
            .map_err(|e| Trouble::new(Kind::NotConfigured, format!("{host}:{port}"), e.to_string()))?;
        let trouble =
            |e: io::Error| Trouble::new(Kind::Unreachable, "127.0.0.1", format!("cannot listen: {e}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(trouble)?;
        let local = listener.local_addr().map_err(trouble)?;
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, by, to));
        Ok(Self { local, _tasks: tasks })
    }

    /// Where to connect to.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }
}

async fn accept(listener: TcpListener, by: Intercept, to: http::Uri) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (by, to) = (by.clone(), to.clone());
                    connections.spawn(async move {
                        if let Err(error) = carry(stream, &by, to).await {
                            tracing::warn!(target: "proxy", "{} through {}: {error}", "connection", by.uri());
                        }
                    });
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(mut local: TcpStream, by: &Intercept, to: http::Uri) -> io::Result<()> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(super::http::CONNECT));
    let scheme = by.uri().scheme_str().unwrap_or_default();
    let mut remote: TokioIo<TcpStream> = if scheme.starts_with("socks5") {
        let mut socks = SocksV5::new(by.uri().clone(), tcp).local_dns(scheme == "socks5");
        if let Some((user, password)) = by.raw_auth() {
            socks = socks.with_auth(user.to_owned(), password.to_owned());
        }
        socks.call(to).await.map_err(|e| io::Error::other(e.to_string()))?
    } else {
        let mut tunnel = Tunnel::new(by.uri().clone(), tcp);
        if let Some(auth) = by.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        tunnel.call(to).await.map_err(|e| io::Error::other(e.to_string()))?
    };
    tokio::io::copy_bidirectional(&mut local, remote.inner_mut()).await.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn no_proxy_is_kept() {
        assert!(choose("socks5h://127.0.0.1:1080", "", "db.internal", 5432).is_some());
        assert!(choose("socks5h://127.0.0.1:1080", "internal", "db.internal", 5432).is_none());
    }

    /// A SOCKS5 proxy for one connection (RFC 1928), without authentication; answers with the host's name.
    async fn proxy(listener: TcpListener) -> io::Result<()> {
        let (mut stream, _) = listener.accept().await?;
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        let mut methods = vec![0; head[1].into()];
        stream.read_exact(&mut methods).await?;
        stream.write_all(&[5, 0]).await?;
        let mut request = [0; 5];
        stream.read_exact(&mut request).await?;
        let mut name = vec![0; usize::from(request[4]) + 2];
        stream.read_exact(&mut name).await?;
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        // The client speaks first, as PostgreSQL's and Redis' do.
        stream.read_exact(&mut [0; 4]).await?;
        name.truncate(name.len() - 2);
        stream.write_all(&name).await
    }

    #[tokio::test]
    async fn a_connection_goes_through_the_proxy_with_the_name_unresolved() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("socks5h://{}", listener.local_addr().unwrap());
        let by = choose(&url, "", "db.internal", 5432).unwrap();
        let proxied = Proxied::open(by, "db.internal", 5432).await.unwrap();
        let mut stream = TcpStream::connect(proxied.local()).await.unwrap();
        stream.write_all(b"ping").await.unwrap();
        proxy(listener).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "db.internal");
    }
}
