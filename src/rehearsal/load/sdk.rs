//! One SDK talking to `/api/public/ingestion`: its headers, its batches, its retries (langfuse.md 5.2, 5.3).

use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::ledger::{Event, Ledger, Loss};
use crate::rehearsal::gateway::proxy::{ASK_SERVED_BY, SERVED_BY};

/// Waits between tries: both SDKs give up after the third retry.
const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long an SDK waits for an answer (Python 20 s, JS 10 s by default).
const TIMEOUT: Duration = Duration::from_secs(20);

/// Which SDK a client is shaped like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Python 2.60: headers with underscores, which nginx drops.
    Python,
    /// JS 3.38: headers with hyphens.
    JavaScript,
}

/// A project and its key pair.
#[derive(Clone)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// `pk-lf-...`.
    pub public_key: String,
    /// `sk-lf-...`.
    pub secret_key: String,
}

/// One client of one project.
#[derive(Clone)]
pub struct Sdk {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    shape: Shape,
    project: Project,
    ledger: Ledger,
}

/// What became of one try.
enum Try {
    /// 207: some events were taken, some refused for good.
    Answered { version: String, taken: Vec<String>, refused: usize },
    /// Worth another try.
    Again(Loss),
    /// Not worth another try.
    Never,
}

impl Sdk {
    /// A client of the server at `base` (no trailing slash).
    pub fn new(
        http: Client<HttpConnector, Full<Bytes>>,
        base: &str,
        shape: Shape,
        project: Project,
        ledger: Ledger,
    ) -> Self {
        Self { http, url: format!("{base}/api/public/ingestion"), shape, project, ledger }
    }

    /// Sends one batch as the SDK does, and writes down what became of every event.
    pub async fn send(&self, events: Vec<Value>) {
        self.ledger.sent(events.len());
        let body = Bytes::from(self.body(&events).to_string());
        let mut loss = Loss::GivenUp;
        for wait in RETRIES.iter().map(Some).chain([None]) {
            match self.once(body.clone()).await {
                Try::Answered { version, taken, refused } => {
                    let accepted: Vec<Event> =
                        events.iter().filter_map(event).filter(|event| taken.contains(&event.id)).collect();
                    self.ledger.lost(Loss::Refused, refused);
                    self.ledger.lost(Loss::Unknown, events.len().saturating_sub(accepted.len() + refused));
                    return self.ledger.accepted(&version, &self.project.id, &accepted).await;
                }
                Try::Never => return self.ledger.lost(Loss::Refused, events.len()),
                Try::Again(why) => loss = why,
            }
            if let Some(wait) = wait {
                tokio::time::sleep(*wait).await;
            }
        }
        self.ledger.lost(loss, events.len());
    }

    fn body(&self, events: &[Value]) -> Value {
        let (name, version) = self.shape.name_and_version();
        json!({
            "batch": events,
            "metadata": {"batch_size": events.len(), "sdk_integration": "default", "sdk_name": name,
                         "sdk_version": version, "public_key": self.project.public_key},
        })
    }

    async fn once(&self, body: Bytes) -> Try {
        let Some(request) = self.request(body) else {
            return Try::Never;
        };
        let answer = tokio::time::timeout(TIMEOUT, async {
            let response = self.http.request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            Some((parts, body.collect().await.ok()?.to_bytes()))
        });
        let Ok(Some((parts, body))) = answer.await else {
            return Try::Again(Loss::Unknown);
        };
        match parts.status {
            StatusCode::MULTI_STATUS => read_207(&parts.headers, &body),
            StatusCode::TOO_MANY_REQUESTS => Try::Again(Loss::GivenUp),
            status if status.is_server_error() => Try::Again(Loss::GivenUp),
            _ => Try::Never,
        }
    }

    fn request(&self, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let pair = format!("{}:{}", self.project.public_key, self.project.secret_key);
        let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, basic)
            .header(ASK_SERVED_BY, "1")
            .body(Full::new(body))
            .ok()?;
        for (name, value) in self.shape.headers(&self.project.public_key) {
            request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
        }
        Some(request)
    }
}

impl Shape {
    fn name_and_version(self) -> (&'static str, &'static str) {
        match self {
            Self::Python => ("python", "2.60.10"),
            Self::JavaScript => ("langfuse-js", "3.38.4"),
        }
    }

    fn headers(self, public_key: &str) -> [(&'static str, String); 4] {
        let (name, version) = self.name_and_version();
        let [name_key, version_key, public_key_key, agent] = match self {
            Self::Python => [
                "x_langfuse_sdk_name",
                "x_langfuse_sdk_version",
                "x_langfuse_public_key",
                "python-httpx/0.27.2",
            ],
            Self::JavaScript => {
                ["x-langfuse-sdk-name", "x-langfuse-sdk-version", "x-langfuse-public-key", "node"]
            }
        };
        [
            (name_key, name.to_owned()),
            (version_key, version.to_owned()),
            (public_key_key, public_key.to_owned()),
            ("user-agent", agent.to_owned()),
        ]
    }
}

fn event(value: &Value) -> Option<Event> {
    let text = |at: &str| value.pointer(at).and_then(Value::as_str).map(str::to_owned);
    Some(Event { id: text("/id")?, kind: text("/type")?, body_id: text("/body/id")? })
}

fn read_207(headers: &http::HeaderMap, body: &[u8]) -> Try {
    let version =
        headers.get(SERVED_BY).and_then(|name| name.to_str().ok()).map(version_of).unwrap_or_default();
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return Try::Again(Loss::Unknown);
    };
    let rows = |name: &str| body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let taken =
        rows("successes").iter().filter_map(|row| Some(row.get("id")?.as_str()?.to_owned())).collect();
    Try::Answered { version, taken, refused: rows("errors").len() }
}

/// The version behind an upstream's name (`<namespace>-<service>-<port>`).
fn version_of(upstream: &str) -> String {
    use crate::rehearsal::workloads::manifests::langfuse::{V2, WEB};
    let known = [(V2, "v2"), (WEB, "v3")];
    let found = known.iter().find(|(service, _)| upstream.contains(&format!("-{service}-")));
    found.map_or(upstream, |(_, version)| *version).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_tell_versions() {
        assert_eq!(version_of("langfuse-langfuse-v2-3000"), "v2");
        assert_eq!(version_of("langfuse-langfuse-web-3000"), "v3");
        assert_eq!(version_of("x-other-1"), "x-other-1");
    }

    #[test]
    fn a_207_may_take_and_refuse() {
        let mut headers = http::HeaderMap::new();
        headers.insert(SERVED_BY, HeaderValue::from_static("langfuse-langfuse-v2-3000"));
        let body = json!({"successes": [{"id": "a", "status": 201}], "errors": [{"id": "b", "status": 400}]});
        let Try::Answered { version, taken, refused } = read_207(&headers, body.to_string().as_bytes())
        else {
            panic!("answered")
        };
        assert_eq!((version.as_str(), taken, refused), ("v2", vec!["a".to_owned()], 1));
    }
}
