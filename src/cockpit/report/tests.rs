//! The document: unknown is null, ages and failures stand beside values, the schema is published.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::cockpit::model::{Setup, Strategy};
use crate::cockpit::msg::{Envelope, Msg};
use crate::cockpit::update::update;
use crate::domain::backfill::{RowsFact, Side, Table, TableRows};
use crate::domain::latency::ControllerFact;
use crate::domain::queue::{Queue, QueuesFact};
use crate::domain::units::Count;
use crate::domain::{Fact, Kind};
use crate::shift::Ladder;
use crate::shift::plan::tests::route;

fn model() -> Model {
    Model::new(Setup {
        environment: "acme".into(),
        production: true,
        context: "acme-admin".into(),
        namespace: "langfuse".into(),
        strategy: Strategy::ShiftFirst,
        ladder: Ladder::default(),
        armed: false,
        operator: "ops@bastion".into(),
        off: vec![SourceId::Controller],
        started: Now::at(0),
    })
}

fn fact(model: &mut Model, secs: u64, id: SourceId, answer: Result<Fact, Trouble>) {
    let envelope = Envelope { now: Now::at(secs), msg: Msg::Fact(id, Box::new(answer)) };
    update(model, envelope);
}

fn json(model: &Model, secs: u64) -> serde_json::Value {
    serde_json::to_value(Report::of(model, Now::at(secs))).unwrap()
}

#[test]
fn what_was_not_read_is_null_and_never_zero() {
    let report = json(&model(), 1);
    for path in [
        "/routes/value",
        "/routes/age_seconds",
        "/queues/value",
        "/split/stored",
        "/phase",
        "/tables/0/postgres",
        "/tables/0/shared",
        "/split/v3_only/shared",
        "/stores/0/value",
        "/latency/1/health/p50",
    ] {
        assert_eq!(report.pointer(path), Some(&serde_json::Value::Null), "{path}");
    }
    assert_eq!(report["routes"]["freshness"], "unknown");
}

#[test]
fn readings_carry_age_failures_and_estimates() {
    let mut model = model();
    fact(&mut model, 1, SourceId::Traffic, Ok(Fact::Traffic(vec![route(25)])));
    let rows = TableRows {
        rows: Some(Count::about(1_000)),
        stranded: Some(Count::exact(0)),
        ..TableRows::unread(Table::Traces)
    };
    let fact_rows = RowsFact { side: Side::Postgres, tables: vec![rows], verified: vec![] };
    fact(&mut model, 2, SourceId::PostgresRows, Ok(Fact::Rows(fact_rows)));
    let trouble = Trouble::new(Kind::Timeout, "Redis", "no answer in 3 s").remedy("look at it");
    fact(&mut model, 2, SourceId::Queues, Err(trouble));
    let report = json(&model, 4);
    assert_eq!(report["split"]["stored"], 25);
    assert_eq!(report["routes"]["age_seconds"], 3.0);
    assert_eq!(report["routes"]["value"][0]["object"], "Ingress langfuse/langfuse-canary");
    assert_eq!(report["tables"][0]["postgres"], serde_json::json!({"value": 1000, "estimate": true}));
    assert_eq!(report["tables"][0]["stranded"]["value"], 0);
    assert_eq!(report["queues"]["value"], serde_json::Value::Null);
    assert_eq!(report["queues"]["failure"]["kind"], "timeout");
    assert_eq!(report["queues"]["failure"]["remedy"], "look at it");
}

#[test]
fn what_v3_wrote_of_rows_that_v2_has_stands_beside_what_only_v3_has() {
    let mut model = model();
    let rows = TableRows {
        v3_only: Some(Count::exact(0)),
        shared: Some(Count::exact(7)),
        ..TableRows::unread(Table::Traces)
    };
    let counted = RowsFact { side: Side::Clickhouse, tables: vec![rows], verified: vec![] };
    fact(&mut model, 1, SourceId::ClickhouseRows, Ok(Fact::Rows(counted)));
    let report = json(&model, 2);
    assert_eq!(report["tables"][0]["shared"], serde_json::json!({"value": 7, "estimate": false}));
    let all = serde_json::json!({"value": 7, "estimate": true});
    assert_eq!(report["split"]["v3_only"]["shared"], all, "two tables were not counted");
}

#[test]
fn queues_without_a_history_have_no_rates() {
    let mut model = model();
    let queue = Queue {
        name: "ingestion-queue".into(),
        waiting: 3,
        active: 1,
        delayed: 9,
        overdue: 2,
        failed: 0,
        oldest: Some(Duration::from_secs(5)),
        added: Some(40),
        paused: false,
        consumers: None,
        version: None,
    };
    fact(&mut model, 1, SourceId::Queues, Ok(Fact::Queues(QueuesFact { queues: vec![queue] })));
    let report = json(&model, 1);
    assert_eq!(report["queues"]["value"][0]["depth"], 6);
    assert_eq!(report["queues"]["value"][0]["in_per_second"], serde_json::Value::Null);
}

#[test]
fn errors_of_real_requests_stand_beside_those_of_probes() {
    let mut model = model();
    for (secs, all, failed) in [(1, 100, 50), (6, 160, 59)] {
        let counted = ControllerFact { v3_requests: all, v3_errors: failed, ..ControllerFact::default() };
        fact(&mut model, secs, SourceId::Controller, Ok(Fact::Controller(counted)));
    }
    let report = json(&model, 7);
    assert_eq!(report["latency"][1]["requests"], serde_json::json!({"all": 60, "failed": 9}));
    assert_eq!(report["latency"][2]["requests"], serde_json::Value::Null, "the public address is no backend");
    assert_eq!(json(&model, 200)["latency"][1]["requests"], serde_json::Value::Null, "too old to say");
}

/// `UPDATE_ASSETS=1 cargo test` writes it anew.
#[test]
fn the_published_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/status.schema.json");
    let current = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_ASSETS").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == current,
        "assets/status.schema.json is not current: UPDATE_ASSETS=1 cargo test report"
    );
}
