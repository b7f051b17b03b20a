//! Every scenario does what its description says, on the real parts.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::*;
use crate::rehearsal::control::fault;
use crate::rehearsal::gateway::annotations::PREFIX;
use crate::rehearsal::options::FaultArgs;
use crate::rehearsal::workloads::manifests::ingress;
use crate::rehearsal::workloads::objects::merge;

async fn play(scenario: &str, traces: Option<u64>) -> Rehearsal {
    let options = Options {
        scenario: scenario.into(),
        traces,
        rate: Some(40.0),
        projects: 2,
        seed: 1,
        ..Options::default()
    };
    start(&options, |_| ()).await.unwrap()
}

/// Asks every 300 ms until there is an answer; fails after `seconds`.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, seconds: u64, ask: impl Fn() -> F) -> T {
    let wait = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(seconds), wait).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn shift(rehearsal: &Rehearsal, weight: u8) {
    let api: Api<Ingress> = Api::namespaced(rehearsal.levers.client.clone(), NAMESPACE);
    let patch = json!({"metadata": {"annotations": {format!("{PREFIX}canary-weight"): weight.to_string()}}});
    merge(&api, ingress::CANARY, patch, "test").await.unwrap();
}

async fn pods(rehearsal: &Rehearsal, prefix: &str) -> Vec<Value> {
    let api: Api<Pod> = Api::namespaced(rehearsal.levers.client.clone(), NAMESPACE);
    let pods = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    pods.into_iter()
        .filter(|pod| pod.name_any().starts_with(prefix))
        .map(|pod| serde_json::to_value(pod).unwrap())
        .collect()
}

/// One row of `background_migrations` as JSON.
async fn migration(rehearsal: &Rehearsal, like: &str) -> Value {
    let mut connection = PgConnection::connect(&rehearsal.info.postgres_url).await.unwrap();
    let query = "SELECT to_jsonb(m) FROM background_migrations m WHERE name LIKE $1";
    let (row,): (Value,) =
        sqlx::query_as(query).bind(format!("%{like}%")).fetch_one(&mut connection).await.unwrap();
    row
}

fn arguments(rehearsal: &Rehearsal, name: &str, arguments: &[&str]) -> FaultArgs {
    FaultArgs {
        name: Some(name.into()),
        arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
        dir: Some(rehearsal.stage.dir().into()),
        ..FaultArgs::default()
    }
}

fn worker_log(rehearsal: &Rehearsal) -> String {
    setup::logs_of(&rehearsal.stage.dir().join("logs"), "langfuse-worker")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gitops_puts_the_weight_back_under_its_own_name() {
    let rehearsal = play("gitops-revert", Some(200)).await;
    shift(&rehearsal, 50).await;
    let api: Api<Ingress> = Api::namespaced(rehearsal.levers.client.clone(), NAMESPACE);
    let key = format!("{PREFIX}canary-weight");
    let back = until("the weight is put back", 12, || async {
        let found = api.get(ingress::CANARY).await.ok()?;
        (found.annotations()[&key] == "0").then_some(found)
    })
    .await;
    assert!(back.managed_fields().iter().any(|entry| entry.manager.as_deref() == Some("argocd-controller")));
    rehearsal.stop(|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_fails_from_a_split_on() {
    let rehearsal = play("v3-errors", Some(200)).await;
    shift(&rehearsal, 10).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let errors = || rehearsal.gateway.count_status(500);
    assert_eq!(errors(), 0);
    shift(&rehearsal, 50).await;
    until("errors of v3", 20, || async { (errors() > 2).then_some(()) }).await;
    rehearsal.stop(|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_worker_leaves_a_fresh_lock() {
    let rehearsal = play("dead-worker", Some(20_000)).await;
    until("a restart after a crash", 60, || async {
        let pods = pods(&rehearsal, "langfuse-worker").await;
        let status = pods.first()?.pointer("/status/containerStatuses/0")?.clone();
        (status["restartCount"] == 1
            && status["lastState"]["terminated"]["reason"] == "Error"
            && status["ready"] == true)
            .then_some(())
    })
    .await;
    until("the new process gives up", 20, || async {
        worker_log(&rehearsal).contains("No background migrations to run").then_some(())
    })
    .await;
    let row = migration(&rehearsal, "migrate_traces").await;
    assert!(
        row["finished_at"].is_null() && row["failed_at"].is_null() && !row["locked_at"].is_null(),
        "{row}"
    );
    rehearsal.stop(|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_conflict_fails_one_migration_only() {
    let rehearsal = play("failed-migration", Some(40_000)).await;
    let row = until("a failed migration", 90, || async {
        let row = migration(&rehearsal, "migrate_observations").await;
        (!row["failed_at"].is_null()).then_some(row)
    })
    .await;
    assert!(row["failed_reason"].as_str().unwrap_or_default().contains("write conflict"), "{row}");
    until("the scores go on", 60, || async {
        let row = migration(&rehearsal, "migrate_scores").await;
        (!row["finished_at"].is_null()).then_some(())
    })
    .await;
    rehearsal.stop(|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tie_group_stops_the_cursor() {
    let rehearsal = play("stuck-cursor", Some(8000)).await;
    let cursor = || async { migration(&rehearsal, "migrate_traces").await["state"]["maxDate"].clone() };
    let locked = || async { migration(&rehearsal, "migrate_traces").await["locked_at"].clone() };
    until("the cursor stands still", 60, || async {
        let before = cursor().await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        (!before.is_null() && before == cursor().await && !locked().await.is_null()).then_some(())
    })
    .await;
    assert!(migration(&rehearsal, "migrate_traces").await["finished_at"].is_null());
    // Not only slow: it stands at the moment that so many rows share.
    let tied = "SELECT count(*) FROM traces t JOIN background_migrations m ON m.name LIKE '%migrate_traces%' \
                AND t.created_at = (m.state->>'maxDate')::timestamptz AT TIME ZONE 'UTC'";
    let mut connection = PgConnection::connect(&rehearsal.info.postgres_url).await.unwrap();
    let (tied,): (i64,) = sqlx::query_as(tied).fetch_one(&mut connection).await.unwrap();
    assert_eq!(tied, 6000);
    rehearsal.stop(|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_by_hand() {
    let rehearsal = play("queue-stall", Some(200)).await;
    let fire = async |name: &str, words: &[&str]| fault(&arguments(&rehearsal, name, words)).await;
    let lift = async |name: &str, words: &[&str]| {
        fault(&FaultArgs { lift: true, ..arguments(&rehearsal, name, words) }).await
    };

    fire("store-down", &["store=clickhouse"]).await.unwrap();
    let ready = |wanted: bool| {
        let rehearsal = &rehearsal;
        move || async move {
            let pods = pods(rehearsal, "langfuse-clickhouse").await;
            (pods.first()?.pointer("/status/containerStatuses/0/ready")? == wanted).then_some(())
        }
    };
    until("ClickHouse is down", 15, ready(false)).await;
    lift("store-down", &["store=clickhouse"]).await.unwrap();
    until("ClickHouse is back", 30, ready(true)).await;

    fire("redis-full", &["maxmemory=1"]).await.unwrap();
    shift(&rehearsal, 100).await;
    until("v3 answers 500", 15, || async { (rehearsal.gateway.count_status(500) > 0).then_some(()) }).await;
    lift("redis-full", &[]).await.unwrap();
    shift(&rehearsal, 0).await;

    fire("api-flaky", &["errors=1", "close_watches=1s"]).await.unwrap();
    let api: Api<Ingress> = Api::namespaced(rehearsal.levers.client.clone(), NAMESPACE);
    assert!(api.get(ingress::CANARY).await.is_err());
    lift("api-flaky", &[]).await.unwrap();
    assert!(api.get(ingress::CANARY).await.is_ok());
    assert!(rehearsal.levers.lasting.lock().unwrap().is_empty(), "watches are closed no more");

    fire("v2-crash", &[]).await.unwrap();
    until("v2 is back", 10, || async {
        reqwest::get(format!("{}/api/public/health", rehearsal.info.v2_url)).await.ok()
    })
    .await;
    assert!(fire("nonsense", &[]).await.unwrap_err().to_string().contains("no fault"));
    rehearsal.stop(|_| ()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backfill_is_switched_by_the_environment() {
    let rehearsal = play("v3-errors", Some(300)).await;
    assert!(migration(&rehearsal, "migrate_scores").await["worker_id"].is_null(), "off at first");
    let backfill = arguments(&rehearsal, "backfill", &["enabled=true"]);
    fault(&backfill).await.unwrap();
    let finished = until("the last migration is finished", 120, || async {
        let row = migration(&rehearsal, "migrate_scores").await;
        (!row["finished_at"].is_null()).then_some(())
    });
    // Should it ever take so long, the worker's own words say why.
    let explain = async {
        tokio::time::sleep(Duration::from_secs(110)).await;
        eprintln!("{}", worker_log(&rehearsal));
        std::future::pending::<()>().await;
    };
    tokio::select! { () = finished => {}, () = explain => {} }
    rehearsal.stop(|_| ()).await.unwrap();
}
