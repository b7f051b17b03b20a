//! The channel protocol: each message begins with the number of its channel; port `n` of the request has channel
//! `2n` for data and `2n + 1` for its one error. Both begin with the port's number, two bytes, low byte first.

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::dial;

/// In `v5`, a message on this channel closes the channel that it names.
const CLOSE: u8 = 255;

/// What a port's reader has to say: bytes for a channel, or that nothing more comes.
enum FromPort {
    Bytes(u8, Bytes),
    End,
}

/// Forwards until either side ends.
pub(super) async fn serve<S>(socket: WebSocketStream<S>, pod: &Value, ports: &[u16])
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, messages) = socket.split();
    let (to, from_ports) = mpsc::channel(64);
    let mut writers: Vec<Option<OwnedWriteHalf>> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let channel = (index * 2) as u8;
        for channel in [channel, channel + 1] {
            let [low, high] = port.to_le_bytes();
            if sink.send(Message::binary(vec![channel, low, high])).await.is_err() {
                return;
            }
        }
        writers.push(open(dial(pod, *port).await, channel, &to));
    }
    drop(to);
    // Side by side: a port that takes nothing before it is read from must not wait for itself.
    tokio::select! {
        () = to_ports(messages, writers) => {}
        () = to_client(from_ports, &mut sink, ports.len()) => {}
    }
    // The peer may have gone already; then there is nobody left to tell.
    let _ = sink.close().await;
}

/// Passes on what the client says until it ends.
async fn to_ports<S>(mut messages: SplitStream<WebSocketStream<S>>, mut writers: Vec<Option<OwnedWriteHalf>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = messages.next().await {
        match message {
            Message::Binary(bytes) => to_port(&mut writers, &bytes).await,
            Message::Close(_) => return,
            _ => {}
        }
    }
}

/// Passes on what the ports say until all have ended.
async fn to_client<S>(
    mut from_ports: mpsc::Receiver<FromPort>,
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    mut open: usize,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while open > 0 {
        match from_ports.recv().await {
            Some(FromPort::Bytes(channel, bytes)) => {
                let mut framed = Vec::with_capacity(bytes.len() + 1);
                framed.push(channel);
                framed.extend_from_slice(&bytes);
                if sink.send(Message::binary(framed)).await.is_err() {
                    return;
                }
            }
            Some(FromPort::End) => open -= 1,
            None => return,
        }
    }
}

/// Starts reading a port, or reports on its error channel why it cannot be had.
fn open(
    dialled: Result<TcpStream, String>,
    channel: u8,
    to: &mpsc::Sender<FromPort>,
) -> Option<OwnedWriteHalf> {
    let to = to.clone();
    match dialled {
        Ok(stream) => {
            let (reader, writer) = stream.into_split();
            tokio::spawn(read_port(reader, channel, to));
            Some(writer)
        }
        Err(why) => {
            tokio::spawn(async move {
                // The client may be gone; then nobody asks why.
                let _ = to.send(FromPort::Bytes(channel + 1, why.into_bytes().into())).await;
                let _ = to.send(FromPort::End).await;
            });
            None
        }
    }
}

/// Reads a port until it ends, or the client does.
async fn read_port(mut reader: OwnedReadHalf, channel: u8, to: mpsc::Sender<FromPort>) {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let read = tokio::select! {
            () = to.closed() => return,
            read = reader.read(&mut buffer) => read,
        };
        let next = match read {
            Ok(0) | Err(_) => FromPort::End,
            Ok(count) => FromPort::Bytes(channel, Bytes::copy_from_slice(&buffer[..count])),
        };
        let ended = matches!(next, FromPort::End);
        if to.send(next).await.is_err() || ended {
            return;
        }
    }
}

/// Writes a client's message to its port; a port that takes no more is closed.
async fn to_port(writers: &mut [Option<OwnedWriteHalf>], message: &[u8]) {
    let (channel, bytes, ends) = match message {
        [CLOSE, channel, ..] => (*channel, &[][..], true),
        [channel, bytes @ ..] => (*channel, bytes, false),
        [] => return,
    };
    let Some(slot) = writers.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0) else {
        return;
    };
    if ends {
        *slot = None;
    } else if let Some(writer) = slot
        && writer.write_all(bytes).await.is_err()
    {
        *slot = None;
    }
}
