//! The real `kubectl`, where there is one.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::desk::Desk;
use super::portforward::{echo, running_pod};
use super::{NS, WEIGHT, canary, deployment, pod};

fn line<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let found = text.lines().find(|line| line.starts_with(start));
    found.unwrap_or_else(|| panic!("no line {start:?} in:\n{text}")).split_whitespace().collect()
}

#[tokio::test]
async fn get_shows_tables_and_objects() {
    let Some(desk) = Desk::new().await else { return };
    let store = desk.server.store();
    store.create("helm", deployment("web")).unwrap();
    store.create("helm", canary()).unwrap();
    running_pod(&desk.server, echo().await);
    let shown = desk.ok(&["get", "deploy"]).await;
    assert_eq!(line(&shown, "NAME"), ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]);
    assert_eq!(line(&shown, "web")[..4], ["web", "0/2", "0", "0"]);
    let shown = desk.ok(&["get", "deploy", "-o", "wide"]).await;
    assert_eq!(line(&shown, "web")[5..], ["web", "langfuse/langfuse:3.80.0", "app=web"]);
    let shown = desk.ok(&["get", "ing"]).await;
    assert_eq!(line(&shown, "langfuse-v3")[..3], ["langfuse-v3", "nginx", "langfuse.example"]);
    let shown = desk.ok(&["get", "all"]).await;
    assert_eq!(line(&shown, "pod/web-1")[1..4], ["0/1", "Running", "0"]);
    let yaml = desk.ok(&["get", "ingress", "langfuse-v3", "-o", "yaml"]).await;
    assert!(yaml.contains("kind: Ingress") && yaml.contains("canary-weight: \"0\""), "{yaml}");
    let names = desk.ok(&["get", "pods,deployments", "-o", "name", "--chunk-size=1"]).await;
    assert_eq!(names, "pod/web-1\ndeployment.apps/web\n");
    let error = desk.refused(&["get", "ingress", "nothing"]).await;
    assert_eq!(
        error.trim(),
        "Error from server (NotFound): ingresses.networking.k8s.io \"nothing\" not found"
    );
}

#[tokio::test]
async fn describe_reads_the_object_and_what_belongs_to_it() {
    let Some(desk) = Desk::new().await else { return };
    let store = desk.server.store();
    store.create("helm", deployment("web")).unwrap();
    store.create("helm", canary()).unwrap();
    let pod = store.create("helm", pod("web-1")).unwrap();
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "web-1.1", "namespace": NS},
        "involvedObject": {"kind": "Pod", "name": "web-1", "namespace": NS, "uid": pod["metadata"]["uid"]}, "reason": "Pulled", "type": "Normal",
        "message": "Image is there", "count": 1});
    store.create("kubelet", event).unwrap();
    assert!(desk.ok(&["describe", "pod", "web-1"]).await.contains("Image is there"));
    assert!(desk.ok(&["describe", "deployment", "web"]).await.contains("2 desired"));
    assert!(desk.ok(&["describe", "ingress", "langfuse-v3"]).await.contains("langfuse-web:3000"));
    assert!(desk.ok(&["get", "events"]).await.contains("pod/web-1"));
}

#[tokio::test]
async fn annotate_checks_the_version() {
    let Some(desk) = Desk::new().await else { return };
    let created = desk.server.store().create("helm", canary()).unwrap();
    let five = format!("{WEIGHT}=5");
    let version = created["metadata"]["resourceVersion"].as_str().unwrap();
    let pinned = format!("--resource-version={version}");
    let command = ["annotate", "ingress", "langfuse-v3", "--overwrite", &pinned, &five];
    desk.ok(&command).await;
    let ten = format!("{WEIGHT}=10");
    let error = desk.refused(&["annotate", "ingress", "langfuse-v3", "--overwrite", &pinned, &ten]).await;
    assert!(error.contains("the object has been modified"), "{error}");
    let stored = desk.server.store().get("ingresses", NS, "langfuse-v3").unwrap();
    assert_eq!(stored["metadata"]["annotations"][WEIGHT], "5");
    assert!(stored["metadata"]["managedFields"].to_string().contains("kubectl-annotate"));
}

#[tokio::test]
async fn apply_by_the_client_and_by_the_server() {
    let Some(desk) = Desk::new().await else { return };
    let file = desk.file("canary.json", &canary());
    assert!(desk.ok(&["apply", "-f", &file]).await.contains("created"));
    assert!(desk.ok(&["apply", "-f", &file]).await.contains("unchanged"));
    let mut changed = canary();
    changed["metadata"]["annotations"][WEIGHT] = json!("10");
    let file = desk.file("changed.json", &changed);
    assert!(desk.ok(&["apply", "-f", &file]).await.contains("configured"));
    let minimal = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "langfuse-v3", "namespace": NS, "annotations": {WEIGHT: "20"}}});
    desk.server.store().apply("cutover", minimal).unwrap();
    let file = desk.file("server.json", &changed);
    let error = desk.refused(&["apply", "--server-side", "--field-manager=helm", "-f", &file]).await;
    assert!(error.contains("conflict with \"cutover\": .metadata.annotations.nginx"), "{error}");
    desk.ok(&["apply", "--server-side", "--field-manager=helm", "--force-conflicts", "-f", &file]).await;
    let stored = desk.server.store().get("ingresses", NS, "langfuse-v3").unwrap();
    assert_eq!(stored["metadata"]["annotations"][WEIGHT], "10");
    let owners = stored["metadata"]["managedFields"].as_array().unwrap();
    let named: Vec<&str> = owners.iter().map(|entry| entry["manager"].as_str().unwrap()).collect();
    assert_eq!(named, ["helm"], "kubectl hands its client-side fields to the new manager: {owners:?}");
    let mut wrong = canary();
    wrong["spec"]["weight"] = json!(10);
    let error = desk.refused(&["apply", "-f", &desk.file("wrong.json", &wrong)]).await;
    assert!(error.contains("unknown field \"spec.weight\""), "{error}");
}

#[tokio::test]
async fn kubectl_may_move_its_own_object_to_server_side_apply() {
    let Some(desk) = Desk::new().await else { return };
    desk.ok(&["apply", "-f", &desk.file("client.json", &canary())]).await;
    let mut changed = canary();
    changed["metadata"]["annotations"][WEIGHT] = json!("10");
    desk.ok(&["apply", "--server-side", "-f", &desk.file("server.json", &changed)]).await;
    let stored = desk.server.store().get("ingresses", NS, "langfuse-v3").unwrap();
    let annotations = &stored["metadata"]["annotations"];
    assert_eq!(annotations[WEIGHT], "10");
    let last = annotations["kubectl.kubernetes.io/last-applied-configuration"].as_str().unwrap();
    assert!(last.contains("canary-weight\":\"10\""), "{last}");
}

#[tokio::test]
async fn workloads_are_scaled_restarted_and_deleted() {
    let Some(desk) = Desk::new().await else { return };
    let file = desk.file("web.json", &deployment("web"));
    desk.ok(&["apply", "-f", &file]).await;
    desk.ok(&["scale", "deployment/web", "--replicas=3"]).await;
    desk.ok(&["rollout", "restart", "deployment/web"]).await;
    desk.ok(&["set", "env", "deployment/web", "LANGFUSE_LOG_LEVEL=debug"]).await;
    let stored = desk.server.store().get("deployments", NS, "web").unwrap();
    assert_eq!(stored["spec"]["replicas"], 3);
    assert_eq!(stored["metadata"]["generation"], 4);
    let template = &stored["spec"]["template"];
    assert!(template["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string());
    assert!(template["spec"]["containers"][0]["env"].to_string().contains("LANGFUSE_LOG_LEVEL"));
    let status = json!({"status": {"observedGeneration": 4, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
        "availableReplicas": 3}});
    desk.server.store().merge("controller", "deployments", NS, "web", "status", status).unwrap();
    assert!(
        desk.ok(&["rollout", "status", "deployment/web", "--timeout=10s"])
            .await
            .contains("successfully rolled out")
    );
    desk.ok(&["delete", "deployment", "web", "--timeout=10s"]).await;
    assert!(desk.server.store().get("deployments", NS, "web").is_none());
}

#[tokio::test]
async fn generated_objects_are_created() {
    let Some(desk) = Desk::new().await else { return };
    desk.ok(&["create", "configmap", "flags", "--from-literal=a=b"]).await;
    desk.ok(&["create", "secret", "generic", "db", "--from-literal=password=geheim"]).await;
    desk.ok(&["create", "namespace", "other"]).await;
    let store = desk.server.store();
    assert_eq!(store.get("configmaps", NS, "flags").unwrap()["data"], json!({"a": "b"}));
    assert_eq!(store.get("secrets", NS, "db").unwrap()["data"], json!({"password": "Z2VoZWlt"}));
    assert!(store.get("namespaces", "", "other").is_some());
}

#[tokio::test]
async fn rights_can_be_asked_for() {
    let Some(desk) = Desk::new().await else { return };
    let ask = async |arguments: &[&str]| {
        let output = desk.command("looker", arguments).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(ask(&["auth", "can-i", "get", "ingresses"]).await, "yes");
    assert_eq!(ask(&["auth", "can-i", "patch", "ingresses"]).await, "no");
    assert!(ask(&["auth", "whoami"]).await.contains("looker"));
    assert!(ask(&["auth", "can-i", "--list"]).await.contains("ingresses.networking.k8s.io"));
    assert!(desk.ok(&["version"]).await.contains("Server Version: v1.33.0"));
    assert!(desk.ok(&["api-resources"]).await.contains("ingressclasses"));
}

#[tokio::test]
async fn logs_are_read_and_watches_shown() {
    let Some(desk) = Desk::new().await else { return };
    desk.server.store().create("test", pod("web-1")).unwrap();
    desk.server.logs().append(NS, "web-1", "ready");
    assert_eq!(desk.ok(&["logs", "web-1"]).await, "ready\n");
    let mut watch =
        desk.command("admin", &["get", "pods", "-w"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = async || {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
        line.expect("a line in time").unwrap().unwrap_or_default()
    };
    assert!(next().await.starts_with("NAME"));
    assert!(next().await.contains("Pending"));
    let running = json!({"status": {"phase": "Running"}});
    desk.server.store().merge("test", "pods", NS, "web-1", "status", running).unwrap();
    assert!(next().await.contains("Running"));
    watch.kill().await.unwrap();
}

#[tokio::test]
async fn ports_are_forwarded() {
    let Some(desk) = Desk::new().await else { return };
    running_pod(&desk.server, echo().await);
    let mut forward = desk.command("admin", &["port-forward", "pod/web-1", ":3000"]);
    let mut forward = forward.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let line =
        tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.expect("in time").unwrap();
    let line = line.expect("kubectl says where it listens");
    let address = line.split_whitespace().nth(2).unwrap().to_owned();
    for _ in 0..2 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut reader, mut writer) = stream.split();
        let mut back = Vec::new();
        let both = async {
            tokio::join!(
                async {
                    writer.write_all(&sent).await.unwrap();
                    writer.shutdown().await.unwrap();
                },
                reader.read_to_end(&mut back)
            )
        };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("in time").1.unwrap();
        assert!(back == sent, "{} bytes of {} come back as they were", back.len(), sent.len());
    }
    forward.kill().await.unwrap();
}
