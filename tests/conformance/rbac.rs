//! `assets/rbac.yaml` is the least: with it every verb works, and without any one of its rights the program says
//! which one is missing, by verb and object.
//!
//! One rule: the roles are read from the file and enforced by a real API server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::answer::{Kept, Server};
use super::common::rehearsal::CUTOVER;
use super::real::{ADMIN, Real};
use super::request::{Request, get, merge, post};

const FILE: &str = include_str!("../../assets/rbac.yaml");
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
/// Programs that run at the same time.
const AT_ONCE: usize = 4;
/// More users than the file has rights; each is one who lacks one of them.
const USERS: usize = 48;

/// One right of the file.
#[derive(Debug, Clone)]
struct Right {
    role: String,
    rule: usize,
    resource: String,
    verb: String,
}

/// How to make the program need a right: a verb of the program, and what it must say where it is missing.
/// A right that is not in here is one that nobody needs, and fails the test.
fn exercise(right: &Right) -> (&'static [&'static str], String) {
    const STATUS: &[&str] = &["status", "--wait", "6"];
    const WATCH: &[&str] = &["status", "--watch"];
    let (verb, resource, ns) = (right.verb.as_str(), right.resource.as_str(), "NAMESPACE");
    let here = || format!("{verb} {resource} in {ns}");
    match (right.role.as_str(), resource, verb) {
        ("cutover-viewer", "configmaps", "get") => {
            (&["init", "--output", "found.toml"], format!("get configmaps/langfuse in {ns}"))
        }
        ("cutover-viewer", "leases", "get") => (&["hold", "--arm"], "get leases".into()),
        ("cutover-viewer", "services", "get") => (STATUS, format!("get services in {ns}")),
        ("cutover-viewer", "pods/portforward", _) => (STATUS, format!("get and create {resource} in {ns}")),
        ("cutover-viewer", _, "watch") => (WATCH, here()),
        ("cutover-viewer", ..) => (STATUS, here()),
        ("cutover-operator", "ingresses", "patch") => (&["rollback", "--yes"], here()),
        // A rollback goes ahead without the lease.
        ("cutover-operator", "leases", _) => (&["hold", "--arm"], format!("{verb} leases")),
        ("cutover-operator", "events", "create") => (&["rollback", "--yes"], here()),
        ("cutover-controller-metrics", "pods", "list") => (STATUS, "list pods in ingress-nginx".into()),
        ("cutover-controller-metrics", "pods/portforward", _) => {
            (STATUS, format!("get and create {resource} in ingress-nginx"))
        }
        ("cutover-ingressclasses", "ingressclasses", "list") => (STATUS, "list ingressclasses".into()),
        _ => panic!("{right:?} is in assets/rbac.yaml and no verb of the program needs it"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_right_is_needed_and_a_missing_one_is_named() {
    let names: Vec<(String, String)> =
        (0..USERS).map(|n| (format!("user-{n}"), format!("group-{n}"))).collect();
    let users: Vec<(&str, &str)> =
        names.iter().map(|(user, group)| (user.as_str(), group.as_str())).collect();
    let Some(real) = Real::start(&users).await else { return };
    let server = Server::new(real.cluster.url(), &[(ADMIN, real.cluster.token(ADMIN).to_owned())]);
    let roles = file_as_objects(&server).await;
    let rights = rights(&roles);
    assert!(rights.len() < USERS && rights.len() > 20, "{} rights", rights.len());
    cluster(&server).await;

    // The first user has all of them, the others all but one.
    let cases: Vec<Option<Right>> = std::iter::once(None).chain(rights.into_iter().map(Some)).collect();
    let home = tempfile::tempdir().unwrap();
    let found: Vec<String> = futures::stream::iter(cases.iter().enumerate())
        .map(async |(number, missing)| {
            let namespace = format!("ns-{number}");
            // A lease that is there is updated, another created.
            let leased = missing.as_ref().is_some_and(|right| right.verb == "update");
            place(&server, &namespace, leased).await;
            grant(&server, &roles, number, missing.as_ref()).await;
            let dir = home.path().join(&namespace);
            std::fs::create_dir(&dir).unwrap();
            let kubeconfig = real.cluster.kubeconfig(&format!("user-{number}"), &namespace);
            std::fs::write(dir.join("kubeconfig"), kubeconfig).unwrap();
            std::fs::write(dir.join("cutover.toml"), CONFIG).unwrap();
            match missing {
                None => everything_works(&dir, &server, &namespace).await,
                Some(right) => is_named(&dir, &namespace, right).await,
            }
        })
        .buffered(AT_ONCE)
        .filter_map(|problem| async { problem })
        .collect()
        .await;
    real.stop().await;
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), cases.len(), found.join("\n\n"));
}

const CONFIG: &str = "[kubernetes]\nkubeconfig = \"kubeconfig\"\n[journal]\ndir = \"journal\"\n\
    [postgres]\nservice = \"langfuse-web:3000\"\nurl = \"postgres://langfuse:secret@db/langfuse\"\n";

/// Verbs that between them do all that the program does in a cluster; none may be refused anything.
async fn everything_works(dir: &Path, server: &Server, namespace: &str) -> Option<String> {
    let verbs: [(&[&str], &[i32]); 5] = [
        (&["init", "--output", "found.toml"], &[0]),
        (&["hold", "--arm"], &[0]),
        (&["hold", "--off", "--arm"], &[0]),
        (&["rollback", "--yes"], &[0]),
        (&["status", "--wait", "6"], &[0, 1]),
    ];
    for (verb, codes) in verbs {
        let (code, text) = run(dir, verb).await;
        if !codes.contains(&code) || text.contains("forbidden") || text.contains("403") {
            return Some(format!("with all rights: {verb:?} ends with {code}: {text}"));
        }
    }
    let events = server.ask(&get(&format!("/api/v1/namespaces/{namespace}/events")), &mut Kept::new()).await;
    let told = events[0]["body"]["items"].as_array().is_some_and(|items| !items.is_empty());
    (!told).then(|| format!("with all rights: no Event of the rollback: {:#}", events[0]["body"]))
}

/// What is missing must be named, and nothing else.
async fn is_named(dir: &Path, namespace: &str, right: &Right) -> Option<String> {
    let (args, wanted) = exercise(right);
    let wanted = wanted.replace("NAMESPACE", namespace);
    let (code, text) = match args {
        [.., "--watch"] => (0, look_on(dir, args, &wanted).await),
        args => run(dir, args).await,
    };
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let label = format!("without {} of {} ({})", right.verb, right.resource, right.role);
    if !flat.contains(&wanted) {
        return Some(format!("{label}: {args:?} ends with {code} and does not say {wanted:?}:\n{text}"));
    }
    let others =
        denials(&flat).into_iter().filter(|denied| !wanted.contains(denied.as_str())).collect::<Vec<_>>();
    (!others.is_empty()).then(|| format!("{label}: {args:?} names {others:?} besides {wanted:?}:\n{text}"))
}

/// "verb resource" of each "permission to verb resource ..." in a text.
fn denials(text: &str) -> Vec<String> {
    text.split("permission to ")
        .skip(1)
        .map(|rest| rest.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(CUTOVER);
    command.args(["--kubeconfig", "kubeconfig"]).args(args).current_dir(dir).env_clear().kill_on_drop(true);
    command.env("HOME", dir).env("USER", "mia").env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// What the program says in one look after the other, up to the one that has `wanted` in it, 20 s at most.
async fn look_on(dir: &Path, args: &[&str], wanted: &str) -> String {
    let mut program = command(dir, args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut text = String::new();
    let reading = async {
        while let Ok(Some(line)) = lines.next_line().await {
            text += &line;
            text.push('\n');
            if text.split_whitespace().collect::<Vec<_>>().join(" ").contains(wanted) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await;
    program.kill().await.unwrap();
    text
}

async fn run(dir: &Path, args: &[&str]) -> (i32, String) {
    let output = command(dir, args).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout) + &text(&output.stderr))
}

/// Gives the file to the server, as `kubectl apply -f` would, and takes its roles back as JSON.
async fn file_as_objects(server: &Server) -> BTreeMap<String, Value> {
    for namespace in ["langfuse", "ingress-nginx"] {
        made(server, post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}))).await;
    }
    let mut roles = BTreeMap::new();
    for document in FILE.split("\n---\n") {
        let field = |name: &str| {
            let line = document.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}: ")));
            line.map(str::trim).unwrap_or_default().to_owned()
        };
        let plural = format!("{}s", field("kind").to_lowercase());
        let path = match field("namespace") {
            none if none.is_empty() => format!("{RBAC}/{plural}"),
            namespace => format!("{RBAC}/namespaces/{namespace}/{plural}"),
        };
        let role = made(server, post(&path, &json!({})).text(document).media("application/yaml")).await;
        if !plural.ends_with("bindings") {
            roles.insert(field("name"), role);
        }
    }
    roles
}

fn rights(roles: &BTreeMap<String, Value>) -> Vec<Right> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = Vec::new();
    for (role, object) in roles {
        for (rule, content) in object["rules"].as_array().unwrap().iter().enumerate() {
            for resource in texts(&content["resources"]) {
                for verb in texts(&content["verbs"]) {
                    rights.push(Right { role: role.clone(), rule, resource: resource.clone(), verb });
                }
            }
        }
    }
    rights
}

/// A rule for each resource, without the one right.
fn rules(role: &str, object: &Value, missing: Option<&Right>) -> Vec<Value> {
    let mut out = Vec::new();
    for (number, rule) in object["rules"].as_array().unwrap().iter().enumerate() {
        for resource in rule["resources"].as_array().unwrap() {
            let mut own = rule.clone();
            own["resources"] = json!([resource]);
            if let Some(right) = missing
                && right.role == role
                && right.rule == number
                && right.resource == *resource
            {
                own["verbs"].as_array_mut().unwrap().retain(|verb| *verb != right.verb);
            }
            if own["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()) {
                out.push(own);
            }
        }
    }
    out
}

/// Binds the roles, without the one right, to the group of a number.
async fn grant(server: &Server, roles: &BTreeMap<String, Value>, number: usize, missing: Option<&Right>) {
    for (name, role) in roles {
        let own = format!("{name}-{number}");
        let namespace = match role["metadata"]["namespace"].as_str() {
            None => None,
            Some("ingress-nginx") => Some("ingress-nginx".to_owned()),
            Some(_) => Some(format!("ns-{number}")),
        };
        let (kind, path) = match &namespace {
            None => ("ClusterRole", RBAC.to_owned()),
            Some(namespace) => ("Role", format!("{RBAC}/namespaces/{namespace}")),
        };
        let plural = kind.to_lowercase();
        let rules = rules(name, role, missing);
        made(server, post(&format!("{path}/{plural}s"), &json!({"metadata": {"name": own}, "rules": rules})))
            .await;
        let group = "rbac.authorization.k8s.io";
        let binding = json!({"metadata": {"name": own}, "roleRef": {"apiGroup": group, "kind": kind, "name": own},
            "subjects": [{"apiGroup": group, "kind": "Group", "name": format!("group-{number}")}]});
        made(server, post(&format!("{path}/{plural}bindings"), &binding)).await;
        if let Some(rule) = rules.last() {
            in_force(server, number, namespace.as_deref(), rule).await;
        }
    }
}

/// Waits until the authorizer, which follows the roles by watches of its own, has a rule.
async fn in_force(server: &Server, number: usize, namespace: Option<&str>, rule: &Value) {
    let resource = rule["resources"][0].as_str().unwrap();
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let attributes = json!({"verb": rule["verbs"][0], "group": rule["apiGroups"][0], "resource": resource,
        "subresource": subresource, "namespace": namespace.unwrap_or_default(), "name": rule["resourceNames"][0]});
    let spec = json!({"user": format!("user-{number}"), "groups": [format!("group-{number}")],
        "resourceAttributes": attributes});
    let ask = post("/apis/authorization.k8s.io/v1/subjectaccessreviews", &json!({"spec": spec}));
    for _ in 0..200 {
        if made(server, ask.clone()).await["status"]["allowed"] == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a rule never took effect: {spec}");
}

/// What all share: the class, and a pod of the ingress controller.
async fn cluster(server: &Server) {
    let class = json!({"metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}});
    made(server, post("/apis/networking.k8s.io/v1/ingressclasses", &class)).await;
    let labels =
        json!({"app.kubernetes.io/name": "ingress-nginx", "app.kubernetes.io/component": "controller"});
    ready_pod(server, "ingress-nginx", "controller", &labels, 10254).await;
}

/// A namespace with a canary pair at 25 %, its Deployments, what they need, and perhaps a Lease that is free.
async fn place(server: &Server, namespace: &str, with_lease: bool) {
    made(server, post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}))).await;
    let core = format!("/api/v1/namespaces/{namespace}");
    for name in ["langfuse-v2", "langfuse-web"] {
        let body = json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": 3000}]}});
        made(server, post(&format!("{core}/services"), &body)).await;
        let labels = json!({"app": name});
        ready_pod(server, namespace, name, &labels, 3000).await;
        let container = json!({"name": "web", "image": "langfuse/langfuse:3",
            "envFrom": [{"configMapRef": {"name": "langfuse"}}]});
        let body = json!({"metadata": {"name": name}, "spec": {"selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}});
        made(server, post(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &body)).await;
        let slice = json!({"metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": true}}]});
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
        made(server, post(&path, &slice)).await;
    }
    made(server, post(&format!("{core}/configmaps"), &json!({"metadata": {"name": "langfuse"}, "data": {}})))
        .await;
    for (name, service, notes) in [
        ("langfuse", "langfuse-v2", json!({})),
        (
            "langfuse-canary",
            "langfuse-web",
            json!({"nginx.ingress.kubernetes.io/canary": "true", "nginx.ingress.kubernetes.io/canary-weight": "25"}),
        ),
    ] {
        let backend = json!({"service": {"name": service, "port": {"number": 3000}}});
        let body = json!({"metadata": {"name": name, "annotations": notes}, "spec": {"ingressClassName": "nginx",
            "rules": [{"host": format!("{namespace}.example.com"), "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": backend}]}}]}});
        made(server, post(&format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses"), &body))
            .await;
    }
    if with_lease {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        made(server, post(&path, &json!({"metadata": {"name": "cutover"}, "spec": {}}))).await;
    }
}

async fn ready_pod(server: &Server, namespace: &str, name: &str, labels: &Value, port: u16) {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let container = json!({"name": "web", "image": "none", "ports": [{"containerPort": port}]});
    let body = json!({"metadata": {"name": name, "labels": labels}, "spec": {"containers": [container]}});
    made(server, post(&path, &body)).await;
    let status = json!({"status": {"phase": "Running", "podIP": "10.1.2.3",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "web", "image": "none", "imageID": "", "ready": true, "restartCount": 0}]}});
    made(server, merge(&format!("{path}/{name}/status"), &status)).await;
}

async fn made(server: &Server, request: Request) -> Value {
    let mut answer = server.ask(&request, &mut Kept::new()).await.remove(0);
    assert!(answer["code"].as_u64() < Some(300), "{} {}: {answer:#}", request.method, request.path);
    answer["body"].take()
}
