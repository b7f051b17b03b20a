//! `POST /api/public/otel/v1/traces`: OTLP in JSON or protobuf, gzip or not, converted to ordinary events and
//! stored as those (v3.22 to v3.107). v2 has no such route: 404.

use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::super::events::{self, Event};
use super::super::otel;
use super::super::serving::answer::{Refusal, json_answer};
use super::Web;
use super::ingest;
use crate::rehearsal::upload;

/// The largest body, bytes: as sent, and unpacked.
const LIMIT: usize = 16 << 20;
const UNPACKED_LIMIT: u64 = 64 << 20;

/// Accepts a trace export; its jobs have no delay.
pub(super) async fn traces(State(web): State<Web>, request: Request<Body>) -> Result<Response, Refusal> {
    let scope = web.scope(request.headers()).await?;
    let headers = request.headers().clone();
    let body = upload::read(request.into_body(), LIMIT).await.map_err(|_| {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "PayloadTooLarge", "Body exceeded 16mb limit")
    })?;
    let is = |name, value: &str| {
        headers.get(name).and_then(|sent| sent.to_str().ok()).is_some_and(|sent| sent.starts_with(value))
    };
    let body = if is(header::CONTENT_ENCODING, "gzip") { unzip(&body)? } else { body.to_vec() };
    let export = if is(header::CONTENT_TYPE, "application/json") {
        otel::from_json(&body)
    } else if is_protobuf(&headers) {
        otel::from_protobuf(&body)
    } else {
        return Err(Refusal::bad_request("Invalid content type"));
    };
    let export = export.map_err(|problem| {
        web.context.log.error(&format!("Failed to parse OTel data: {problem}"));
        Refusal::bad_request("Failed to parse OTel Trace")
    })?;
    let mut found: Vec<Event> = otel::events(&export).iter().filter_map(Event::read).collect();
    events::sort(&mut found);
    ingest::accept(&web, &scope, &found, Some(Duration::ZERO)).await?;
    Ok(json_answer(StatusCode::OK, &json!({})))
}

fn is_protobuf(headers: &HeaderMap) -> bool {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    sent.starts_with("application/x-protobuf")
}

fn unzip(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(body).take(UNPACKED_LIMIT);
    match reader.read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(_) => Err(Refusal::bad_request("Failed to decompress data")),
    }
}
