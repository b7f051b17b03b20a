//! `pods/portforward`: bytes between a client and the real port behind a pod.
//!
//! **Rule.** A pod's annotation [`PORTS`] says which real address stands behind each of its container ports.
//! `kube` speaks channels over a WebSocket, `kubectl` SPDY over a WebSocket; both end in [`dial`].

mod channels;
mod spdy;
mod tunnel;

use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::handle::{App, Body};
use super::objects::at;
use super::query::Query;
use super::routes::Objects;
use super::status::Status;

/// Annotation of a pod: a JSON object from container port to real address, `{"3000": "127.0.0.1:41233"}`.
pub const PORTS: &str = "rehearsal.cutover/ports";

/// How client and server talk once the connection is theirs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Protocol {
    /// Two channels for each port (`v4.channel.k8s.io`, `v5.channel.k8s.io`).
    Channels(&'static str),
    /// Streams of SPDY inside a WebSocket.
    Tunnel,
}

/// The WebSocket protocol of [`Protocol::Tunnel`].
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Channels(name) => name,
            Self::Tunnel => TUNNEL,
        }
    }
}

/// Takes the connection over.
///
/// # Errors
/// 404 for the pod, 400 when the client asks for something else than a port-forward, or for no port.
pub(super) fn answer(
    app: &Arc<App>,
    mut request: Request<Incoming>,
    path: &Objects,
    query: &Query,
    stop: &CancellationToken,
) -> Result<Response<Body>, Status> {
    let key = (path.namespace.clone(), path.name.clone());
    let pod = app.store.stored(path.kind, &key).ok_or_else(|| Status::not_found(path.kind, &path.name))?;
    let protocol =
        choose(request.headers()).ok_or_else(|| Status::bad_request("Upgrade request required"))?;
    let ports = match protocol {
        Protocol::Channels(_) => ports(query)?,
        // Each stream names its own.
        Protocol::Tunnel => Vec::new(),
    };
    let response = switching(request.headers(), protocol);
    let upgrade = hyper::upgrade::on(&mut request);
    let stop = stop.clone();
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let io = TokioIo::new(upgraded);
        let talk = async {
            let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            match protocol {
                Protocol::Channels(_) => channels::serve(socket, &pod, &ports).await,
                Protocol::Tunnel => tunnelled(socket, pod).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = talk => {}
        }
    });
    Ok(response)
}

/// The ports of a query.
fn ports(query: &Query) -> Result<Vec<u16>, Status> {
    let named = query.all("ports").flat_map(|list| list.split(','));
    let ports: Result<Vec<u16>, Status> = named
        .map(|port| {
            port.parse().map_err(|_| Status::bad_request(format!("unable to parse \"{port}\" as a port")))
        })
        .collect();
    match ports {
        // A port takes two of the numbers of channels, and the last is taken.
        Ok(ports) if ports.is_empty() || ports.len() > 127 => {
            Err(Status::bad_request("query parameter \"ports\" must name 1 to 127 ports"))
        }
        ports => ports,
    }
}

fn choose(headers: &HeaderMap) -> Option<Protocol> {
    let upgrade = headers.get(header::UPGRADE)?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered.split(',').map(str::trim).find_map(|name| match name {
        "v5.channel.k8s.io" => Some(Protocol::Channels("v5.channel.k8s.io")),
        "v4.channel.k8s.io" => Some(Protocol::Channels("v4.channel.k8s.io")),
        TUNNEL => Some(Protocol::Tunnel),
        _ => None,
    })
}

/// Carries the bytes of a tunnel in the binary messages of a WebSocket.
async fn tunnelled<S>(socket: WebSocketStream<S>, pod: Arc<Value>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (inside, outside) = tokio::io::duplex(64 * 1024);
    let (mut reader, mut writer) = tokio::io::split(outside);
    let (mut sink, mut messages) = socket.split();
    let incoming = async {
        while let Some(Ok(message)) = messages.next().await {
            match message {
                Message::Binary(bytes) if writer.write_all(&bytes).await.is_err() => return,
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    let outgoing = async {
        let mut buffer = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            if sink.send(Message::binary(buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = incoming => {}
        () = outgoing => {}
        () = tunnel::serve(inside, pod) => {}
    }
}

fn switching(headers: &HeaderMap, protocol: Protocol) -> Response<Body> {
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let fields = response.headers_mut();
    fields.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    fields.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    fields.insert(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static(protocol.name()));
    let accept = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    if let Some(accept) = accept.and_then(|accept| header::HeaderValue::from_str(&accept).ok()) {
        fields.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// Connects to the real address behind a container port; the error is the sentence for the client.
async fn dial(pod: &Value, port: u16) -> Result<TcpStream, String> {
    let name = super::objects::meta(pod, "name");
    let phase = super::objects::text(pod, &["status", "phase"]);
    if phase != "Running" {
        return Err(format!(
            "unable to forward port because pod {name} is not running. Current status={phase}"
        ));
    }
    let ports = at(pod, &["metadata", "annotations", PORTS]).and_then(Value::as_str).unwrap_or("{}");
    let ports: Value = serde_json::from_str(ports).unwrap_or_default();
    let refused = |why: &str| format!("failed to connect to localhost:{port} inside pod {name}: {why}");
    let Some(address) = ports.get(port.to_string()).and_then(Value::as_str) else {
        return Err(refused("connection refused"));
    };
    TcpStream::connect(address).await.map_err(|error| refused(&error.to_string()))
}
