//! Credentials that are wrong or allow too little, addresses where nobody is.

use std::process::{Command, Output};

use cutover::rehearsal::kube::{Rule, Token};
use serde_json::Value;

use crate::common::cluster;
use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::common::sitting::{altered, flat, read, rehearse, section, sit_at, zoom};

const STORES: [&str; 4] = ["postgres", "clickhouse", "redis", "s3"];

fn run(config: &std::path::Path, args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        Command::new(CUTOVER).arg("--config").arg(config).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn status(config: &std::path::Path) -> Value {
    let (_, out, err) = run(config, &["status", "--json"]);
    serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}{err}"))
}

/// What stands between two texts.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split(from)
        .nth(1)
        .and_then(|rest| rest.split(to).next())
        .unwrap_or_else(|| panic!("{from} in {text}"))
}

/// The configuration's text and every password in it.
fn passwords(rehearsal: &Rehearsal) -> Vec<String> {
    let text = std::fs::read_to_string(rehearsal.config()).unwrap();
    let postgres = between(rehearsal.field("postgres_url"), "langfuse:", "@");
    let redis = between(rehearsal.field("redis_url"), "redis://default:", "@");
    let clickhouse = between(&text, "password = \"", "\"");
    let s3 = between(between(&text, "[s3]", "path_style"), "secret_key = \"", "\"");
    [postgres, clickhouse, redis, s3].map(ToOwned::to_owned).to_vec()
}

/// Each store says that the password is wrong, and nobody prints it.
#[test]
fn wrong_passwords_and_addresses_are_told_for_each_store() {
    let rehearsal = rehearse("happy");
    let right = passwords(&rehearsal);
    let wrong: Vec<(&str, &str)> = right.iter().map(|p| (p.as_str(), "NotThePassword")).collect();
    let (_dir, config) = altered(&rehearsal, &wrong);
    let report = status(&config);
    for store in STORES {
        let failure = &section(&report, store)["failure"];
        // S3 answers HEAD without a body: that the key is wrong can only be one of two things said.
        let kind = if store == "s3" { "forbidden" } else { "unauthorized" };
        assert_eq!(failure["kind"], kind, "{store}: {failure}");
        let remedy = failure["remedy"].as_str().unwrap();
        assert!(
            !remedy.is_empty() && (store != "s3" || remedy.contains("the key is wrong")),
            "{store}: {failure}"
        );
    }
    assert!(!report.to_string().contains("NotThePassword"), "{report:#}");
    let mut person = sit_at(&config, 120, 36);
    zoom(&mut person, '5');
    person.wait("the word beside every store", |screen| {
        screen.matches("unauthorized").count() >= 3 && screen.contains("forbidden")
    });
    person.press("q");
    person.leave();

    let port = |url: &str| url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let fields = ["postgres_url", "clickhouse_url", "redis_url", "s3_url"];
    let ports: Vec<String> =
        fields.iter().map(|f| format!("127.0.0.1:{}", port(rehearsal.field(f)))).collect();
    let nobody: Vec<(&str, &str)> = ports.iter().map(|p| (p.as_str(), "127.0.0.1:9")).collect();
    let (_dir, config) = altered(&rehearsal, &nobody);
    let report = status(&config);
    for store in STORES {
        let failure = &section(&report, store)["failure"];
        assert_eq!(failure["kind"], "unreachable", "{store}: {failure}");
        assert!(failure["remedy"].as_str().unwrap().contains("check the address"), "{store}: {failure}");
    }
    assert_eq!(section(&report, "traffic")["freshness"], "fresh");
    let text = report.to_string();
    assert!(right.iter().all(|secret| !text.contains(secret.as_str())), "{text}");

    // The same rehearsal, a token that nobody knows.
    let (dir, config) = altered(&rehearsal, &[]);
    let kubeconfig = dir.path().join("kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    let token = between(&text, "token: \"", "\"");
    std::fs::write(&kubeconfig, text.replace(token, "expired")).unwrap();
    let (code, _, err) = run(&config, &["status"]);
    assert!(
        code == Some(3) && err.contains("unauthorized") && err.contains("log in again"),
        "{code:?}: {err}"
    );
    let (code, _, err) = run(&config, &["shift", "--to", "5", "--yes"]);
    assert!(code != Some(0) && err.contains("log in again") && !err.contains("expired\""), "{code:?}: {err}");
    let mut person = sit_at(&config, 120, 36);
    person.see("trace-upsert");
    zoom(&mut person, '6');
    read(&mut person, "traffic may not look: unauthorized");
    read(&mut person, "log in again");
}

/// A token that may read everything but Pods, and may write the Lease alone.
fn limited() -> Token {
    let look = ["get", "list", "watch"];
    let rules = vec![
        Rule::new("networking.k8s.io", &["*"], &look),
        Rule::new("apps", &["*"], &look),
        Rule::new("discovery.k8s.io", &["*"], &look),
        Rule::new("", &["services", "endpoints", "events", "namespaces"], &look),
        Rule::new("coordination.k8s.io", &["leases"], &["*"]),
    ];
    Token::limited("limited-token", "viewer", rules)
}

/// Which verb on which object is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_names_the_verb_and_the_object() {
    let dir = tempfile::tempdir().unwrap();
    let server = cluster::start(dir.path(), vec![limited()], "viewer", "").await;
    let config = dir.path().join("cutover.toml");
    let asked = config.clone();
    let told = tokio::task::spawn_blocking(move || {
        let report = status(&asked);
        let back = run(&asked, &["rollback", "--yes"]);
        let mut person = sit_at(&asked, 120, 36);
        zoom(&mut person, '6');
        person.wait("the missing permission", |screen| flat(screen).contains("permission to list pods in"));
        (report, back)
    });
    let (report, (code, out, err)) = told.await.unwrap();
    let said = report["events"].to_string();
    assert!(said.contains("forbidden") && said.contains("permission to list pods in lf"), "{said}");
    assert_eq!(section(&report, "cluster")["failure"], Value::Null, "Deployments may be read");
    assert_eq!(report["split"]["stored"], 25, "what may be read is read");
    assert!(code != Some(0) && err.contains("patch ingresses"), "{code:?}: {out}{err}");
    drop(server);
}
