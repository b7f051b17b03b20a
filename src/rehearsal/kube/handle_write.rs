//! Requests that change objects: which change a verb and a media type ask for.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::authz::{Ask, User};
use super::delete;
use super::handle::{App, Body, ask, json_answer, parse, read_body};
use super::list;
use super::objects::meta;
use super::options::{check_delete, check_write};
use super::protobuf;
use super::query::Query;
use super::resources::Kind;
use super::routes::Objects;
use super::scale;
use super::status::Status;
use super::write::{Change, Outcome, Target, Terms, require_namespace, write};

/// The media types of an object, as a real server lists them when it refuses another.
const OBJECTS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The media types of a patch.
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// Carries out a create, update, patch or delete.
pub(super) async fn answer(
    app: &App,
    user: &User,
    request: Request<Incoming>,
    path: &Objects,
    verb: &str,
    query: &Query,
) -> Result<Response<Body>, Status> {
    let headers = request.headers().clone();
    let body = read_body(request).await?;
    carry_out(app, user, (&headers, &body), path, verb, query)
}

/// The same, of a request that was read.
pub(super) fn carry_out(
    app: &App,
    user: &User,
    (headers, body): (&HeaderMap, &Bytes),
    path: &Objects,
    verb: &str,
    query: &Query,
) -> Result<Response<Body>, Status> {
    let target = Target {
        kind: path.kind,
        namespace: path.namespace.clone(),
        name: path.name.clone(),
        subresource: path.subresource.clone(),
    };
    match verb {
        "delete" => return delete_one(app, &target, body, query),
        "deletecollection" => return delete_all(app, &target, body, query),
        _ => {}
    }
    let terms = Terms {
        manager: query.manager(headers),
        dry_run: query.dry_run(),
        unknown: query.unknown(),
        force: query.is_on("force"),
    };
    let change = match verb {
        "create" => Change::Create(object(headers, body, query, verb)?),
        "update" => Change::Replace(object(headers, body, query, verb)?),
        _ => patch(headers, body, query)?,
    };
    if matches!(change, Change::Create(_)) {
        in_namespace_of(&target, &change)?;
        require_namespace(&app.store, &target)?;
    } else if target.is_made_by(&change) && app.store.stored(target.kind, &target.key()).is_none() {
        // What an apply or a replacement creates needs the right to create as well.
        user.require(&Ask { verb: "create", ..ask(verb, path, query) })?;
        require_namespace(&app.store, &target)?;
    }
    if matches!(change, Change::Apply(_)) && target.subresource == "scale" {
        return Err(Status::unsupported_media_type(&PATCHES[..2]));
    }
    Ok(written(path.kind, &target, &write(&app.store, &target, &terms, &change)?))
}

/// The namespace is part of the address, never of the body alone.
fn in_namespace_of(target: &Target, change: &Change) -> Result<(), Status> {
    let Change::Create(body) = change else {
        return Ok(());
    };
    if target.kind.namespaced && target.namespace.is_empty() {
        return Err(Status::method_not_allowed());
    }
    let named = meta(body, "namespace");
    if !named.is_empty() && named != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

fn written(kind: &Kind, target: &Target, outcome: &Outcome) -> Response<Body> {
    let code = if outcome.created { 201 } else { 200 };
    let mut response = if target.subresource == "scale" {
        json_answer(code, &scale::show(kind, &outcome.object))
    } else {
        json_answer(code, &outcome.object)
    };
    for warning in &outcome.warnings {
        let text = format!("299 - \"{}\"", warning.replace('"', "\\\""));
        if let Ok(value) = header::HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

fn media_type(headers: &HeaderMap) -> &str {
    let full = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    full.split(';').next().unwrap_or_default().trim()
}

fn object(headers: &HeaderMap, body: &Bytes, query: &Query, verb: &str) -> Result<Value, Status> {
    check_write(query, verb)?;
    let object = match media_type(headers) {
        "" | "application/json" => parse(body)?,
        protobuf::MEDIA => protobuf::object(body).unwrap_or_else(|| parse(body))?,
        _ => return Err(Status::unsupported_media_type(OBJECTS)),
    };
    if object.is_object() {
        return match object.get("metadata") {
            Some(metadata) if !metadata.is_object() && !metadata.is_null() => Err(Status::bad_request(
                "the object provided is unrecognized: its metadata is no JSON object",
            )),
            _ => Ok(object),
        };
    }
    Err(Status::bad_request("the object provided is unrecognized: it is no JSON object"))
}

fn patch(headers: &HeaderMap, body: &Bytes, query: &Query) -> Result<Change, Status> {
    let decoded = |shape: fn(&Value) -> bool| {
        let bad = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
        let patch: Value = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
        if shape(&patch) { Ok(patch) } else { Err(bad("it has the wrong JSON type".into())) }
    };
    let media = media_type(headers);
    if !PATCHES.contains(&media) {
        return Err(Status::unsupported_patch());
    }
    check_write(query, if media == "application/apply-patch+yaml" { "apply" } else { "patch" })?;
    Ok(match media {
        "application/json-patch+json" => Change::Json(decoded(Value::is_array)?),
        "application/merge-patch+json" => Change::Merge(decoded(Value::is_object)?),
        "application/strategic-merge-patch+json" => Change::Strategic(decoded(Value::is_object)?),
        "application/apply-patch+yaml" => Change::Apply(configuration(body)?),
        _ => return Err(Status::unsupported_patch()),
    })
}

/// The configuration of an apply.
fn configuration(body: &Bytes) -> Result<Value, Status> {
    let bad = |why: String| Status::bad_request(format!("error decoding YAML: {why}"));
    let config: Value = serde_json::from_slice(body).map_err(|error| bad(error.to_string()))?;
    if config.is_object() { Ok(config) } else { Err(bad("it is no object".into())) }
}

fn options(body: &Bytes) -> Result<Value, Status> {
    if body.is_empty() { Ok(json!({})) } else { parse(body) }
}

/// Options in the body, even empty ones, make those of the query count for nothing.
fn is_dry(body: &Bytes, options: &Value, query: &Query) -> Result<bool, Status> {
    if !body.is_empty() {
        return Ok(options.get("dryRun").is_some_and(|value| value[0] == "All"));
    }
    check_delete(query)?;
    Ok(query.dry_run())
}

/// As an object stands in a list.
fn without_kind(object: &Value) -> Value {
    let mut item = object.clone();
    for key in ["apiVersion", "kind"] {
        super::objects::map(&mut item).remove(key);
    }
    item
}

fn delete_one(app: &App, target: &Target, body: &Bytes, query: &Query) -> Result<Response<Body>, Status> {
    let options = options(body)?;
    let dry = is_dry(body, &options, query)?;
    Ok(json_answer(200, &delete::delete(&app.store, target, &options, dry)?.body))
}

fn delete_all(app: &App, target: &Target, body: &Bytes, query: &Query) -> Result<Response<Body>, Status> {
    let dry = is_dry(body, &options(body)?, query)?;
    let page = list::page(&app.store, target.kind, &target.namespace, query)?;
    let mut gone = Vec::new();
    for object in page.objects {
        let namespace = meta(&object, "namespace").to_owned();
        let one = Target { namespace, name: meta(&object, "name").into(), ..target.clone() };
        match delete::delete(&app.store, &one, &json!({}), dry) {
            Ok(_) => gone.push(without_kind(&object)),
            // Somebody else deleted it first.
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    let kind = target.kind;
    Ok(json_answer(
        200,
        &json!({"kind": format!("{}List", kind.kind), "apiVersion": kind.api_version(),
        "metadata": page.metadata, "items": gone}),
    ))
}
