//! `init` against a namespace of the API server.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn what_exists_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cutover.toml");
    write(&file, "a").unwrap();
    assert_eq!(write(&file, "b").unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[cfg(feature = "rehearsal")]
mod cluster {
    use serde_json::{Value, json};

    use super::super::*;
    use crate::rehearsal::kube::{Options, Server};

    fn deployment(name: &str, part: &str, image: &str, env: &Value) -> Value {
        let labels = json!({"app.kubernetes.io/name": "langfuse", "app": part});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "lf"},
            "spec": {"selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": name, "image": image, "env": env,
                    "envFrom": [{"configMapRef": {"name": "langfuse-env"}}]}]},
            }},
        })
    }

    fn service(name: &str, part: &str, port: u16) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "lf"},
            "spec": {"selector": {"app": part}, "ports": [{"port": port}]},
        })
    }

    fn ingress(name: &str, service: &str, annotations: &Value) -> Value {
        let backend = json!({"service": {"name": service, "port": {"number": 3000}}});
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": "lf", "annotations": annotations},
            "spec": {"tls": [{"hosts": ["lf.example.com"]}], "rules": [{"host": "lf.example.com",
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
        })
    }

    fn namespace() -> Vec<Value> {
        let from = |name: &str, key: &str| json!({"secretKeyRef": {"name": name, "key": key}});
        let env = json!([
            {"name": "DATABASE_PASSWORD", "valueFrom": from("lf-pg", "password")},
            {"name": "DATABASE_URL", "value": "postgresql://langfuse:$(DATABASE_PASSWORD)@lf-pg:5432/langfuse?sslmode=disable"},
            {"name": "CLICKHOUSE_PASSWORD", "valueFrom": from("lf-ch", "admin-password")},
            {"name": "REDIS_CONNECTION_STRING", "valueFrom": from("lf-redis", "url")},
        ]);
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "langfuse-env", "namespace": "lf"},
            "data": {"CLICKHOUSE_URL": "http://lf-ch.lf.svc.cluster.local:8123", "CLICKHOUSE_USER": "default",
                "LANGFUSE_S3_EVENT_UPLOAD_BUCKET": "events", "LANGFUSE_S3_EVENT_UPLOAD_ENDPOINT": "https://s3.example.com"}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lf-pg", "namespace": "lf"},
            "stringData": {"password": "HIDDEN"}, "data": {"password": "SElEREVO"}});
        let canary = json!({"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "0"});
        vec![
            config,
            secret,
            deployment("lf-web", "web", "docker.io/langfuse/langfuse:3.29.0", &env),
            deployment("lf-worker", "worker", "langfuse/langfuse-worker:3.29.0", &env),
            deployment("lf-v2", "v2", "langfuse/langfuse:2.95.12", &json!([])),
            service("lf-web", "web", 3000),
            service("lf-v2", "v2", 3000),
            service("lf-pg", "pg", 5432),
            service("lf-redis-primary", "redis", 6379),
            service("lf-ch", "ch", 8123),
            ingress("lf", "lf-v2", &json!({})),
            ingress("lf-canary", "lf-web", &canary),
        ]
    }

    /// Langfuse knows its own port; a worker that is told not to copy means that traffic goes first.
    #[tokio::test]
    async fn what_langfuse_is_told_counts_more_than_a_guess() {
        let server =
            Server::start(Options { namespaces: vec!["lf".into()], ..Options::default() }).await.unwrap();
        let told = json!([{"name": "NEXTAUTH_URL", "value": "http://lf.example.com:8080/"},
            {"name": "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS", "value": "false"}]);
        for object in namespace() {
            let name = object["metadata"]["name"].clone();
            let told = match name.as_str().filter(|_| object["kind"] == "Deployment") {
                Some("lf-web") => deployment("lf-web", "web", "langfuse/langfuse:3", &told),
                Some("lf-worker") => deployment("lf-worker", "worker", "langfuse/langfuse-worker:3", &told),
                _ => object,
            };
            server.store().create("test", told).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig("rehearsal-admin", "lf").unwrap()).unwrap();
        let text =
            draw(&KubeTarget { kubeconfig: Some(kubeconfig), ..KubeTarget::default() }).await.unwrap().text;
        let url = "url = \"http://lf.example.com:8080\"  # found: NEXTAUTH_URL of Deployment lf-web, the host of Ingress lf";
        assert!(text.contains(url), "{text}");
        assert!(text.contains("strategy = \"shift-first\"  # guessed: LANGFUSE_ENABLE"), "{text}");
    }

    #[tokio::test]
    async fn a_namespace_becomes_a_configuration_without_a_secret_in_it() {
        let server =
            Server::start(Options { namespaces: vec!["lf".into()], ..Options::default() }).await.unwrap();
        for object in namespace() {
            server.store().create("test", object).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig("rehearsal-admin", "lf").unwrap()).unwrap();
        let target = KubeTarget { kubeconfig: Some(kubeconfig), ..KubeTarget::default() };
        let drawn = draw(&target).await.unwrap();
        assert!(!drawn.text.contains("HIDDEN") && !drawn.text.contains("SElEREVO"), "{}", drawn.text);

        let file = dir.path().join("cutover.toml");
        write(&file, &drawn.text).unwrap();
        let inputs = Inputs { file: Some(file), here: dir.path().to_owned(), ..Inputs::default() };
        let config = load(&inputs).unwrap_or_else(|p| panic!("{p}\n{}", drawn.text));
        let shown: Vec<_> = crate::config::show::rows(&config, &[])
            .into_iter()
            .map(|r| format!("{}={}", r.key, r.value))
            .collect();
        for expected in [
            "kubernetes.context=\"rehearsal\"",
            "kubernetes.namespace=\"lf\"",
            "traffic.ingresses=[\"lf-canary\"]",
            "traffic.strategy=\"backfill-first\"",
            "v2.service=Service lf-v2:3000",
            "v3.service=Service lf-web:3000",
            "public.url=https://lf.example.com/",
            "postgres.service=Service lf-pg:5432",
            "postgres.user=\"langfuse\"",
            "postgres.password=Kubernetes Secret lf-pg/password",
            "postgres.database=\"langfuse\"",
            "clickhouse.service=Service lf-ch:8123",
            "clickhouse.password=Kubernetes Secret lf-ch/admin-password",
            "redis.url=Kubernetes Secret lf-redis/url",
            "redis.service=Service lf-redis-primary:6379",
        ] {
            assert!(shown.iter().any(|s| s == expected), "{expected} is not in {shown:#?}\n{}", drawn.text);
        }
        let guessed = |key: &str, why: &str| {
            let found =
                drawn.notes.iter().any(|n| n.starts_with(&format!("guessed   {key}: ")) && n.contains(why));
            assert!(found, "{key}: {:#?}", drawn.notes);
        };
        guessed(
            "traffic.strategy",
            "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS is not set on Deployment lf-worker",
        );
        guessed("public.url", "at port 443: write the port where clients use another");
        assert!(drawn.notes.iter().any(|n| n.starts_with("guessed   redis.service")), "{:#?}", drawn.notes);
        assert!(
            drawn.notes.iter().any(|n| n.starts_with("not found probe.public_key")),
            "{:#?}",
            drawn.notes
        );
    }

    /// Which of two is meant, and what an image without a version is, nobody can see from here.
    #[tokio::test]
    async fn what_it_is_unsure_of_is_named() {
        let server =
            Server::start(Options { namespaces: vec!["lf".into()], ..Options::default() }).await.unwrap();
        for object in namespace() {
            server.store().create("test", object).unwrap();
        }
        let none = json!([]);
        for object in [
            deployment("lf-v2-old", "v2-old", "langfuse/langfuse:2.60.0", &none),
            service("lf-v2-old", "v2-old", 3000),
            deployment("lf-latest", "other", "langfuse/langfuse:latest", &none),
        ] {
            server.store().create("test", object).unwrap();
        }
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, server.kubeconfig("rehearsal-admin", "lf").unwrap()).unwrap();
        let target = KubeTarget { kubeconfig: Some(kubeconfig), ..KubeTarget::default() };
        let text = draw(&target).await.unwrap().text;
        for expected in [
            "# Deployment lf-latest: Langfuse of a version that nothing says, langfuse/langfuse:latest",
            "service = \"lf-v2:3000\"  # guessed: Service lf-v2 selects the pods of Deployment lf-v2; \
             it may be Deployment lf-v2-old as well: write the one that clients use",
            "service = \"lf-web:3000\"  # found: Service lf-web selects the pods of Deployment lf-web\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }
}
