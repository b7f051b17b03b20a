//! One request through the gateway: locate, choose, forward, log, count.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use super::State;
use super::access::Entry;
use super::choose::{self, Choice, choose};
use super::metrics::Labels;
use super::model::{Endpoint, Location, Routing, Upstream};
use crate::rehearsal::clock;
use crate::rehearsal::upload::{self, UploadError};

/// A client that sends this header learns from [`SERVED_BY`] which upstream answered.
///
/// Real ingress-nginx has no such header; the load's ledger needs it to prove where every event went. It is
/// taken off before the request goes on, and everybody else gets answers as nginx gives them.
pub const ASK_SERVED_BY: &str = "x-rehearsal-ledger";
/// Answer to [`ASK_SERVED_BY`]: the upstream's name.
pub const SERVED_BY: &str = "x-rehearsal-served-by";
/// `proxy_read_timeout` of ingress-nginx.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// `proxy_next_upstream_tries` of ingress-nginx.
const TRIES: usize = 3;
/// Headers that belong to one connection and are never passed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

type Answer = Response<Full<Bytes>>;

/// Answers one request and writes its log line and counter.
pub(super) async fn serve(state: Arc<State>, remote: SocketAddr, request: Request<Incoming>) -> Answer {
    let start = clock::mono();
    let mut entry = open_entry(remote, &request);
    let routing = state.live();
    let (method, host, path) =
        (request.method().to_string(), host_of(&request), request.uri().path().to_owned());
    let found = routing.locate(&host, &path);
    let answer = match found {
        None => page(StatusCode::NOT_FOUND),
        Some((_, location)) => forward(&state, &routing, location, request, &mut entry).await,
    };
    entry.status = answer.status().as_u16();
    entry.sent = usize::try_from(hyper::body::Body::size_hint(answer.body()).lower()).unwrap_or_default();
    entry.seconds = clock::since(start).as_secs_f64();
    if let Some((server, location)) = found {
        state.metrics.count(labels(server, location, &entry, method));
    } else {
        entry.upstream = "upstream-default-backend".into();
    }
    let _ = state.log.send(entry).await;
    answer
}

fn open_entry(remote: SocketAddr, request: &Request<Incoming>) -> Entry {
    let text = |name: HeaderName| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .replace('"', "\\x22")
    };
    Entry {
        remote: remote.ip().to_string(),
        user: basic_user(request.headers()).unwrap_or_default(),
        at: clock::now(),
        request: format!("{} {} {:?}", request.method(), request.uri(), request.version()),
        referer: text(header::REFERER),
        agent: text(header::USER_AGENT),
        id: request
            .headers()
            .get("x-request-id")
            .and_then(|id| id.to_str().ok())
            .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned),
        ..Entry::default()
    }
}

fn basic_user(headers: &HeaderMap) -> Option<String> {
    use base64::Engine as _;
    let encoded = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':').map(|(user, _)| user.replace(char::is_control, "?"))
}

fn host_of(request: &Request<Incoming>) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().host()).unwrap_or_default();
    host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase()
}

fn labels(server: &str, location: &Location, entry: &Entry, method: String) -> Labels {
    Labels {
        host: server.to_owned(),
        path: location.path.clone(),
        namespace: location.namespace.clone(),
        ingress: location.ingress.clone(),
        service: location.service.clone(),
        canary: entry.alternative.clone(),
        method,
        status: entry.status,
    }
}

async fn forward(
    state: &State,
    routing: &Routing,
    location: &Location,
    request: Request<Incoming>,
    entry: &mut Entry,
) -> Answer {
    entry.upstream.clone_from(&location.upstream);
    let (mut parts, body) = request.into_parts();
    let wants_served_by = parts.headers.remove(ASK_SERVED_BY).is_some();
    drop_underscores(&mut parts.headers);
    let asked = choose::Request { headers: &parts.headers };
    let upstream = match choose(routing, &location.upstream, asked, |total| state.roll(total)) {
        Choice::Nobody => return page(StatusCode::SERVICE_UNAVAILABLE),
        Choice::Primary(upstream) => upstream,
        Choice::Canary(upstream) => {
            entry.alternative.clone_from(&upstream.name);
            upstream
        }
    };
    let body = match upload::read(body, location.body_limit).await {
        Ok(body) => body,
        Err(UploadError::TooLarge) => return page(StatusCode::PAYLOAD_TOO_LARGE),
        Err(UploadError::Broken) => return page(StatusCode::BAD_REQUEST),
    };
    entry.received = body.len();
    let sticky = sticky_cookie(upstream, &parts.headers);
    dress(&mut parts.headers, entry);
    let mut answer = send(state, upstream, &parts, &body, entry).await;
    if let Some(cookie) = sticky {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    if let (true, Ok(name)) = (wants_served_by, HeaderValue::from_str(&upstream.name)) {
        answer.headers_mut().insert(SERVED_BY, name);
    }
    answer
}

/// nginx's `underscores_in_headers off`: why the Python SDK 2.x is invisible behind it.
fn drop_underscores(headers: &mut HeaderMap) {
    let bad: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in bad {
        headers.remove(name);
    }
}

fn sticky_cookie(upstream: &Upstream, headers: &HeaderMap) -> Option<HeaderValue> {
    let name = upstream.affinity.as_ref()?;
    let key = choose::affinity_key(&upstream.name);
    let known = choose::cookie(headers, name).is_some_and(|value| value.ends_with(&format!("|{key}")));
    let value = format!("{name}={}|{key}; Path=/; HttpOnly", uuid::Uuid::new_v4().simple());
    if known { None } else { HeaderValue::from_str(&value).ok() }
}

/// The headers nginx sets on the way in; those of the connection are taken off.
fn dress(headers: &mut HeaderMap, entry: &Entry) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
    let host = headers.get(header::HOST).cloned();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("x-request-id", &entry.id);
    set("x-real-ip", &entry.remote);
    set("x-forwarded-for", &entry.remote);
    set("x-forwarded-proto", "http");
    set("x-forwarded-scheme", "http");
    set("x-scheme", "http");
    if let Some(host) = host {
        headers.insert("x-forwarded-host", host);
    }
}

/// Tries endpoints of the chosen upstream only: a failing canary never falls over to the primary (trap 7).
async fn send(
    state: &State,
    upstream: &Upstream,
    parts: &http::request::Parts,
    body: &Bytes,
    entry: &mut Entry,
) -> Answer {
    let start = clock::mono();
    let first = state.turn.fetch_add(1, Ordering::Relaxed);
    let count = upstream.endpoints.len();
    let mut status = StatusCode::BAD_GATEWAY;
    for endpoint in (0..count.min(TRIES)).filter_map(|turn| upstream.endpoints.get((first + turn) % count)) {
        entry.address.clone_from(&endpoint.address);
        let Some(request) = request_for(endpoint, parts, body) else {
            continue;
        };
        match tokio::time::timeout(READ_TIMEOUT, once(state, request)).await {
            Ok(Ok(answer)) => {
                entry.upstream_status = answer.status().as_u16();
                entry.upstream_seconds = clock::since(start).as_secs_f64();
                return answer;
            }
            // Only a request that was never sent may go to the next endpoint.
            Ok(Err(error)) if error.is_connect() => {}
            Ok(Err(error)) => {
                tracing::debug!(target: "ingress-nginx", "{}: {error}", endpoint.address);
                break;
            }
            Err(_) => {
                status = StatusCode::GATEWAY_TIMEOUT;
                break;
            }
        }
    }
    entry.upstream_status = status.as_u16();
    entry.upstream_seconds = clock::since(start).as_secs_f64();
    page(status)
}

fn request_for(
    endpoint: &Endpoint,
    parts: &http::request::Parts,
    body: &Bytes,
) -> Option<Request<Full<Bytes>>> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(parts.method.clone())
        .uri(format!("http://{}{path}", endpoint.dial))
        .body(Full::new(body.clone()))
        .ok()?;
    *request.headers_mut() = parts.headers.clone();
    Some(request)
}

async fn once(state: &State, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
    let response = state.client.request(request).await.map_err(Failure::Client)?;
    let (mut parts, body) = response.into_parts();
    let body = body.collect().await.map_err(Failure::Body)?.to_bytes();
    for name in HOP_BY_HOP {
        parts.headers.remove(name);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Full::new(body)))
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("upstream prematurely closed connection: {0}")]
    Client(hyper_util::client::legacy::Error),
    #[error("upstream broke off its answer: {0}")]
    Body(hyper::Error),
}

impl Failure {
    fn is_connect(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_connect())
    }
}

/// nginx's own error page.
fn page(status: StatusCode) -> Answer {
    let reason = match status {
        StatusCode::SERVICE_UNAVAILABLE => "Service Temporarily Unavailable",
        StatusCode::GATEWAY_TIMEOUT => "Gateway Time-out",
        StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
        other => other.canonical_reason().unwrap_or_default(),
    };
    let title = format!("{} {reason}", status.as_u16());
    let html = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut answer = Response::new(Full::new(Bytes::from(html)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer
}
