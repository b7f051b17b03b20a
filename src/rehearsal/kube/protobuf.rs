//! The one place where `kubectl` insists on protobuf: the bodies of the reviews that `kubectl auth` sends.
//!
//! Source: `generated.proto` of k8s.io/apimachinery `pkg/runtime` and k8s.io/api `authorization/v1`.

use prost::Message;
use serde_json::{Value, json};

use super::status::Status;

/// What a protobuf body begins with.
const MAGIC: &[u8] = b"k8s\0";

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Clone, PartialEq, Message)]
struct AccessReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<AccessSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct AccessSpec {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceAttributes>,
    #[prost(message, optional, tag = "2")]
    path: Option<PathAttributes>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceAttributes {
    #[prost(string, tag = "1")]
    namespace: String,
    #[prost(string, tag = "2")]
    verb: String,
    #[prost(string, tag = "3")]
    group: String,
    #[prost(string, tag = "5")]
    resource: String,
    #[prost(string, tag = "6")]
    subresource: String,
    #[prost(string, tag = "7")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct PathAttributes {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    verb: String,
}

#[derive(Clone, PartialEq, Message)]
struct RulesReview {
    #[prost(message, optional, tag = "2")]
    spec: Option<RulesSpec>,
}

#[derive(Clone, PartialEq, Message)]
struct RulesSpec {
    #[prost(string, tag = "1")]
    namespace: String,
}

/// A review from its protobuf body; none when the body is no protobuf.
pub(super) fn review(body: &[u8]) -> Option<Result<Value, Status>> {
    let body = body.strip_prefix(MAGIC)?;
    let review = read(body).map_err(|error| {
        Status::bad_request(format!("the object provided is unrecognized: protobuf: {error}"))
    });
    Some(review)
}

fn read(body: &[u8]) -> Result<Value, prost::DecodeError> {
    let envelope = Unknown::decode(body)?;
    let TypeMeta { api_version, kind } = envelope.type_meta.unwrap_or_default();
    let raw = envelope.raw.as_slice();
    let spec = match kind.as_str() {
        "SelfSubjectAccessReview" => access(AccessReview::decode(raw)?.spec.unwrap_or_default()),
        "SelfSubjectRulesReview" => {
            json!({"namespace": RulesReview::decode(raw)?.spec.unwrap_or_default().namespace})
        }
        _ => json!({}),
    };
    Ok(json!({"kind": kind, "apiVersion": api_version, "metadata": {}, "spec": spec}))
}

fn access(spec: AccessSpec) -> Value {
    if let Some(path) = spec.path {
        return json!({"nonResourceAttributes": {"path": path.path, "verb": path.verb}});
    }
    let asked = spec.resource.unwrap_or_default();
    json!({"resourceAttributes": {"namespace": asked.namespace, "verb": asked.verb, "group": asked.group,
        "resource": asked.resource, "subresource": asked.subresource, "name": asked.name}})
}
