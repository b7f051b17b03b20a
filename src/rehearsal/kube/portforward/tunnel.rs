//! The port-forward protocol of `kubectl`: for each connection a stream for its one error and a stream for its
//! bytes, with the same `requestid`, over SPDY frames.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::mpsc;

use super::dial;
use super::spdy::{self, Frame, Reader, Writer};

/// Bytes that wait for a port; the client waits when there are more.
const WAITING: usize = 64;

/// Serves streams until the client ends or breaks off.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(io: S, pod: Arc<Value>) {
    let (mut reader, mut writer) = tokio::io::split(io);
    let (to_client, mut frames) = mpsc::channel::<Vec<u8>>(WAITING);
    let mut tunnel =
        Tunnel { pod, to_client, replies: Writer::default(), errors: HashMap::new(), ports: HashMap::new() };
    let read = async {
        let (mut parser, mut buffer) = (Reader::new(), vec![0; 32 * 1024]);
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => parser.feed(&buffer[..count]),
            }
            loop {
                let frame = match parser.next() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(error) => return tracing::debug!(%error, "a port-forward broke off"),
                };
                if tunnel.take(frame).await.is_none() {
                    return;
                }
            }
        }
    };
    let write = async {
        while let Some(frame) = frames.recv().await {
            if writer.write_all(&frame).await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}

struct Tunnel {
    pod: Arc<Value>,
    to_client: mpsc::Sender<Vec<u8>>,
    replies: Writer,
    /// Error streams by request.
    errors: HashMap<String, u32>,
    /// Where the bytes of a data stream go; dropping it ends the port's input.
    ports: HashMap<u32, mpsc::Sender<Vec<u8>>>,
}

impl Tunnel {
    /// Does what a frame asks; none when the connection is over.
    async fn take(&mut self, frame: Frame) -> Option<()> {
        match frame {
            Frame::Open { stream, headers } => {
                let reply = self.replies.reply(stream);
                self.to_client.send(reply).await.ok()?;
                self.open(stream, &headers);
            }
            Frame::Data { stream, bytes, last } => {
                if let Some(port) = self.ports.get(&stream).filter(|_| !bytes.is_empty()) {
                    // A port that takes no more has said so to the client itself.
                    let _ = port.send(bytes).await;
                }
                if last {
                    self.ports.remove(&stream);
                }
            }
            Frame::Reset { stream } => {
                self.ports.remove(&stream);
            }
            Frame::Ping { id } => self.to_client.send(spdy::ping(id)).await.ok()?,
            Frame::GoAway => return None,
            Frame::Other => {}
        }
        Some(())
    }

    fn open(&mut self, stream: u32, headers: &[(String, String)]) {
        let header =
            |name: &str| headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
        let request = header("requestid").to_owned();
        if header("streamtype") == "error" {
            self.errors.insert(request, stream);
            return;
        }
        let Some(errors) = self.errors.remove(&request) else {
            return;
        };
        let (to_port, bytes) = mpsc::channel(WAITING);
        self.ports.insert(stream, to_port);
        let port = header("port").parse().unwrap_or_default();
        let (pod, to_client) = (Arc::clone(&self.pod), self.to_client.clone());
        tokio::spawn(async move {
            let error = forward(&pod, port, stream, bytes, &to_client).await.err().unwrap_or_default();
            // The client may be gone; then nobody needs the end either.
            let _ = to_client.send(spdy::data(errors, error.as_bytes(), true)).await;
        });
    }
}

/// Connects and copies both ways until the port has no more to say.
async fn forward(
    pod: &Value,
    port: u16,
    stream: u32,
    mut bytes: mpsc::Receiver<Vec<u8>>,
    to_client: &mpsc::Sender<Vec<u8>>,
) -> Result<(), String> {
    let connected = dial(pod, port).await;
    let (reader, mut writer) = match connected {
        Ok(connected) => connected.into_split(),
        Err(error) => {
            let _ = to_client.send(spdy::data(stream, &[], true)).await;
            return Err(error);
        }
    };
    let input = async {
        while let Some(bytes) = bytes.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The port may have closed first.
        let _ = writer.shutdown().await;
    };
    // Answers may still come when the input has ended, but nothing is worth sending to a port that has closed.
    let output = output(reader, stream, to_client);
    tokio::pin!(input, output);
    tokio::select! {
        () = &mut input => output.await,
        () = &mut output => {}
    }
    Ok(())
}

async fn output(mut reader: OwnedReadHalf, stream: u32, to_client: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let read = tokio::select! {
            () = to_client.closed() => return,
            read = reader.read(&mut buffer) => read,
        };
        let count = read.unwrap_or(0);
        let sent = to_client.send(spdy::data(stream, &buffer[..count], count == 0)).await;
        if sent.is_err() || count == 0 {
            return;
        }
    }
}
