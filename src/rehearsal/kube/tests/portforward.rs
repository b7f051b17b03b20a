use std::time::Duration;

use futures::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use super::super::{PORTS, Server};
use super::{NS, client, pod, server};

/// A listener that sends back what it gets, until the peer ends.
pub(super) async fn echo() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}

/// A running pod whose container port 3000 is a real address.
pub(super) fn running_pod(server: &Server, address: std::net::SocketAddr) {
    let mut object = pod("web-1");
    object["metadata"]["annotations"] = json!({PORTS: json!({"3000": address.to_string()}).to_string()});
    server.store().create("test", object).unwrap();
    let running = json!({"status": {"phase": "Running"}});
    server.store().merge("test", "pods", NS, "web-1", "status", running).unwrap();
}

#[tokio::test]
async fn bytes_go_to_the_real_port_and_back() {
    let server = server().await;
    running_pod(&server, echo().await);
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let mut forward = api.portforward("web-1", &[3000]).await.unwrap();
    let mut stream = forward.take_stream(3000).unwrap();
    let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let mut back = vec![0; sent.len()];
    let (written, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut back));
    written.unwrap();
    read.unwrap();
    assert!(back == sent, "the bytes come back as they were");
    drop(stream);
    forward.join().await.unwrap();
}

#[tokio::test]
async fn a_port_nobody_listens_on_says_so() {
    let server = server().await;
    running_pod(&server, echo().await);
    let api: Api<Pod> = Api::namespaced(client(&server, "admin").await, NS);
    let mut forward = api.portforward("web-1", &[81]).await.unwrap();
    let error = forward.take_error(81).unwrap().await.unwrap();
    assert!(error.contains("connection refused"), "{error}");
    assert!(api.portforward("web-2", &[81]).await.is_err(), "no such pod");
}

/// A port that is spoken to in both directions at once, by more than fits between them.
#[tokio::test]
async fn a_port_that_takes_nothing_before_it_is_read_is_read() {
    const SIZE: usize = 16 * 1024 * 1024;
    const CHUNK: usize = 32 * 1024;
    let server = server().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    running_pod(&server, listener.local_addr().unwrap());
    // It says all it has to say before it listens.
    let port = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&vec![1; SIZE]).await.unwrap();
        let mut heard = vec![0; SIZE];
        stream.read_exact(&mut heard).await.unwrap();
    });
    // Not `Api::portforward`: one loop of kube's passes on both directions, so that it waits for itself once the
    // sockets between are full.
    let path = format!("/api/v1/namespaces/{NS}/pods/web-1/portforward?ports=3000");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let connection = client(&server, "admin").await.connect(request).await.unwrap();
    let (mut sink, mut messages) = connection.into_stream().split();
    let sent = tokio::spawn(async move {
        for _ in 0..SIZE / CHUNK {
            let mut framed = vec![2; CHUNK + 1];
            framed[0] = 0;
            sink.send(Message::binary(framed)).await.unwrap();
        }
        sink
    });
    let talk = async {
        // Both channels of the port begin with its number.
        let [mut heard, begins] = [0, 2 * 2];
        while heard < SIZE + begins {
            heard += messages.next().await.unwrap().unwrap().into_data().len() - 1;
        }
        port.await.unwrap();
        sent.await.unwrap()
    };
    let talked = tokio::time::timeout(Duration::from_secs(30), talk).await;
    drop(talked.expect("nobody waits for the other"));
}

#[tokio::test]
async fn ports_that_are_none_are_refused() {
    let server = server().await;
    running_pod(&server, echo().await);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for query in ["", "?ports=3000,x", "?ports=70000"] {
        let url = format!("{}/api/v1/namespaces/{NS}/pods/web-1/portforward{query}", server.url());
        let asked = http.get(url).bearer_auth("admin").header("Connection", "Upgrade");
        let asked =
            asked.header("Upgrade", "websocket").header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
        let answer = asked.header("Sec-WebSocket-Protocol", "v4.channel.k8s.io").send().await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
    }
}
