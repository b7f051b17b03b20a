//! From a request to an answer: who asks, may they, which fault strikes, and which part of the server answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::StreamExt;
use http::{Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::authz::{Ask, Token, User};
use super::faults::{Fault, Faults};
use super::logs::{self, Logs};
use super::options::check_list;
use super::query::{Query, Shape};
use super::routes::{self, Objects, Route};
use super::selectors::exact_name;
use super::status::Status;
use super::store::Store;
use super::table::{self, Include};
use super::watch::Watch;
use super::{discovery, handle_write, list, portforward, protobuf, reviews, scale, view};

/// The body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Largest body of a request, as a real API server has it.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// How a real server can show an object and, with the last two, a list.
const MEDIA: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// What all connections share.
#[derive(Debug)]
pub(super) struct App {
    pub store: Store,
    pub tokens: Vec<Token>,
    pub faults: Faults,
    pub logs: Logs,
    pub bookmark_every: Duration,
}

/// The connection is to be cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is cut, as a fault asked for")]
pub(super) struct Cut;

/// Answers one request.
///
/// # Errors
/// When a fault asks for the connection to be cut.
pub(super) async fn answer(
    app: Arc<App>,
    request: Request<Incoming>,
    stop: CancellationToken,
) -> Result<Response<Body>, Cut> {
    let route = routes::of(request.uri().path());
    let fault = fault(&app, &request, route.as_ref()).await;
    match fault {
        None => {}
        Some(Fault::Refuse) => return Err(Cut),
        Some(Fault::Freeze) => {
            app.faults.holds_back();
            return std::future::pending().await;
        }
        Some(Fault::Swallow) => {
            let _ = respond(&app, request, route, &stop).await;
            app.faults.holds_back();
            return std::future::pending().await;
        }
        Some(Fault::Late(after)) => {
            if let Some(Route::Objects(path)) = route {
                carry_out_late(&app, request, path, after).await;
            }
            app.faults.holds_back();
            return std::future::pending().await;
        }
        Some(Fault::DropAnswer) => {
            // Only the answer is lost; the write itself is done, or refused, as ever.
            let _ = respond(&app, request, route, &stop).await;
            return Err(Cut);
        }
        Some(fault) => {
            let (resource, name) = match &route {
                Some(Route::Objects(path)) => (path.kind.qualified(), path.name.clone()),
                _ => Default::default(),
            };
            if let Some(status) = fault.status(&resource, &name) {
                return Ok(refuse(&status));
            }
        }
    }
    Ok(respond(&app, request, route, &stop).await.unwrap_or_else(|status| refuse(&status)))
}

/// A write that outlives its connection.
async fn carry_out_late(app: &Arc<App>, request: Request<Incoming>, path: Objects, after: Duration) {
    let query = Query::of(request.uri());
    let user = User::of(authorization(&request), &app.tokens);
    let (Ok(user), Ok(verb)) = (user, verb(request.method(), &path, &query)) else { return };
    if user.require(&ask(verb, &path, &query)).is_err() {
        return;
    }
    let headers = request.headers().clone();
    let Ok(body) = read_body(request).await else { return };
    let app = Arc::clone(app);
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        // There is nobody left to tell how it ended.
        let _ = handle_write::carry_out(&app, &user, (&headers, &body), &path, verb, &query);
    });
}

/// Waits as long as the faults ask for, and says which of them strikes.
async fn fault(app: &App, request: &Request<Incoming>, route: Option<&Route>) -> Option<Fault> {
    app.faults.thawed().await;
    app.faults.delay().await;
    match route {
        Some(Route::Objects(_)) => app.faults.strike(is_write(request.method())),
        _ => None,
    }
}

fn authorization(request: &Request<Incoming>) -> Option<&str> {
    request.headers().get(header::AUTHORIZATION)?.to_str().ok()
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

async fn respond(
    app: &Arc<App>,
    request: Request<Incoming>,
    route: Option<Route>,
    stop: &CancellationToken,
) -> Result<Response<Body>, Status> {
    let user = User::of(authorization(&request), &app.tokens)?;
    let path = request.uri().path().to_owned();
    let Some(route) = route else {
        return if routes::is_of_a_group(&path) {
            Err(Status::no_such_resource())
        } else {
            Ok(no_such_path())
        };
    };
    match route {
        Route::Objects(path) => objects(app, request, &path, &user, stop).await,
        Route::Review(plural) => {
            let body = read_body(request).await?;
            let review = match protobuf::object(&body) {
                Some(review) => review?,
                None => parse(&body)?,
            };
            Ok(json_answer(201, &reviews::answer(&plural, &review, &user)?))
        }
        Route::Other => {
            user.require_path(&path)?;
            if matches!(path.as_str(), "/healthz" | "/livez" | "/readyz") {
                return Ok(plain(200, "ok"));
            }
            let Some(document) = discovery::document(&path, request.headers()) else {
                return Ok(no_such_path());
            };
            let aggregated = document["kind"] == "APIGroupDiscoveryList";
            let mut answer = json_answer(200, &document);
            if aggregated {
                let kind = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
                answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            }
            Ok(answer)
        }
    }
}

async fn objects(
    app: &Arc<App>,
    request: Request<Incoming>,
    path: &Objects,
    user: &User,
    stop: &CancellationToken,
) -> Result<Response<Body>, Status> {
    let query = Query::of(request.uri());
    let verb = verb(request.method(), path, &query)?;
    let ask = ask(verb, path, &query);
    user.require(&ask)?;
    match (verb, path.subresource.as_str()) {
        (_, "portforward") => {
            // Whatever the method (`AuthorizePodWebsocketUpgradeCreatePermission`).
            user.require(&Ask { verb: "create", ..ask })?;
            portforward::answer(app, request, path, &query, stop)
        }
        ("get", "log") => logs::answer(app, path, &query),
        ("get", _) => get(app, path, &query, Shape::of(request.headers(), &MEDIA[..3])?),
        ("list", _) => list(app, path, &query, Shape::of(request.headers(), MEDIA)?),
        ("watch", _) => watch(app, path, &query, Shape::of(request.headers(), MEDIA)?),
        _ => handle_write::answer(app, user, request, path, verb, &query).await,
    }
}

/// What a request asks to be allowed.
pub(super) fn ask<'a>(verb: &'a str, path: &'a Objects, query: &'a Query) -> Ask<'a> {
    let selected = if matches!(verb, "list" | "watch") { exact_name(query) } else { None };
    Ask {
        verb,
        group: path.kind.group,
        resource: path.kind.plural,
        subresource: &path.subresource,
        // A namespace is asked about as if it were in itself.
        namespace: if path.kind.kind == "Namespace" { &path.name } else { &path.namespace },
        name: selected.unwrap_or(&path.name),
    }
}

fn verb(method: &Method, path: &Objects, query: &Query) -> Result<&'static str, Status> {
    let named = !path.name.is_empty();
    Ok(match *method {
        Method::GET if named => "get",
        Method::GET if query.is_on("watch") => "watch",
        Method::GET => "list",
        Method::POST if !named || path.subresource == "portforward" => "create",
        Method::PUT if named => "update",
        Method::PATCH if named => "patch",
        Method::DELETE if named && path.subresource.is_empty() => "delete",
        Method::DELETE if !named => "deletecollection",
        _ => return Err(Status::method_not_allowed()),
    })
}

fn get(app: &App, path: &Objects, query: &Query, shape: Shape) -> Result<Response<Body>, Status> {
    list::require_reached(&app.store, query)?;
    let object = app.store.stored(path.kind, &(path.namespace.clone(), path.name.clone()));
    let object = object.ok_or_else(|| Status::not_found(path.kind, &path.name))?;
    let object = view::show(path.kind, &object);
    if path.subresource == "scale" {
        return Ok(json_answer(200, &scale::show(path.kind, &object)));
    }
    Ok(match shape {
        Shape::Full => json_answer(200, &object),
        Shape::Metadata => json_answer(200, &table::metadata_of(&object)),
        Shape::Table => {
            let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
            json_answer(200, &table::render(path.kind, &[object], &metadata, Include::of(query), true))
        }
    })
}

fn list(app: &App, path: &Objects, query: &Query, shape: Shape) -> Result<Response<Body>, Status> {
    check_list(query, false)?;
    let page = list::page(&app.store, path.kind, &path.namespace, query)?;
    Ok(match shape {
        Shape::Table => json_answer(
            200,
            &table::render(path.kind, &page.objects, &page.metadata, Include::of(query), true),
        ),
        Shape::Metadata => {
            let items: Vec<Value> = page.objects.iter().map(|object| table::metadata_of(object)).collect();
            json_answer(
                200,
                &json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": page.metadata, "items": items}),
            )
        }
        Shape::Full => {
            let items: Vec<Item<'_>> = page.objects.iter().map(|object| Item(object)).collect();
            let items = serde_json::to_string(&items).unwrap_or_else(|_| "[]".into());
            let (kind, version) = (path.kind.kind, path.kind.api_version());
            let metadata = page.metadata;
            let body = format!(
                "{{\"kind\":\"{kind}List\",\"apiVersion\":\"{version}\",\"metadata\":{metadata},\"items\":{items}}}\n"
            );
            bytes_answer(200, "application/json", body.into())
        }
    })
}

/// An object in a list, which does not repeat its kind.
struct Item<'a>(&'a Value);

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let fields = self.0.as_object().into_iter().flatten();
        for (key, value) in fields.filter(|(key, _)| !matches!(key.as_str(), "kind" | "apiVersion")) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn watch(app: &App, path: &Objects, query: &Query, shape: Shape) -> Result<Response<Body>, Status> {
    check_list(query, true)?;
    let parts = (app.store.clone(), app.faults.clone());
    let watch = Watch::of(parts, path.kind, &path.namespace, query, shape, app.bookmark_every)?;
    Ok(stream("application/json", watch.start()))
}

/// The whole body of a request.
///
/// # Errors
/// 413 when it is larger than 3 MiB, 400 when it breaks off.
pub(super) async fn read_body(request: Request<Incoming>) -> Result<Bytes, Status> {
    match http_body_util::Limited::new(request.into_body(), MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {MAX_BODY}");
            Err(Status::new(413, "RequestEntityTooLarge", message))
        }
        Err(error) => Err(Status::bad_request(format!("the body of the request broke off: {error}"))),
    }
}

/// A body as JSON.
///
/// # Errors
/// 400 when it is none.
pub(super) fn parse(body: &[u8]) -> Result<Value, Status> {
    serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!("the object provided is unrecognized: json parse error: {error}"))
    })
}

/// An answer in JSON.
pub(super) fn json_answer(code: u16, body: &Value) -> Response<Body> {
    bytes_answer(code, "application/json", format!("{body}\n").into())
}

/// A refusal.
pub(super) fn refuse(status: &Status) -> Response<Body> {
    let mut response = json_answer(status.code, &status.to_value());
    if let Some(seconds) = status.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A path nobody serves is not refused with a `Status`, but by the web server below.
fn no_such_path() -> Response<Body> {
    plain(404, "404 page not found\n")
}

fn plain(code: u16, text: &'static str) -> Response<Body> {
    let body = Bytes::from_static(text.as_bytes());
    bytes_answer(code, "text/plain; charset=utf-8", body)
}

fn bytes_answer(code: u16, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}

/// An answer whose body comes bit by bit.
pub(super) fn stream(kind: &'static str, lines: mpsc::Receiver<Bytes>) -> Response<Body> {
    let frames =
        futures::stream::unfold(
            lines,
            |mut lines| async move { lines.recv().await.map(|line| (line, lines)) },
        );
    let body = StreamBody::new(frames.map(|line| Ok(Frame::data(line))));
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
