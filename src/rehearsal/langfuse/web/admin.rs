//! `GET|POST /api/admin/bullmq`: job counts of every queue, and retrying what failed; needs `ADMIN_API_KEY`.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::{Json, body::Bytes};
use serde_json::{Value, json};

use super::super::bullmq::{self, Keys};
use super::super::serving::answer::{Refusal, json_answer};
use super::Web;

/// The job counts of every queue.
pub(super) async fn queues(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Refusal> {
    check(&web, &headers)?;
    let mut redis = web.redis.commands();
    let mut answer = Vec::with_capacity(bullmq::ALL.len());
    for name in bullmq::ALL {
        let counts = bullmq::counts(&mut redis, name).await.map_err(|error| Refusal::internal(&error))?;
        answer.push(json!({"queueName": name, "jobCount": counts}));
    }
    Ok(json_answer(StatusCode::OK, &answer.into()))
}

/// `{"action": "retry", "queueNames": [...]}`; the other actions are not offered here.
pub(super) async fn manage(
    State(web): State<Web>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    check(&web, &headers)?;
    let Json(body) =
        Json::<Value>::from_bytes(&body).map_err(|error| Refusal::bad_request(&error.to_string()))?;
    if body["action"] != "retry" {
        return Err(Refusal::not_found("Action does not exist"));
    }
    for name in body["queueNames"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        retry(&web, name).await.map_err(|error| Refusal::internal(&error))?;
    }
    Ok(json_answer(StatusCode::OK, &json!({"message": "Retried all jobs"})))
}

async fn retry(web: &Web, name: &str) -> Result<(), redis::RedisError> {
    let keys = Keys::new(name);
    let retried: u64 = bullmq::retry_failed(&mut web.redis.commands(), &keys).await?;
    web.context.log.info(&format!("Retried {retried} jobs for queue {name}"));
    Ok(())
}

fn check(web: &Web, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(key) = &web.context.settings.admin_api_key else {
        web.context.log.error("ADMIN_API_KEY is not set");
        return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "Error", "ADMIN_API_KEY is not set"));
    };
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if sent.strip_prefix("Bearer ") == Some(key.expose()) {
        Ok(())
    } else {
        Err(Refusal::unauthorized("Unauthorized: Invalid token"))
    }
}
