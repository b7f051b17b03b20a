//! A server to ask, and its answers as values that can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WARNING};
use serde_json::{Value, json};

use super::request::Request;

/// No answer comes later than that; the longest watch of the table lasts 5 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// One of the two servers.
pub struct Server {
    base: String,
    http: reqwest::Client,
    tokens: BTreeMap<&'static str, String>,
}

/// Values kept from earlier answers.
pub type Kept = BTreeMap<&'static str, String>;

impl Server {
    /// A server at an address, with the token of each user.
    pub fn new(base: &str, tokens: &[(&'static str, String)]) -> Self {
        Self { base: base.into(), http: client(), tokens: tokens.iter().cloned().collect() }
    }

    /// Sends a request as often as it asks for; gives the answers and keeps what it names of the first.
    pub async fn ask(&self, request: &Request, kept: &mut Kept) -> Vec<Value> {
        let all = (0..request.times).map(|_| self.once(request, kept));
        let mut answers = futures::future::join_all(all).await;
        answers.sort_by_key(|answer| answer["code"].as_u64());
        for (name, pointer) in &request.kept {
            // Where one server has nothing to keep, its answers differ, which is what will be reported.
            let value = answers[0]["body"].pointer(pointer).cloned().unwrap_or_else(|| json!("missing"));
            kept.insert(name, value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
        }
        answers
    }

    async fn once(&self, request: &Request, kept: &Kept) -> Value {
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).unwrap();
        let path = filled(&request.path, kept);
        // A real server closes the HTTP/2 connection under a request that it does not know the user of, for all
        // who share it: such a request gets one of its own.
        let known = self.tokens.contains_key(request.user);
        let http = if known { self.http.clone() } else { client() };
        let mut builder = http.request(method, format!("{}{path}", self.base));
        for (name, value) in [(CONTENT_TYPE, request.media), (ACCEPT, request.accept)] {
            if !value.is_empty() {
                builder = builder.header(name, value);
            }
        }
        if let Some(token) = self.token(request.user) {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(body) = &request.body {
            builder = builder.body(filled(body, kept));
        }
        let answer = builder.send().await.unwrap_or_else(|e| panic!("{} {path}: {e:?}", request.method));
        let headers = answer.headers().clone();
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
        let warnings: Vec<&str> = headers.get_all(WARNING).iter().filter_map(|v| v.to_str().ok()).collect();
        let code = answer.status().as_u16();
        let text = answer.text().await.unwrap_or_else(|e| panic!("{} {path}: {e:?}", request.method));
        json!({"code": code, "media": header(CONTENT_TYPE), "warnings": warnings,
            "retry-after": header(RETRY_AFTER), "body": body(&text, path.contains("watch=true"))})
    }

    fn token(&self, user: &str) -> Option<&str> {
        match user {
            "nobody" => None,
            "stranger" => Some("a-token-that-nobody-knows"),
            user => Some(self.tokens.get(user).unwrap_or_else(|| panic!("no user {user}"))),
        }
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .timeout(PATIENCE)
        .user_agent("conformance/1")
        .build()
        .unwrap()
}

/// One JSON document as itself, the lines of a watch as a list, anything else as text.
fn body(text: &str, watch: bool) -> Value {
    if !watch {
        return serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    }
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    lines.map_or_else(|_| json!(text), Value::Array)
}

fn filled(text: &str, kept: &Kept) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}
