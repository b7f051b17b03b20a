use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{NS, WEIGHT, canary, client, deployment, raw, refusal, server};

#[tokio::test]
async fn a_merge_patch_with_a_stale_version_is_a_conflict() {
    let server = server().await;
    let created = server.store().create("helm", canary()).unwrap();
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let patch = |version: &Value, weight: &str| {
        Patch::Merge(json!({"metadata": {"resourceVersion": version, "annotations": {WEIGHT: weight}}}))
    };
    let version = &created["metadata"]["resourceVersion"];
    api.patch("langfuse-v3", &PatchParams::default(), &patch(version, "5")).await.unwrap();
    let status = refusal(api.patch("langfuse-v3", &PatchParams::default(), &patch(version, "10")).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(status.message.starts_with("Operation cannot be fulfilled on ingresses.networking.k8s.io"));
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("langfuse-v3", "ingresses"));
}

#[tokio::test]
async fn a_failing_test_of_a_json_patch_is_invalid() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let address = format!("/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/langfuse-v3");
    let pointer = "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight";
    let patch = |old: &str| json!([{"op": "test", "path": pointer, "value": old}, {"op": "replace", "path": pointer, "value": "7"}]);
    let (code, status) = raw(&server, "PATCH", &address, "application/json-patch+json", &patch("99")).await;
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
    assert_eq!(status["message"], "the server rejected our request due to an error in our request");
    let (code, object) = raw(&server, "PATCH", &address, "application/json-patch+json", &patch("0")).await;
    assert_eq!((code, object["metadata"]["annotations"][WEIGHT].as_str()), (200, Some("7")));
}

#[tokio::test]
async fn a_strategic_patch_merges_variables_by_name() {
    let server = server().await;
    server.store().create("helm", deployment("web")).unwrap();
    let api: Api<Deployment> = Api::namespaced(client(&server, "admin").await, NS);
    let patch = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "PORT", "value": "4000"}]}]}}}});
    let changed = api.patch("web", &PatchParams::default(), &Patch::Strategic(patch)).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    let container = changed.spec.unwrap().template.spec.unwrap().containers.remove(0);
    assert_eq!(container.image.as_deref(), Some("langfuse/langfuse:3.80.0"));
    let env: Vec<_> = container.env.unwrap().into_iter().map(|e| (e.name, e.value.unwrap())).collect();
    assert_eq!(env, [("PORT".into(), "4000".into()), ("NODE_ENV".into(), "production".into())]);
}

#[tokio::test]
async fn scale_counts_a_generation_and_status_does_not() {
    let server = server().await;
    server.store().create("helm", deployment("web")).unwrap();
    let api: Api<Deployment> = Api::namespaced(client(&server, "admin").await, NS);
    let scale: Scale = api.get_scale("web").await.unwrap();
    assert_eq!(scale.spec.unwrap().replicas, Some(2));
    assert_eq!(scale.status.unwrap().selector.as_deref(), Some("app=web"));
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    api.patch_scale("web", &PatchParams::default(), &patch).await.unwrap();
    let status = Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"readyReplicas": 4}}));
    let changed = api.patch_status("web", &PatchParams::default(), &status).await.unwrap();
    assert_eq!(changed.metadata.generation, Some(2));
    assert_eq!(changed.spec.unwrap().replicas, Some(5));
    assert_eq!(changed.status.unwrap().ready_replicas, Some(4));
    let sneaky = Patch::Merge(json!({"status": {"readyReplicas": 77}}));
    let changed = api.patch("web", &PatchParams::default(), &sneaky).await.unwrap();
    assert_eq!(changed.status.unwrap().ready_replicas, Some(4));
}

#[tokio::test]
async fn a_replaced_object_needs_the_latest_version() {
    let server = server().await;
    let api: Api<Lease> = Api::namespaced(client(&server, "admin").await, NS);
    let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "cutover"},
        "spec": {"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": "2026-01-02T03:04:05.000006Z"}}))
    .unwrap();
    let first = api.create(&PostParams::default(), &lease).await.unwrap();
    assert_eq!(refusal(api.create(&PostParams::default(), &lease).await).reason, "AlreadyExists");
    let mut mine = first.clone();
    mine.spec.as_mut().unwrap().holder_identity = Some("b".into());
    let second = api.replace("cutover", &PostParams::default(), &mine).await.unwrap();
    assert_eq!(second.spec.as_ref().unwrap().renew_time, first.spec.as_ref().unwrap().renew_time);
    assert_eq!(refusal(api.replace("cutover", &PostParams::default(), &mine).await).code, 409);
}

#[tokio::test]
async fn names_are_generated_and_objects_deleted() {
    let server = server().await;
    let api: Api<Ingress> = Api::namespaced(client(&server, "admin").await, NS);
    let mut object = canary();
    object["metadata"]["name"] = Value::Null;
    object["metadata"]["generateName"] = json!("canary-");
    let made = api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
    let name = made.metadata.name.unwrap();
    assert!(name.starts_with("canary-") && name.len() == 12, "{name}");
    let wrong = DeleteParams::default()
        .preconditions(kube::api::Preconditions { uid: Some("other".into()), resource_version: None });
    assert_eq!(refusal(api.delete(&name, &wrong).await).code, 409);
    let done = api.delete(&name, &DeleteParams::default()).await.unwrap().right().expect("a status");
    assert!(done.is_success());
    assert_eq!(
        refusal(api.get(&name).await).message,
        format!("ingresses.networking.k8s.io \"{name}\" not found")
    );
}

#[tokio::test]
async fn finalizers_hold_an_object_back() {
    let server = server().await;
    let mut object = super::pod("web-1");
    object["metadata"]["finalizers"] = json!(["rehearsal.cutover/process"]);
    server.store().create("test", object).unwrap();
    server.store().delete("pods", NS, "web-1").unwrap();
    assert!(server.store().get("pods", NS, "web-1").unwrap()["metadata"]["deletionTimestamp"].is_string());
    let free = json!({"metadata": {"finalizers": null}});
    server.store().merge("test", "pods", NS, "web-1", "", free).unwrap();
    assert!(server.store().get("pods", NS, "web-1").is_none());
}

#[tokio::test]
async fn refusals_have_the_bodies_of_a_real_server() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let one = format!("/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/langfuse-v3");
    let all = format!("/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses");
    let json = "application/json";
    let mut unknown = canary();
    unknown["metadata"]["name"] = json!("other");
    unknown["spec"]["weight"] = json!(3);
    for (method, path, media, body, code, reason) in [
        ("PATCH", one.as_str(), "text/plain", json!({}), 415, "UnsupportedMediaType"),
        ("PUT", all.as_str(), json, canary(), 405, "MethodNotAllowed"),
        ("POST", &format!("{all}?fieldValidation=Strict"), json, unknown, 400, "BadRequest"),
        (
            "POST",
            "/api/v1/namespaces/nowhere/configmaps",
            json,
            json!({"metadata": {"name": "a"}}),
            404,
            "NotFound",
        ),
        (
            "PATCH",
            "/api/v1/namespaces/nowhere/configmaps/a?fieldManager=x",
            "application/apply-patch+yaml",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
            404,
            "NotFound",
        ),
        (
            "PATCH",
            &format!("{all}/none/status?fieldManager=x"),
            "application/apply-patch+yaml",
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "none"}}),
            404,
            "NotFound",
        ),
        ("PATCH", &format!("{one}?dryRun=Yes"), "application/merge-patch+json", json!({}), 422, "Invalid"),
    ] {
        let (status, answer) = raw(&server, method, path, media, &body).await;
        assert_eq!((status, answer["reason"].as_str()), (code, Some(reason)), "{method} {path}: {answer}");
        assert_eq!(answer["kind"], "Status");
        assert_eq!(answer["code"], code);
    }
}

#[tokio::test]
async fn defaults_are_filled_in_and_owned_by_the_creator() {
    let server = server().await;
    let object = server.store().create("kubectl-create", deployment("web")).unwrap();
    let spec = &object["spec"]["template"]["spec"];
    assert_eq!(spec["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(object["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
    let fields = &object["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert_eq!(
        fields["f:strategy"],
        json!({"f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}, "f:type": {}})
    );
    let container = &fields["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"];
    assert_eq!(
        container["f:ports"]["k:{\"containerPort\":3000,\"protocol\":\"TCP\"}"],
        json!({".": {}, "f:containerPort": {}, "f:protocol": {}})
    );
    assert_eq!(fields["f:selector"], json!({}));
}

#[tokio::test]
async fn a_patch_to_a_wrong_type_is_invalid() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/langfuse-v3");
    let number = json!({"metadata": {"annotations": {WEIGHT: 25}}});
    let (code, status) = raw(&server, "PATCH", &path, "application/merge-patch+json", &number).await;
    assert_eq!((code, status["reason"].as_str()), (422, Some("Invalid")));
    assert!(
        status["message"].as_str().unwrap().starts_with(" \"\" is invalid: patch: Invalid value: "),
        "{status}"
    );
    let unknown = json!({"spec": {"weight": 25}});
    let strict = format!("{path}?fieldValidation=Strict");
    let (code, status) = raw(&server, "PATCH", &strict, "application/merge-patch+json", &unknown).await;
    assert_eq!(code, 422);
    assert!(
        status["message"].as_str().unwrap().contains("strict decoding error: unknown field \"spec.weight\"")
    );
    let (code, _) = raw(&server, "PATCH", &path, "application/merge-patch+json", &unknown).await;
    assert_eq!(code, 200, "a field that is unknown is dropped with a warning");
}

#[tokio::test]
async fn a_secret_is_stored_encoded() {
    let server = server().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": NS},
        "stringData": {"password": "geheim"}});
    let stored = server.store().create("helm", secret).unwrap();
    assert_eq!(stored["data"]["password"], "Z2VoZWlt");
    assert!(stored.get("stringData").is_none());
}
