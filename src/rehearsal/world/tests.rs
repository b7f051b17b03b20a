//! A whole rehearsal, small: it starts, a patch moves the traffic, nothing is lost, nothing is left.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::rehearsal::gateway::annotations::PREFIX;
use crate::rehearsal::load::ledger::Line;
use crate::rehearsal::workloads::manifests::ingress;
use crate::rehearsal::workloads::objects::merge;

fn options(scenario: &str) -> Options {
    Options {
        scenario: scenario.into(),
        traces: Some(500),
        rate: Some(60.0),
        projects: 3,
        seed: 1,
        ..Options::default()
    }
}

async fn shift(rehearsal: &Rehearsal, weight: u8) {
    let api: Api<Ingress> = Api::namespaced(rehearsal.levers.client.clone(), NAMESPACE);
    let patch = json!({"metadata": {"annotations": {format!("{PREFIX}canary-weight"): weight.to_string()}}});
    merge(&api, ingress::CANARY, patch, "test").await.unwrap();
}

async fn health(url: &str) -> String {
    let answer = reqwest::get(format!("{url}/api/public/health")).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json::<serde_json::Value>().await.unwrap()["version"].as_str().unwrap_or_default().to_owned()
}

async fn postgres_ids(url: &str, table: &str) -> BTreeSet<String> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let query = sqlx::AssertSqlSafe(format!("SELECT id FROM {table}"));
    let rows: Vec<(String,)> = sqlx::query_as(query).fetch_all(&mut connection).await.unwrap();
    rows.into_iter().map(|(id,)| id).collect()
}

async fn clickhouse_ids(endpoints: &Endpoints, table: &str) -> BTreeSet<String> {
    let answer = reqwest::Client::new()
        .post(&endpoints.clickhouse_url)
        .header("X-ClickHouse-User", &endpoints.clickhouse_user)
        .header("X-ClickHouse-Key", &endpoints.clickhouse_password)
        .body(format!("SELECT DISTINCT id FROM {table} FORMAT TSV"))
        .send()
        .await
        .unwrap();
    let text = answer.text().await.unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Waits until ClickHouse has all of `wanted`; the pipeline needs 6 s and more (langfuse.md 4.3).
async fn until_in_clickhouse(endpoints: &Endpoints, table: &str, wanted: &BTreeSet<String>) {
    let mut missing = wanted.len();
    for _ in 0..120 {
        let found = clickhouse_ids(endpoints, table).await;
        missing = wanted.difference(&found).count();
        if missing == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{missing} of {} {table} are not in ClickHouse", wanted.len());
}

/// Waits until a version has accepted more than 50 events of the clients.
async fn until_accepted(rehearsal: &Rehearsal, version: &str) {
    let accepted = || rehearsal.ledger().totals().accepted.get(version).copied().unwrap_or(0);
    let wait = async {
        while accepted() <= 50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(60), wait).await;
    assert!(done.is_ok(), "{version} accepted {} events", accepted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_rehearsal_from_start_to_end() {
    let told = std::sync::Mutex::new(Vec::new());
    let rehearsal =
        start(&options("happy"), |line| told.lock().unwrap().push(line.to_owned())).await.unwrap();
    eprintln!("{}", told.lock().unwrap().join("\n"));
    let info = rehearsal.info();
    let keys: Vec<String> =
        serde_json::to_value(&info).unwrap().as_object().unwrap().keys().cloned().collect();
    assert_eq!(
        keys.join(","),
        "config,kubeconfig,public_url,v2_url,v3_url,postgres_url,clickhouse_url,redis_url,s3_url,pid"
    );
    assert_eq!(
        (health(&info.v2_url).await.as_str(), health(&info.v3_url).await.as_str()),
        ("2.95.12", "3.29.0")
    );
    assert_eq!(health(&info.public_url).await, "2.95.12");

    until_accepted(&rehearsal, "v2").await;
    shift(&rehearsal, 100).await;
    until_accepted(&rehearsal, "v3").await;
    assert_eq!(health(&info.public_url).await, "3.29.0");
    rehearsal.quiet(Duration::from_secs(10)).await;

    let totals = rehearsal.ledger().totals();
    assert_eq!((totals.refused, totals.given_up, totals.unknown), (0, 0, 0));
    assert_eq!(totals.accepted["v2"] + totals.accepted["v3"], totals.sent);
    let endpoints = rehearsal.stores.endpoints();
    let lines = Line::read(rehearsal.stage.dir()).unwrap();
    let of = |version: &str| Line::ids(lines.iter().filter(|line| line.version == version));
    for (table, wanted) in of("v2") {
        let found = postgres_ids(&info.postgres_url, table).await;
        assert_eq!(wanted.difference(&found).count(), 0, "{table}");
    }
    for (table, wanted) in of("v3") {
        until_in_clickhouse(&endpoints, table, &wanted).await;
    }

    let inputs =
        crate::config::Inputs { file: Some(info.config.clone()), ..crate::config::Inputs::default() };
    crate::config::load(&inputs).unwrap_or_else(|problems| panic!("{problems}"));

    let dir = rehearsal.stage.dir().to_path_buf();
    assert!(dir.join("cutover.toml").exists() && dir.join("ledger.json").exists());
    rehearsal.stop(|_| ()).await.unwrap();
    assert!(!dir.exists(), "the directory is gone");
    assert!(reqwest::get(&info.v2_url).await.is_err() && reqwest::get(&info.public_url).await.is_err());
    assert!(PgConnection::connect(&info.postgres_url).await.is_err());
}

/// The whole thing at its default size: the promise is 30 s on two cores.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a quiet machine: it measures time"]
async fn the_default_size_is_up_in_half_a_minute() {
    let options = Options { traces: Some(TRACES), rate: None, ..options("happy") };
    let begun = clock::mono();
    let rehearsal = start(&options, |line| eprintln!("{line}")).await.unwrap();
    let took = clock::since(begun);
    rehearsal.stop(|_| ()).await.unwrap();
    assert!(took < Duration::from_secs(30), "{took:?}");
}
