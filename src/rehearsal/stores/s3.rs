//! S3: an embedded server that keeps objects as files (`s3s-fs`).

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    task::{JoinHandle, JoinSet},
};

use super::{StoreError, listing::Folders, password};
use crate::rehearsal::stage::{Stage, free_port};

/// Between two tries to listen, and how many there are.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(50);
const TRIES: u32 = 60;

/// The bucket of the events (`LANGFUSE_S3_EVENT_UPLOAD_BUCKET`).
pub const BUCKET: &str = "langfuse-events";
/// The region its requests are signed for.
pub const REGION: &str = "us-east-1";

/// The S3 server and its door.
pub struct S3 {
    port: u16,
    access_key: String,
    secret_key: String,
    service: S3Service,
    paused: Arc<watch::Sender<bool>>,
    running: Mutex<Option<JoinHandle<()>>>,
}

impl S3 {
    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Access key id.
    pub fn access_key(&self) -> &str {
        &self.access_key
    }

    /// Secret access key.
    pub fn secret_key(&self) -> &str {
        &self.secret_key
    }

    /// Listens again after a stop or a kill.
    pub async fn start(&self) -> Result<(), StoreError> {
        let mut running = self.running.lock().await;
        if running.as_ref().is_some_and(|task| !task.is_finished()) {
            return Ok(());
        }
        let listener = self.listen().await?;
        self.paused.send_replace(false);
        let serving = serve(listener, self.service.clone(), self.paused.subscribe());
        *running = Some(tokio::spawn(serving));
        Ok(())
    }

    /// A child that is being started holds copies of our sockets until it runs its own program: a port that
    /// was free a moment ago can look taken for as long.
    async fn listen(&self) -> Result<TcpListener, StoreError> {
        let mut tries = 0;
        loop {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await {
                Ok(listener) => return Ok(listener),
                Err(why) if why.kind() == std::io::ErrorKind::AddrInUse && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(why) => return Err(StoreError::S3(format!("port {}: {why}", self.port))),
            }
        }
    }

    /// Closes the port and every connection; the objects stay.
    pub async fn stop(&self) {
        if let Some(task) = self.running.lock().await.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// As [`S3::stop`]: requests under way are cut off.
    pub async fn kill(&self) {
        self.stop().await;
    }

    /// Lets requests in and answers none.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Answers again, the waiting requests first.
    pub fn resume(&self) {
        self.paused.send_replace(false);
    }
}

/// Accepts until it is dropped, and its connections with it.
async fn serve(listener: TcpListener, service: S3Service, paused: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(serve_connection(socket, service.clone(), paused.clone()));
                }
                Err(why) => {
                    // Out of file descriptors, mostly: accepting at once again would only burn the processor.
                    tracing::warn!("S3 server: a connection could not be accepted: {why}");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection(socket: TcpStream, service: S3Service, paused: watch::Receiver<bool>) {
    let gated = hyper::service::service_fn(move |request| {
        let (service, mut paused) = (service.clone(), paused.clone());
        async move {
            // An error means that the server is gone, and this connection with it.
            let _ = paused.wait_for(|paused| !paused).await;
            hyper::service::Service::call(&service, request).await
        }
    });
    let served = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), gated).await;
    if let Err(why) = served {
        tracing::debug!("S3 server: a connection ended: {why}");
    }
}

pub(super) async fn start(stage: &Stage) -> Result<S3, StoreError> {
    let room = stage.room("s3")?;
    let (access_key, secret_key) = (format!("AK{}", &password()[..18]), password());
    let s3 = S3 {
        port: free_port()?,
        service: build(&room, &access_key, &secret_key)?,
        access_key,
        secret_key,
        paused: Arc::new(watch::Sender::new(false)),
        running: Mutex::new(None),
    };
    s3.start().await?;
    Ok(s3)
}

fn build(room: &Path, access_key: &str, secret_key: &str) -> Result<S3Service, StoreError> {
    // A bucket is a folder.
    std::fs::create_dir_all(room.join(BUCKET)).map_err(|why| StoreError::S3(why.to_string()))?;
    let files = FileSystem::new(room).map_err(|why| StoreError::S3(format!("{why:?}")))?;
    let mut builder = S3ServiceBuilder::new(Folders::new(files, room));
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    Ok(builder.build())
}
