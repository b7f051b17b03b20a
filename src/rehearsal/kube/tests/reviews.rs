use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{NS, canary, client, refusal, server};

#[tokio::test]
async fn a_user_learns_who_it_is_and_what_it_may() {
    let server = server().await;
    let client = client(&server, "looker").await;
    let who: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = who.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let info = review.status.unwrap().user_info.unwrap();
    assert_eq!(info.username.as_deref(), Some("looker"));
    assert_eq!(info.groups.unwrap(), ["system:authenticated"]);
    let may: Api<SelfSubjectAccessReview> = Api::all(client);
    for (verb, allowed) in [("get", true), ("patch", false)] {
        let ask: SelfSubjectAccessReview = serde_json::from_value(json!({"spec": {"resourceAttributes": {
            "namespace": NS, "verb": verb, "group": "networking.k8s.io", "resource": "ingresses"}}}))
        .unwrap();
        let review = may.create(&PostParams::default(), &ask).await.unwrap();
        assert_eq!(review.status.unwrap().allowed, allowed, "{verb}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_said_as_a_real_server_says_it() {
    let server = server().await;
    server.store().create("helm", canary()).unwrap();
    let client = client(&server, "looker").await;
    let ingresses: Api<Ingress> = Api::namespaced(client.clone(), NS);
    assert!(ingresses.get("langfuse-v3").await.is_ok());
    let patch = Patch::Merge(json!({}));
    let status = refusal(ingresses.patch("langfuse-v3", &PatchParams::default(), &patch).await);
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    assert_eq!(
        status.message,
        "ingresses.networking.k8s.io \"langfuse-v3\" is forbidden: User \"looker\" cannot patch resource \
         \"ingresses\" in API group \"networking.k8s.io\" in the namespace \"langfuse\""
    );
    let secrets: Api<Secret> = Api::all(client);
    assert_eq!(
        refusal(secrets.list(&ListParams::default()).await).message,
        "secrets is forbidden: User \"looker\" cannot list resource \"secrets\" in API group \"\" at the cluster scope"
    );
}

#[tokio::test]
async fn a_right_to_one_name_is_one_to_lists_of_it_and_not_to_create_it() {
    let server = server().await;
    let api: Api<Lease> = Api::namespaced(client(&server, "clerk").await, NS);
    let lease: Lease = serde_json::from_value(json!({"metadata": {"name": "cutover"}, "spec": {}})).unwrap();
    let merged = api.patch("cutover", &PatchParams::default(), &Patch::Merge(json!({}))).await;
    assert_eq!(refusal(merged).code, 404, "only an apply could create it");
    let replaced = api.replace("cutover", &PostParams::default(), &lease).await;
    let applied = api.patch("cutover", &PatchParams::apply("clerk"), &Patch::Apply(&lease)).await;
    for made in [replaced, applied] {
        let status = refusal(made);
        assert_eq!(status.code, 403);
        assert!(status.message.contains("cannot create resource \"leases\""), "{}", status.message);
    }
    assert!(api.list(&ListParams::default().fields("metadata.name=cutover")).await.is_ok());
    for other in [ListParams::default(), ListParams::default().fields("metadata.name=other")] {
        assert_eq!(refusal(api.list(&other).await).code, 403);
    }
}

#[tokio::test]
async fn an_unknown_token_is_unauthorized_and_none_is_anonymous() {
    let server = server().await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/namespaces", server.url());
    let status = http.get(&url).bearer_auth("wrong").send().await.unwrap();
    assert_eq!(status.status(), 401);
    assert_eq!(status.json::<serde_json::Value>().await.unwrap()["message"], "Unauthorized");
    let status = http.get(&url).send().await.unwrap();
    assert_eq!(status.status(), 403);
    let message = status.json::<serde_json::Value>().await.unwrap()["message"].to_string();
    assert!(message.contains("system:anonymous"), "{message}");
    assert_eq!(http.get(format!("{}/version", server.url())).send().await.unwrap().status(), 200);
}
