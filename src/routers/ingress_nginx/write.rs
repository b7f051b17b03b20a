//! One PATCH, sent once, and what its answer proves.
//!
//! One rule: "nothing was written" is said only when that is certain; everything else is [`ApplyError::Lost`].

use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::client::Body;
use kube::{Api, Client};

use super::{owner, weight};
use crate::clients::failure::{causes, within};
use crate::clients::kube::{from_status, trouble};
use crate::domain::traffic::{ObjectRef, Owner};
use crate::domain::units::span;
use crate::domain::{Kind, Trouble};
use crate::routers::FIELD_MANAGER;
use crate::shift::machine::{ApplyError, SERVER_DEADLINE};
use crate::shift::patch::{CANARY_WEIGHT, Patch, PatchKind};

/// Own deadline of a write; the server is told the same, so that what got no answer is soon over there too.
pub(super) const DEADLINE: Duration = SERVER_DEADLINE;

/// Texts of a 5xx answer that prove that nothing was stored: admission and patch assembly come before etcd.
const NOT_WRITTEN: [&str; 4] = [
    "failed calling webhook",
    "failed to create typed patch object",
    "admission webhook",
    "error decoding patch",
];

/// An answer of the API server, whatever its status.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: serde_json::Value,
}

/// Asks with `dryRun=All`.
pub(super) async fn dry_run(client: &Client, patch: &Patch) -> Result<(), Trouble> {
    match send(client, patch, true).await {
        Ok(answer) if answer.status.is_success() => Ok(()),
        Ok(answer) => Err(refusal(patch, &answer)),
        Err(Sent::Not(trouble) | Sent::Perhaps(trouble)) => Err(trouble),
    }
}

/// Sends the patch; the answer is the new `resourceVersion`.
pub(super) async fn apply(client: &Client, patch: &Patch) -> Result<String, ApplyError> {
    let answer = match send(client, patch, false).await {
        Ok(answer) => answer,
        Err(Sent::Not(trouble)) => return Err(ApplyError::Refused(trouble)),
        Err(Sent::Perhaps(trouble)) => return Err(ApplyError::Lost(trouble)),
    };
    if answer.status.is_success() {
        let version = answer.body["metadata"]["resourceVersion"].as_str();
        return version.map(str::to_owned).ok_or_else(|| {
            ApplyError::Lost(
                Trouble::new(Kind::Unexpected, patch.object.to_string(), "the answer is not the object")
                    .remedy("check that no proxy answers in the API server's place"),
            )
        });
    }
    let trouble = refusal(patch, &answer);
    if is_conflict(patch, &answer) {
        let (trouble, owner) = explain(client, &patch.object, trouble).await;
        return Err(ApplyError::Conflict(trouble, owner));
    }
    let message = answer.body["message"].as_str().unwrap_or_default();
    if answer.status.is_server_error() && !NOT_WRITTEN.iter().any(|proof| message.contains(proof)) {
        return Err(ApplyError::Lost(trouble));
    }
    Err(ApplyError::Refused(trouble))
}

/// Whether a request that got no answer may have been carried out.
enum Sent {
    Not(Trouble),
    Perhaps(Trouble),
}

async fn send(client: &Client, patch: &Patch, dry_run: bool) -> Result<Answer, Sent> {
    let object = patch.object.to_string();
    let attempt = format!("patch ingresses in {}", patch.object.namespace);
    let path = format!(
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses/{}?fieldManager={FIELD_MANAGER}&fieldValidation=Ignore&timeout={}s{}",
        patch.object.namespace,
        patch.object.name,
        DEADLINE.as_secs(),
        if dry_run { "&dryRun=All" } else { "" }
    );
    let request = Request::patch(path)
        .header("content-type", patch.kind.content_type())
        .header("accept", "application/json")
        .body(Body::from(patch.body.to_string().into_bytes()))
        .map_err(|e| Sent::Not(Trouble::new(Kind::Unexpected, &object, e.to_string())))?;
    let exchange = async {
        let response = client.send(request).await.map_err(|e| {
            let trouble = trouble(&object, &attempt, &e);
            if never_left(&e) { Sent::Not(trouble) } else { Sent::Perhaps(trouble) }
        })?;
        let (head, body) = response.into_parts();
        let retry_after = head.headers.get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
        let bytes = match body.collect().await {
            Ok(body) => body.to_bytes(),
            // The status line alone settles a refusal.
            Err(_) if head.status.is_client_error() => bytes::Bytes::new(),
            Err(e) => {
                return Err(Sent::Perhaps(Trouble::new(
                    Kind::Unreachable,
                    &object,
                    format!("{attempt}: answer cut: {e}"),
                )));
            }
        };
        let body = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { status: head.status, retry_after: retry_after.map(Duration::from_secs), body })
    };
    tokio::time::timeout(DEADLINE, exchange).await.unwrap_or_else(|_| {
        Err(Sent::Perhaps(
            Trouble::new(Kind::Timeout, &object, format!("{attempt}: no answer in {}", span(DEADLINE)))
                .remedy("read the object before anything else"),
        ))
    })
}

/// Whether the request cannot have reached the server: no connection, or no credentials to send it with.
fn never_left(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Auth(_))
        || causes(error).any(|cause| {
            cause
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(hyper_util::client::legacy::Error::is_connect)
        })
}

fn refusal(patch: &Patch, answer: &Answer) -> Trouble {
    let body = &answer.body;
    let text = |key: &str| body[key].as_str().unwrap_or_default();
    let told = body["details"]["retryAfterSeconds"].as_u64().filter(|s| *s > 0).map(Duration::from_secs);
    let trouble = from_status(
        &patch.object.to_string(),
        &format!("patch ingresses in {}", patch.object.namespace),
        answer.status.as_u16(),
        text("reason"),
        text("message"),
        answer.retry_after.or(told),
    );
    if is_conflict(patch, answer) { Trouble { kind: Kind::Conflict, ..trouble } } else { trouble }
}

/// 409, or a failing `test` of a JSON patch (422), or another object under the same name (422 on the uid).
fn is_conflict(patch: &Patch, answer: &Answer) -> bool {
    let message = answer.body["message"].as_str().unwrap_or_default();
    match answer.status.as_u16() {
        409 => true,
        422 => {
            message.contains("metadata.uid")
                || (patch.kind == PatchKind::Json
                    && (message.contains("rejected our request due to an error")
                        || message.contains("test failed")))
        }
        _ => false,
    }
}

/// Reads the object again to say who wrote it and what it says now.
async fn explain(client: &Client, object: &ObjectRef, trouble: Trouble) -> (Trouble, Option<Owner>) {
    let api: Api<Ingress> = Api::namespaced(client.clone(), &object.namespace);
    let name = object.to_string();
    // Listed by its name: to read a single one would need a permission of its own.
    let one = ListParams::default().fields(&format!("metadata.name={}", object.name));
    let tried = format!("list ingresses in {}", object.namespace);
    let read = within(Duration::from_secs(3), &name, &tried, async {
        api.list(&one).await.map_err(|e| self::trouble(&name, &tried, &e))
    });
    let Some(now) = read.await.ok().and_then(|list| list.items.into_iter().next()) else {
        return (trouble, None);
    };
    let owner = owner::of(&now.metadata);
    let annotations = now.metadata.annotations.unwrap_or_default();
    let says = annotations.get(CANARY_WEIGHT).map_or("-", String::as_str);
    let by = owner.as_ref().map_or("somebody", |o| o.manager.as_str());
    let what = if weight::is_canary(&annotations) { "" } else { " and is no canary any more" };
    let detail = format!("{}; {by} wrote the weight last, it is now {says}{what}", trouble.detail);
    (Trouble::new(Kind::Conflict, &name, detail).remedy("look at what it says now and plan anew"), owner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Split;
    use crate::shift::plan::tests::route;

    #[test]
    fn a_name_with_test_in_it_makes_a_refusal_no_conflict() {
        let patch = Patch::back(&route(25), Split::V2);
        let conflict = |message: &str| {
            let body = serde_json::json!({"message": message});
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            is_conflict(&patch, &Answer { status, retry_after: None, body })
        };
        assert!(!conflict(
            "Ingress.networking.k8s.io \"langfuse-test\" is invalid: spec.rules: Required value"
        ));
        assert!(conflict("the server rejected our request due to an error in our request"));
        assert!(conflict("testing value /metadata/uid failed: test failed"));
    }
}
