use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::{NS, WEIGHT, canary, client, deployment, raw, refusal, server};

fn weight(value: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "langfuse-v3", "namespace": NS, "annotations": {WEIGHT: value}}})
}

fn annotation(ingress: &Ingress) -> Option<&str> {
    ingress.metadata.annotations.as_ref()?.get(WEIGHT).map(String::as_str)
}

#[tokio::test]
async fn one_annotation_can_be_applied_and_the_generation_stays() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let forced = PatchParams::apply("cutover").force();
    let ingress = api.patch("langfuse-v3", &forced, &Patch::Apply(weight("25"))).await.unwrap();
    assert_eq!(annotation(&ingress), Some("25"));
    assert_eq!(ingress.metadata.generation, Some(1));
    let owners = ingress.metadata.managed_fields.unwrap();
    let mine = owners.iter().find(|entry| entry.manager.as_deref() == Some("cutover")).unwrap();
    assert_eq!(mine.operation.as_deref(), Some("Apply"));
    let fields = serde_json::to_value(&mine.fields_v1).unwrap();
    assert_eq!(fields, json!({"f:metadata": {"f:annotations": {format!("f:{WEIGHT}"): {}}}}));
    let helm = owners.iter().find(|entry| entry.manager.as_deref() == Some("helm")).unwrap();
    let fields = serde_json::to_value(&helm.fields_v1).unwrap();
    assert!(
        fields["f:metadata"]["f:annotations"].get(format!("f:{WEIGHT}")).is_none(),
        "taken from helm: {fields}"
    );
    assert!(fields["f:spec"]["f:rules"].is_object(), "helm keeps the rest: {fields}");
}

#[tokio::test]
async fn a_conflict_names_manager_and_field() {
    let server = server().await;
    server.store().create("kubectl-client-side-apply", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let applied = api.patch("langfuse-v3", &PatchParams::apply("cutover"), &Patch::Apply(weight("25"))).await;
    let status = refusal(applied);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let who = "conflict with \"kubectl-client-side-apply\" using networking.k8s.io/v1";
    let field = ".metadata.annotations.nginx.ingress.kubernetes.io/canary-weight";
    assert_eq!(status.message, format!("Apply failed with 1 conflict: {who}: {field}"));
    let causes = status.details.unwrap().causes;
    assert_eq!(causes.len(), 1);
    assert_eq!((causes[0].reason.as_str(), causes[0].message.as_str()), ("FieldManagerConflict", who));
    assert_eq!(causes[0].field, field);
}

#[tokio::test]
async fn an_owner_by_apply_is_named_without_version() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    server.store().apply("cockpit", weight("5")).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let applied = api.patch("langfuse-v3", &PatchParams::apply("cutover"), &Patch::Apply(weight("25"))).await;
    assert_eq!(refusal(applied).details.unwrap().causes[0].message, "conflict with \"cockpit\"");
    let same = api.patch("langfuse-v3", &PatchParams::apply("cutover"), &Patch::Apply(weight("5"))).await;
    assert_eq!(annotation(&same.expect("the same value is no conflict")), Some("5"));
}

#[tokio::test]
async fn leaving_an_owned_field_out_deletes_it() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let forced = PatchParams::apply("cutover").force();
    api.patch("langfuse-v3", &forced, &Patch::Apply(weight("25"))).await.unwrap();
    let mut empty = weight("25");
    empty["metadata"].as_object_mut().unwrap().remove("annotations");
    let ingress = api.patch("langfuse-v3", &forced, &Patch::Apply(empty)).await.unwrap();
    assert_eq!(annotation(&ingress), None);
    let kept = ingress.metadata.annotations.unwrap();
    assert_eq!(kept["nginx.ingress.kubernetes.io/canary"], "true");
    assert!(ingress.spec.unwrap().rules.is_some());
}

#[tokio::test]
async fn a_merge_patch_takes_ownership_from_an_applier() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    server.store().apply("cutover", weight("25")).unwrap();
    let patch = json!({"metadata": {"annotations": {WEIGHT: "0"}}});
    let ingress = server.store().merge("gitops", "ingresses", NS, "langfuse-v3", "", patch).unwrap();
    let owners = ingress["metadata"]["managedFields"].as_array().unwrap();
    assert!(owners.iter().all(|entry| entry["manager"] != "cutover"), "{owners:?}");
    assert!(owners.iter().any(|entry| entry["manager"] == "gitops" && entry["operation"] == "Update"));
}

#[tokio::test]
async fn an_apply_can_be_a_compare_and_swap() {
    let server = server().await;
    let created = server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let forced = PatchParams::apply("cutover").force();
    let mut stale = weight("25");
    stale["metadata"]["resourceVersion"] = json!("1");
    let status = refusal(api.patch("langfuse-v3", &forced, &Patch::Apply(&stale)).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Operation cannot be fulfilled on ingresses.networking.k8s.io \"langfuse-v3\": the object has been \
         modified; please apply your changes to the latest version and try again"
    );
    stale["metadata"]["resourceVersion"] = created["metadata"]["resourceVersion"].clone();
    assert!(api.patch("langfuse-v3", &forced, &Patch::Apply(&stale)).await.is_ok());

    let mut other = weight("30");
    other["metadata"]["uid"] = json!("0b6d3f0e-0000-4000-8000-000000000000");
    let status = refusal(api.patch("langfuse-v3", &forced, &Patch::Apply(&other)).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(status.message.contains("metadata.uid: Invalid value"), "{}", status.message);
    assert!(status.message.contains("field is immutable"), "{}", status.message);
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_a_500_without_reason() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let path =
        format!("/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/langfuse-v3?fieldManager=x&force=true");
    let mut number = weight("25");
    number["metadata"]["annotations"][WEIGHT] = json!(25);
    let mut unknown = weight("25");
    unknown["spec"] = json!({"weight": 25});
    for body in [number, unknown] {
        let (code, status) = raw(&server, "PATCH", &path, "application/apply-patch+yaml", &body).await;
        assert_eq!(code, 500);
        assert!(status.get("reason").is_none(), "{status}");
        let message = status["message"].as_str().unwrap();
        let start = "failed to create typed patch object (langfuse/langfuse-v3; networking.k8s.io/v1, Kind=Ingress): .";
        assert!(message.starts_with(start), "{message}");
    }
}

#[tokio::test]
async fn applying_to_a_missing_ingress_creates_no_broken_one() {
    let server = server().await;
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let status =
        refusal(api.patch("langfuse-v3", &PatchParams::apply("x"), &Patch::Apply(weight("5"))).await);
    assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
    assert!(
        status.message.contains("either `defaultBackend` or `rules` must be specified"),
        "{}",
        status.message
    );
    assert!(server.store().get("ingresses", NS, "langfuse-v3").is_none());
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let server = server().await;
    let created = server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let dry = PatchParams::apply("cutover").force().dry_run();
    let ingress = api.patch("langfuse-v3", &dry, &Patch::Apply(weight("25"))).await.unwrap();
    assert_eq!(annotation(&ingress), Some("25"));
    assert_eq!(ingress.metadata.resource_version.as_deref(), created["metadata"]["resourceVersion"].as_str());
    assert_eq!(server.store().get("ingresses", NS, "langfuse-v3"), Some(created));
}

#[tokio::test]
async fn two_appliers_share_a_deployment_by_container_and_variable() {
    let server = server().await;
    let mut base = deployment("web");
    base["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("env");
    server.store().apply("helm", base).unwrap();
    let extra = |value: &str| {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": NS},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "X", "value": value}]}]}}}})
    };
    let object = server.store().apply("operator", extra("1")).unwrap();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], "langfuse/langfuse:3.80.0");
    assert_eq!(container["env"], json!([{"name": "X", "value": "1"}]));
    assert_eq!(object["metadata"]["generation"], 2);
    let gone = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": NS},
        "spec": {"template": {"spec": {"containers": [{"name": "web"}]}}}});
    let object = server.store().apply("operator", gone).unwrap();
    let container = &object["spec"]["template"]["spec"]["containers"][0];
    assert!(container.get("env").is_none(), "{container}");
    assert_eq!(container["image"], "langfuse/langfuse:3.80.0");
}

#[tokio::test]
async fn applying_the_same_again_changes_nothing() {
    let server = server().await;
    server.store().apply("helm", deployment("web")).unwrap();
    let before = server.store().get("deployments", NS, "web").unwrap();
    server.store().apply("helm", deployment("web")).unwrap();
    assert_eq!(server.store().get("deployments", NS, "web").unwrap(), before);
}
