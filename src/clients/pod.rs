//! One HTTP request to a port of a pod, through the API server's port-forward.
//!
//! One rule: a connection per request; it is gone when the answer is read.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use super::failure::within;
use super::forward;
use super::kube::READ;
use crate::domain::{Kind, Trouble};

/// The body of `GET path`, at most `limit` bytes.
pub async fn get(pods: &Api<Pod>, pod: &str, port: u16, path: &str, limit: usize) -> Result<String, Trouble> {
    let object = format!("pod {pod}:{port}");
    within(READ, &object, &format!("GET {path}"), exchange(pods, pod, port, path, limit, &object)).await
}

async fn exchange(
    pods: &Api<Pod>,
    pod: &str,
    port: u16,
    path: &str,
    limit: usize,
    object: &str,
) -> Result<String, Trouble> {
    let tried = forward::permission(pods.namespace().unwrap_or_default());
    let broken = |text: String| Trouble::new(Kind::Unreachable, object, text);
    let mut forward =
        pods.portforward(pod, &[port]).await.map_err(|e| forward::refused(object, &tried, &e))?;
    let stream = forward.take_stream(port).ok_or_else(|| broken("no stream for the port".into()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broken(e.to_string()))?;
    let request = Request::get(path)
        .header("host", format!("127.0.0.1:{port}"))
        .body(Empty::<Bytes>::new())
        .map_err(|e| broken(e.to_string()))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| broken(e.to_string()))?;
        let status = response.status();
        let body =
            Limited::new(response.into_body(), limit).collect().await.map_err(|e| broken(e.to_string()))?;
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        if status.is_success() { Ok(text) } else { Err(broken(format!("GET {path}: {status}"))) }
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // The connection ends by itself once the answer was sent.
        _ = connection => answer.await,
    }
}
