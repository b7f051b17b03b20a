//! The whole table, asked of both servers.

use std::fmt::Write as _;

use base64::Engine as _;
use cutover::rehearsal::kube::{Options, Rule, Server as Embedded, Token};
use futures::StreamExt;
use serde_json::{Value, json};

use super::answer::{Kept, Server};
use super::cases;
use super::cases::objects::{CONFIGMAPS, config};
use super::normal::{Words, differences};
use super::real::{ADMIN, Real};
use super::request::{Case, Request, get, merge, post};

/// Cases that are asked at the same time; most of the time of some is waiting.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn both_servers_answer_alike() {
    let Some(real) = Real::start(&[("looker", "lookers"), ("clerk", "clerks")]).await else { return };
    let users = [ADMIN, "looker", "clerk"];
    let theirs = Server::new(real.cluster.url(), &users.map(|user| (user, real.cluster.token(user).into())));
    let embedded = embedded().await;
    let ours = Server::new(&embedded.url(), &users.map(|user| (user, user.to_owned())));
    let_them_work(&theirs).await;

    let only = std::env::var("CONFORMANCE_ONLY").unwrap_or_default();
    let all: Vec<Case> = cases::all().into_iter().filter(|case| case.name.contains(&only)).collect();
    assert!(!all.is_empty(), "no case has {only:?} in its name");
    let count = all.len();
    let found: Vec<String> = futures::stream::iter(all.iter().enumerate())
        .map(|(number, case)| compare(number, case, &theirs, &ours))
        .buffered(AT_ONCE)
        .filter_map(|found| async { found })
        .collect()
        .await;
    embedded.shutdown().await;
    real.stop().await;
    assert!(found.is_empty(), "{} of {count} cases differ:\n{}", found.len(), found.concat());
}

/// A page that comes too late: its token has expired, and the refusal has one that goes on all the same.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_page_goes_on_alike() {
    let Some(real) = Real::start(&[]).await else { return };
    let theirs = Server::new(real.cluster.url(), &[(ADMIN, real.cluster.token(ADMIN).to_owned())]);
    let embedded = embedded().await;
    let ours = Server::new(&embedded.url(), &[(ADMIN, ADMIN.to_owned())]);
    let (mut answers, mut words) = ([vec![], vec![]], [Words::default(), Words::default()]);
    for (number, server) in [&theirs, &ours].into_iter().enumerate() {
        let mut kept = Kept::new();
        kept.insert("ns", "default".into());
        let mut ask = async |request: Request| server.ask(&request, &mut kept).await.remove(0);
        for name in ["a", "b", "c"] {
            ask(post(CONFIGMAPS, &config(name, "front"))).await;
        }
        ask(get(&format!("{CONFIGMAPS}?limit=1")).keep("next", "/metadata/continue")).await;
        let mut last = Value::Null;
        for n in 0..5 {
            let note = json!({"metadata": {"annotations": {"n": n.to_string()}}});
            last = ask(merge(&format!("{CONFIGMAPS}/a"), &note)).await;
        }
        let revision: u64 = last["body"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        let page = get(&format!("{CONFIGMAPS}?limit=1&continue={{next}}"));
        if number == 0 {
            compact(real.cluster.etcd_url(), revision).await;
            // A real server looks every 15 s what was compacted, and keeps what it has in memory till then.
            for _ in 0..80 {
                if ask(page.clone()).await["code"] == 410 {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            }
        } else {
            embedded.store().compact(revision);
        }
        for request in [
            page.clone().keep("next", "/metadata/continue"),
            page.clone().keep("next", "/metadata/continue"),
            page,
        ] {
            let mut answer = ask(request).await;
            words[number].normalise(&mut answer);
            answers[number].push(answer);
        }
    }
    embedded.shutdown().await;
    real.stop().await;
    let [real, ours] = answers;
    assert_eq!(real[0]["code"], 410, "{:#}", real[0]);
    let found = differences(&json!(real), &json!(ours), &[]);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Forgets the history up to a revision, and says so where the API server's own compactor does.
async fn compact(etcd: &str, revision: u64) {
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let key = json!({"key": encoded("compact_rev_key"), "value": encoded(&revision.to_string())});
    let compaction = json!({"revision": revision, "physical": true});
    for (path, body) in [("compaction", compaction), ("put", key)] {
        let path = format!("{etcd}/v3/kv/{path}");
        let done = reqwest::Client::new().post(path).json(&body).send().await.unwrap();
        assert!(done.status().is_success(), "{done:?}");
    }
}

async fn embedded() -> Embedded {
    let rule = Rule::new("networking.k8s.io", &["ingresses"], &["get", "list", "watch"]);
    let mut looker = Token::limited("looker", "looker", vec![rule]);
    looker.groups = vec!["lookers".into()];
    let verbs = ["list", "watch", "update", "patch"];
    let rule = Rule::new("coordination.k8s.io", &["leases"], &verbs).named(&["cutover"]);
    let mut clerk = Token::limited("clerk", "clerk", vec![rule]);
    clerk.groups = vec!["clerks".into()];
    let tokens = vec![Token::admin(ADMIN, ADMIN), looker, clerk];
    Embedded::start(Options { tokens, ..Options::default() }).await.unwrap()
}

/// The same rights on the real server, as RBAC has them.
async fn let_them_work(server: &Server) {
    let look = json!({"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["get", "list", "watch"]});
    let keep = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["cutover"],
        "verbs": ["list", "watch", "update", "patch"]});
    grant(server, "lookers", &look).await;
    grant(server, "clerks", &keep).await;
    // The authorizer follows the roles with a watch of its own.
    let ingresses = get("/apis/networking.k8s.io/v1/ingresses").by("looker");
    let leases = "/apis/coordination.k8s.io/v1/leases?fieldSelector=metadata.name%3Dcutover";
    for ask in [ingresses, get(leases).by("clerk")] {
        in_force(server, &ask).await;
    }
}

async fn grant(server: &Server, group: &str, rule: &Value) {
    let api = "/apis/rbac.authorization.k8s.io/v1";
    let role = json!({"metadata": {"name": group}, "rules": [rule]});
    let binding = json!({"metadata": {"name": group},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": group},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}]});
    for (plural, body) in [("clusterroles", role), ("clusterrolebindings", binding)] {
        let made = server.ask(&post(&format!("{api}/{plural}"), &body), &mut Kept::new()).await;
        assert_eq!(made[0]["code"], 201, "{:#}", made[0]);
    }
}

async fn in_force(server: &Server, ask: &Request) {
    for _ in 0..100 {
        if server.ask(ask, &mut Kept::new()).await[0]["code"] == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("a role never took effect: {}", ask.path);
}

/// Sends a case's requests to both; none when every answer was the same.
async fn compare(number: usize, case: &Case, theirs: &Server, ours: &Server) -> Option<String> {
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
                for answer in answers {
                    words.normalise(answer);
                }
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
            for line in found {
                let _ = writeln!(out, "    {line}");
            }
        }
    }
}
