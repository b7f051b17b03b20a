//! The server itself: its options, the socket, one task for each connection, and how it ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::authz::Token;
use super::faults::Faults;
use super::handle::{App, answer};
use super::logs::Logs;
use super::status::Status;
use super::store::Store;
use super::tls::{self, Identity, is_handshake};

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may use it; the first token is the one its kubeconfig is written for by default.
    pub tokens: Vec<Token>,
    /// Namespaces that exist from the start, besides `default` and `kube-system`.
    pub namespaces: Vec<String>,
    /// Changes remembered for watches; older ones expire.
    pub history: usize,
    /// How often a watch that asked for bookmarks gets one.
    pub bookmark_every: Duration,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tokens: vec![Token::admin("rehearsal-admin", "rehearsal-admin")],
            namespaces: Vec::new(),
            history: 2_000,
            bookmark_every: Duration::from_mins(1),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        }
    }
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address could not be listened on.
    #[error(
        "the rehearsal's API server could not listen on {address}: {source}; free the port, or take port 0"
    )]
    Listen {
        /// The address tried.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate could not be made.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// A namespace could not be created.
    #[error("the rehearsal's API server could not create a namespace to start with: {0}")]
    Namespace(#[from] Status),
}

/// A running API server; dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    app: Arc<App>,
    identity: Identity,
    stop: CancellationToken,
    listener: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on loopback.
    ///
    /// # Errors
    /// When the address cannot be listened on, or a namespace's name is no name.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let address = options.listen;
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let store = Store::new(options.history);
        for name in
            ["default", "kube-system"].into_iter().chain(options.namespaces.iter().map(String::as_str))
        {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            store.create("kube-apiserver", namespace)?;
        }
        let app = Arc::new(App {
            store,
            tokens: options.tokens,
            faults: Faults::default(),
            logs: Logs::default(),
            bookmark_every: options.bookmark_every,
        });
        let (identity, stop) = (Identity::new()?, CancellationToken::new());
        let listener = Some(tokio::spawn(accept(listener, Arc::clone(&app), identity.clone(), stop.clone())));
        tracing::debug!(%address, "API server listens");
        Ok(Self { address, app, identity, stop, listener })
    }

    /// The address without TLS, for example `http://127.0.0.1:41234`. The kubeconfig's is `https` on the same port.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A kubeconfig (YAML) for a user of the options, with a default namespace.
    pub fn kubeconfig(&self, user: &str, namespace: &str) -> Option<String> {
        let token = self.app.tokens.iter().find(|token| token.user == user)?;
        let (address, secret, authority) = (self.address, &token.token, &self.identity.authority);
        Some(format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: rehearsal\n\
             clusters:\n- name: rehearsal\n  cluster:\n    server: \"https://{address}\"\n    \
             certificate-authority-data: {authority}\n\
             users:\n- name: \"{user}\"\n  user:\n    token: \"{secret}\"\n\
             contexts:\n- name: rehearsal\n  context:\n    cluster: rehearsal\n    user: \"{user}\"\n    \
             namespace: \"{namespace}\"\n"
        ))
    }

    /// The knobs that make it fail.
    pub fn faults(&self) -> Faults {
        self.app.faults.clone()
    }

    /// Its objects.
    pub fn store(&self) -> Store {
        self.app.store.clone()
    }

    /// The logs of its pods.
    pub fn logs(&self) -> Logs {
        self.app.logs.clone()
    }

    /// Stops listening and ends every connection, open watches and port-forwards included.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(listener) = self.listener.take() {
            // Only fails when the task was cancelled or panicked: either way it has ended.
            let _ = listener.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(listener: TcpListener, app: Arc<App>, identity: Identity, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connected(stream, Arc::clone(&app), identity.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "API server could not accept a connection");
                // Out of descriptors, most likely: give others time to close theirs.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connected(stream: TcpStream, app: Arc<App>, identity: Identity, stop: CancellationToken) {
    // Watches send small lines; waiting to fill packets would show as latency.
    let _ = stream.set_nodelay(true);
    let talk = async {
        if !is_handshake(&stream).await {
            return serve(stream, app, stop.clone()).await;
        }
        match identity.acceptor().accept(stream).await {
            Ok(stream) => serve(stream, app, stop.clone()).await,
            Err(error) => tracing::debug!(%error, "a TLS handshake with the API server failed"),
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = talk => {}
    }
}

async fn serve<S>(stream: S, app: Arc<App>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| answer(Arc::clone(&app), request, stop.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        tracing::trace!(%error, "a connection to the API server ended early");
    }
}
