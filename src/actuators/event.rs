//! The journal's mirror in the cluster: a Kubernetes Event on the object that was written.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};

use crate::clients::kube::call;
use crate::domain::Trouble;
use crate::domain::traffic::ObjectRef;

/// Longest message that the API server takes (core/v1 Event validation).
const LONGEST: usize = 1024;

/// Tells the cluster what was done to `object`.
///
/// # Errors
/// When the cluster does not take it. Nothing is lost then: the journal on disk is the record.
pub async fn tell(
    client: Client,
    object: &ObjectRef,
    reason: &str,
    message: &str,
    warning: bool,
    now: Timestamp,
) -> Result<(), Trouble> {
    let tried = format!("create events in {}", object.namespace);
    let api: Api<Event> = Api::namespaced(client, &object.namespace);
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}.cutover-", object.name)),
            namespace: Some(object.namespace.clone()),
            ..ObjectMeta::default()
        },
        involved_object: ObjectReference {
            api_version: Some("networking.k8s.io/v1".into()),
            kind: Some(object.kind.clone()),
            name: Some(object.name.clone()),
            namespace: Some(object.namespace.clone()),
            ..ObjectReference::default()
        },
        reason: Some(reason.into()),
        message: Some(message.chars().take(LONGEST).collect()),
        type_: Some(if warning { "Warning" } else { "Normal" }.into()),
        source: Some(EventSource { component: Some("cutover".into()), host: None }),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    };
    let name = format!("Event on {object}");
    call(&name, &tried, api.create(&PostParams::default(), &event)).await.map(drop)
}
