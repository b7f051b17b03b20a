//! The whole table, asked of both servers.

use std::fmt::Write as _;

use cutover::rehearsal::kube::{Options, Rule, Server as Embedded, Token};
use futures::StreamExt;
use serde_json::{Value, json};

use super::answer::{Kept, Server};
use super::cases;
use super::normal::{Words, differences};
use super::real::{ADMIN, Real};
use super::request::{Case, Request, post};

/// Cases that are asked at the same time; most of the time of some is waiting.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_answer_alike() {
    let Some(real) = Real::start(&[("looker", "lookers")]).await else { return };
    let tokens = [ADMIN, "looker"].map(|user| (user, real.cluster.token(user).to_owned()));
    let theirs = Server::new(real.cluster.url(), &tokens);
    let embedded = embedded().await;
    let tokens = [ADMIN, "looker"].map(|user| (user, user.to_owned()));
    let ours = Server::new(&embedded.url(), &tokens);
    let_the_looker_look(&theirs).await;

    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    let all: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(&only)).collect();
    assert!(!all.is_empty(), "no case has {only:?} in its name");
    let count = all.len();
    let found: Vec<String> = futures::stream::iter(all.into_iter().enumerate())
        .map(|(number, case)| compare(number, case, &theirs, &ours))
        .buffered(AT_ONCE)
        .filter_map(|found| async { found })
        .collect()
        .await;
    embedded.shutdown().await;
    real.stop().await;
    assert!(found.is_empty(), "{} of {count} cases differ:\n{}", found.len(), found.concat());
}

async fn embedded() -> Embedded {
    let rule = Rule::new("networking.k8s.io", &["ingresses"], &["get", "list", "watch"]);
    let mut looker = Token::limited("looker", "looker", vec![rule]);
    looker.groups = vec!["lookers".into()];
    let tokens = vec![Token::admin(ADMIN, ADMIN), looker];
    Embedded::start(Options { tokens, ..Options::default() }).await.unwrap()
}

/// The same right on the real server, as RBAC has it.
async fn let_the_looker_look(server: &Server) {
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": "look"}, "rules": [
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]}]});
    let binding = json!({"metadata": {"name": "look"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "look"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "lookers"}]});
    for (plural, body) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let made = server.ask(&post(&format!("{group}/{plural}"), &body), &mut Kept::new()).await;
        assert_eq!(made[0]["code"], 201, "{:#}", made[0]);
    }
    // The authorizer follows the roles with a watch of its own.
    let ask = super::request::get("/apis/networking.k8s.io/v1/ingresses").by("looker");
    for _ in 0..100 {
        if server.ask(&ask, &mut Kept::new()).await[0]["code"] == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the role never took effect");
}

/// Sends a case's requests to both; none when every answer was the same.
async fn compare(number: usize, case: Case, theirs: &Server, ours: &Server) -> Option<String> {
    let namespace = format!("case-{number}");
    let first = post("/api/v1/namespaces", &json!({"metadata": {"name": namespace}}));
    let (mut kept, mut words) = ([Kept::new(), Kept::new()], [Words::default(), Words::default()]);
    for (server, kept) in [theirs, ours].into_iter().zip(&mut kept) {
        let made = server.ask(&first, kept).await;
        assert_eq!(made[0]["code"], 201, "{:#}", made[0]);
        kept.insert("ns", namespace.clone());
    }
    let mut out = String::new();
    for (step, request) in case.requests.iter().enumerate() {
        let mut found = String::new();
        for _ in 0..request.tries {
            let [a, b] = &mut kept;
            let (mut real, mut embedded) = tokio::join!(theirs.ask(request, a), ours.ask(request, b));
            for (answers, words) in [&mut real, &mut embedded].into_iter().zip(&mut words) {
                answers.iter_mut().for_each(|answer| words.normalise(answer));
            }
            found.clear();
            describe(&mut found, step, request, &real, &embedded);
            if found.is_empty() {
                break;
            }
        }
        out += &found;
    }
    (!out.is_empty()).then(|| format!("\n## {}\n{out}", case.name))
}

fn describe(out: &mut String, step: usize, request: &Request, real: &[Value], ours: &[Value]) {
    if std::env::var_os("CONFORMANCE_SHOW").is_some() {
        eprintln!("{} {}\n{:#}", request.method, request.path, json!(real));
    }
    for (real, ours) in real.iter().zip(ours) {
        let found = differences(real, ours, &request.beside);
        if !found.is_empty() {
            let Request { method, path, .. } = request;
            let _ = writeln!(out, "  {}. {method} {path}", step + 1);
            found.iter().for_each(|line| {
                let _ = writeln!(out, "    {line}");
            });
        }
    }
}
