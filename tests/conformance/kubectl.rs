//! The real `kubectl` on the embedded server and on the real one: what it prints is the same.
//!
//! One rule: as in the table of cases, the real server says what is right.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use cutover::rehearsal::kube::{Options, PORTS, Server as Embedded, Token};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::cases::objects::{canary, pod, service, web};
use super::real::{self, ADMIN, Real};

const NS: &str = "langfuse";

/// `kubectl` in front of one server.
struct Desk {
    kubectl: PathBuf,
    home: tempfile::TempDir,
}

impl Desk {
    fn new(kubectl: &Path, kubeconfig: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
        for (name, object) in [
            ("canary.json", canary("5")),
            ("more.json", canary("25")),
            ("web.json", web()),
            ("pod.json", pod("one")),
            ("service.json", headless()),
        ] {
            std::fs::write(home.path().join(name), object.to_string()).unwrap();
        }
        Self { kubectl: kubectl.to_owned(), home }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(line.split_whitespace()).current_dir(self.home.path()).kill_on_drop(true);
        command.env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("kubeconfig"));
        command.env("NO_PROXY", "127.0.0.1");
        command
    }

    async fn run(&self, line: &str) -> Output {
        self.command(line).output().await.unwrap()
    }

    /// Exit code, standard output and standard error, without what differs by nature.
    async fn told(&self, line: &str) -> Value {
        let output = self.run(line).await;
        let text = |bytes: &[u8]| plain(&String::from_utf8_lossy(bytes));
        json!({"code": output.status.code(), "out": text(&output.stdout), "err": text(&output.stderr)})
    }
}

/// A Service without an address: a server that has just started may tell of one that it gives anew.
fn headless() -> Value {
    let mut object = service();
    object["spec"]["clusterIP"] = json!("None");
    object
}

/// What people do, line by line; each builds on those before it.
const LINES: &[&str] = &[
    "get deployments,services,ingresses,pods",
    "apply -f web.json",
    "apply -f web.json",
    "apply -f service.json",
    "apply -f pod.json",
    "apply -f canary.json",
    "get deploy",
    "get deploy -o wide",
    "get ing",
    "get ingress canary -o jsonpath={.metadata.annotations}",
    "get all --show-labels",
    "get pods -o name --chunk-size=1",
    "get pods -l app=web -o wide",
    "get ingress nothing",
    "get things",
    "describe ingress canary",
    "describe deployment web",
    "describe service web",
    "annotate ingress canary nginx.ingress.kubernetes.io/canary-weight=10",
    "annotate ingress canary nginx.ingress.kubernetes.io/canary-weight=10 --overwrite",
    "annotate ingress canary nginx.ingress.kubernetes.io/canary-weight-",
    "label deployment web tier=front",
    "apply -f more.json",
    "diff -f more.json",
    "apply --server-side -f canary.json",
    "apply --server-side --field-manager=argocd -f more.json",
    "apply --server-side --field-manager=argocd --force-conflicts -f more.json",
    "apply --server-side --field-manager=argocd --dry-run=server -f canary.json",
    "get ingress canary --show-managed-fields -o jsonpath={.metadata.managedFields[*].manager}",
    "scale deployment web --replicas=5",
    "scale deployment web --replicas=6 --current-replicas=2",
    "scale deployment nothing --replicas=5",
    "get deployment web -o jsonpath={.spec.replicas}",
    "set image deployment/web web=langfuse/langfuse:3",
    "set env deployment/web LANGFUSE_X=1",
    "get deployment web -o jsonpath={.spec.template.spec.containers[0].env}",
    "rollout restart deployment web",
    "get deployment web -o jsonpath={.metadata.generation}",
    "rollout pause deployment web",
    "rollout restart deployment web",
    "rollout resume deployment web",
    "patch ingress canary --type=json -p [{\"op\":\"test\",\"path\":\"/metadata/name\",\"value\":\"other\"}]",
    "patch ingress canary --type=merge -p {\"metadata\":{\"annotations\":{\"a\":\"b\"}}}",
    "create configmap flags --from-literal=a=b",
    "create configmap flags --from-literal=a=b",
    "create secret generic db --from-literal=password=geheim",
    "get secret db -o jsonpath={.data}",
    "get configmaps flags -o jsonpath={.data}",
    "replace -f canary.json",
    "delete configmap flags",
    "delete configmap flags",
    "delete ingress canary --wait=false",
    "auth can-i patch ingress/canary",
    "auth whoami -o jsonpath={.status.userInfo.username}",
    "get events",
];

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_is_told_the_same() {
    let Some(kubectl) = kubectl() else { return };
    let Some(real) = Real::start(&[]).await else { return };
    let embedded = embedded().await;
    let theirs = Desk::new(&kubectl, &real.cluster.kubeconfig(ADMIN, NS));
    let ours = Desk::new(&kubectl, &embedded.kubeconfig(ADMIN, NS).unwrap());
    assert!(theirs.run(&format!("create namespace {NS}")).await.status.success());
    let (mut found, mut done) = (Vec::new(), 0);
    for line in LINES {
        let (real, ours) = tokio::join!(theirs.told(line), ours.told(line));
        if std::env::var_os("CONFORMANCE_SHOW").is_some() {
            eprintln!("kubectl {line}\n{real:#}");
        }
        done += usize::from(real["code"] == 0);
        if real != ours {
            found.push(format!("kubectl {line}\n  real {real:#}\n  ours {ours:#}"));
        }
    }
    embedded.shutdown().await;
    real.stop().await;
    assert!(done * 4 > LINES.len() * 3, "only {done} of {} lines did something", LINES.len());
    assert!(found.is_empty(), "{} of {} differ:\n{}", found.len(), LINES.len(), found.join("\n"));
}

async fn embedded() -> Embedded {
    let tokens = vec![Token::admin(ADMIN, ADMIN)];
    Embedded::start(Options { tokens, namespaces: vec![NS.into()], ..Options::default() }).await.unwrap()
}

/// A real server needs a kubelet for it, so the embedded one is on its own here.
#[tokio::test(flavor = "multi_thread")]
async fn kubectl_forwards_ports() {
    let Some(kubectl) = kubectl() else { return };
    let embedded = embedded().await;
    let mut object = pod("one");
    object["metadata"]["namespace"] = json!(NS);
    object["metadata"]["annotations"] = json!({PORTS: json!({"3000": echo().await.to_string()}).to_string()});
    embedded.store().create("test", object).unwrap();
    let running = json!({"status": {"phase": "Running"}});
    embedded.store().merge("test", "pods", NS, "one", "status", running).unwrap();

    let desk = Desk::new(&kubectl, &embedded.kubeconfig(ADMIN, NS).unwrap());
    let mut forward = desk.command("port-forward pod/one :3000").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await.unwrap().unwrap();
    // "Forwarding from 127.0.0.1:41233 -> 3000"
    let address = line.unwrap().split_whitespace().nth(2).unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let sent: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut reader, mut writer) = stream.split();
    let mut back = Vec::new();
    let write = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let both = async { tokio::join!(write, reader.read_to_end(&mut back)).1.unwrap() };
    let read = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert!(back == sent, "{read} bytes of {} come back as they were", sent.len());
    forward.kill().await.unwrap();
    embedded.shutdown().await;
}

/// A listener that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}

/// The one beside the API server, as `make apiserver` and setup-envtest put it.
fn kubectl() -> Option<PathBuf> {
    let found = real::assets()?.join("kubectl");
    if found.is_file() {
        return Some(found);
    }
    assert!(std::env::var_os("CI").is_none(), "there is no kubectl in {}", found.display());
    eprintln!("skipped: there is no kubectl in {}", found.display());
    None
}

/// Without ages, times, addresses and random parts of names; columns are as far apart as the widest cell wants.
fn plain(text: &str) -> Vec<String> {
    text.lines()
        .map(|line| {
            let words = line.split_whitespace().map(|word| {
                let digits = word.chars().any(|c| c.is_ascii_digit());
                let age = digits
                    && word.ends_with(['s', 'm'])
                    && word.chars().all(|c| c.is_ascii_digit() || c == 's' || c == 'm');
                let clock = word.len() == 8 && word.chars().all(|c| c.is_ascii_digit() || c == ':');
                let time = clock || (word.starts_with("20") && word.ends_with('Z') && word.contains('T'));
                let address = word.starts_with("10.") && word.matches('.').count() == 3;
                if age {
                    "AGE"
                } else if time {
                    "TIME"
                } else if address {
                    "ADDRESS"
                } else {
                    word
                }
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect()
}
