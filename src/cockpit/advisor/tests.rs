//! Each rule on a reading that sets it off, and on one that does not.

mod data;
mod frozen;

use std::time::Duration;

use super::*;
use crate::cockpit::fixtures::{cluster, setup};
use crate::domain::backfill::{Migration, MigrationState, RowsFact, Side, Table, TableRows};
use crate::domain::latency::{ControllerFact, Endpoint};
use crate::domain::queue::{Queue, QueuesFact};
use crate::domain::store::{StoreFact, StoreKind};
use crate::domain::traffic::Owner;
use crate::domain::units::Count;
use crate::domain::{Fact, Kind, SourceId, Split, Trouble};
use crate::shift::plan::tests::route;

fn model() -> Model {
    Model::new(setup(true))
}

fn take(model: &mut Model, id: SourceId, fact: Fact) {
    model.facts.take(id, Ok(fact), Now::at(1).mono);
}

fn ids(model: &Model) -> Vec<&'static str> {
    advise(model, Now::at(2)).into_iter().map(|f| f.id).collect()
}

fn migration(table: Table, state: MigrationState) -> Migration {
    Migration {
        name: table.migration().into(),
        state,
        cursor: None,
        lock_age: Some(Duration::from_secs(95)),
        worker: Some("w".into()),
        failed_reason: None,
        batch_size: None,
        finished_at: None,
    }
}

fn worker(enabled: bool) -> Fact {
    cluster(|_, worker| worker.migrations_enabled = Some(enabled))
}

#[test]
fn nothing_read_is_nothing_found() {
    assert_eq!(ids(&model()), Vec::<&str>::new());
}

#[test]
fn a_stalled_backfill_is_told_from_a_running_one() {
    let mut model = model();
    take(
        &mut model,
        SourceId::Migrations,
        Fact::Migrations(vec![migration(Table::Traces, MigrationState::Running)]),
    );
    assert_eq!(ids(&model), Vec::<&str>::new());
    take(
        &mut model,
        SourceId::Migrations,
        Fact::Migrations(vec![migration(Table::Traces, MigrationState::Stalled)]),
    );
    let finding = &advise(&model, Now::at(2))[0];
    assert_eq!((finding.id, finding.severity), ("backfill-stalled", Severity::Critical));
    assert!(finding.evidence.contains("1m35s"), "{}", finding.evidence);
}

#[test]
fn reasons_of_failures_have_their_own_remedies() {
    for (reason, remedy) in [
        ("Transaction failed due to a write conflict or a deadlock", "#6198"),
        ("ClickHouse traces table does not exist", "web is ready"),
        ("Failed to convert rust `String` into napi `string`", "set args.batchSize lower"),
        (
            "Cannot parse JSON object here: expected '{' before: '5': (while reading key metadata) Code: 27",
            "bare number or boolean",
        ),
        ("Cannot find module './migrateTracesFromPostgresToClickhouse'", "the same tag"),
        ("something new", "mend the cause"),
    ] {
        let told = |name: &str| {
            let mut model = model();
            let failed = Migration {
                name: name.into(),
                failed_reason: Some(reason.into()),
                ..migration(Table::Traces, MigrationState::Failed)
            };
            take(&mut model, SourceId::Migrations, Fact::Migrations(vec![failed]));
            advise(&model, Now::at(2)).swap_remove(0).remedy
        };
        let ours = told(Table::Traces.migration());
        assert!(ours.contains(remedy) && ours.contains("`cutover backfill resume`"), "{ours}");
        // A worker goes past what is marked as failed: a restart alone does nothing.
        for told in [ours, told("20250417_1737_migrate_event_log_to_blob_storage")] {
            let restart = told.find("restart the worker").unwrap();
            let cleared = ["failed_at", "failed_reason", "keep state"];
            assert!(cleared.iter().all(|c| told[..restart].contains(c)), "{told}");
            assert_eq!(
                told.matches("the worker").count(),
                told.matches("restart the worker").count(),
                "{told}"
            );
        }
    }
}

/// The verb refuses these, or does nothing.
#[test]
fn what_only_a_worker_carries_out_names_no_verb_of_ours() {
    use crate::domain::backfill::COST;
    let others = [COST, "20250417_1737_migrate_event_log_to_blob_storage"];
    let reasons = ["write conflict", "table does not exist", "napi", "expected '{'", "something new"];
    for (name, state, reason) in others.into_iter().flat_map(|name| {
        let failed = reasons.map(|reason| (name, MigrationState::Failed, Some(reason.to_owned())));
        failed.into_iter().chain([(name, MigrationState::Stalled, None)])
    }) {
        let mut model = model();
        let row = Migration { name: name.into(), failed_reason: reason, ..migration(Table::Traces, state) };
        take(&mut model, SourceId::Migrations, Fact::Migrations(vec![row]));
        let told = &advise(&model, Now::at(2))[0];
        assert!(told.title.starts_with(name) && told.act.is_none(), "{told:?}");
        assert!(told.remedy.contains("restart the worker") && !told.remedy.contains("cutover"), "{told:?}");
        assert_eq!(told.remedy.contains("set its finished_at"), name == COST, "{told:?}");
    }
}

/// Making views again is offered where nothing graver is in the way.
#[test]
fn views_that_are_gone_can_be_made_from_here() {
    use crate::domain::store::{Setting, VIEWS, WAY_BACK};
    let found = |closed: bool| {
        let mut model = model();
        let setting = |name, ok| Setting { name, value: None, ok: Some(ok), advice: String::new() };
        let store = StoreFact {
            kind: StoreKind::Postgres,
            version: "15".into(),
            role: "primary".into(),
            latency: Duration::ZERO,
            used: None,
            limit: None,
            settings: vec![setting(VIEWS, false), setting(WAY_BACK, !closed)],
        };
        take(&mut model, SourceId::Store(StoreKind::Postgres), Fact::Store(store));
        advise(&model, Now::at(2)).into_iter().map(|f| f.act).collect::<Vec<_>>()
    };
    assert_eq!(found(false), [Some(Remedy::Views)]);
    assert_eq!(found(true), [None, None], "the verb would refuse");
}

#[test]
fn switched_off_and_never_started_are_told_apart() {
    for (enabled, id) in [(false, "backfill-disabled"), (true, "backfill-never-started")] {
        let mut model = model();
        take(
            &mut model,
            SourceId::Migrations,
            Fact::Migrations(vec![migration(Table::Traces, MigrationState::Queued)]),
        );
        take(&mut model, SourceId::Cluster, worker(enabled));
        assert_eq!(ids(&model), [id]);
    }
}

#[test]
fn a_tie_group_is_found_by_table_and_stranded_rows_once_for_all() {
    let mut model = model();
    let rows = |table, stranded, tie_group| TableRows {
        rows: Some(Count::exact(9)),
        stranded: Some(Count::exact(stranded)),
        tie_group,
        ..TableRows::unread(table)
    };
    take(
        &mut model,
        SourceId::Migrations,
        Fact::Migrations(vec![
            migration(Table::Traces, MigrationState::Finished),
            Migration { batch_size: Some(1_000), ..migration(Table::Scores, MigrationState::Queued) },
        ]),
    );
    take(
        &mut model,
        SourceId::PostgresRows,
        Fact::Rows(RowsFact {
            side: Side::Postgres,
            tables: vec![
                rows(Table::Traces, 7, None),
                rows(Table::Observations, 0, None),
                rows(Table::Scores, 4, Some(5_200)),
            ],
            verified: vec![],
        }),
    );
    assert_eq!(ids(&model), ["rows-stranded", "cursor-frozen"]);
    let finding = &advise(&model, Now::at(2))[0];
    assert_eq!((finding.severity, finding.title.split(' ').next()), (Severity::Critical, Some("11")));
    assert_eq!(finding.evidence, "traces: 7 after T0 -\nscores: 4 after T0 -");
}

#[test]
fn rows_changed_since_they_were_copied_are_told_with_their_age() {
    let mut model = model();
    let at = "2026-11-22T16:46:20Z".parse().unwrap();
    let counted = |rows| {
        let row = TableRows { changed: Some((Count::exact(rows), at)), ..TableRows::unread(Table::Scores) };
        Fact::Rows(RowsFact { side: Side::Postgres, tables: vec![row], verified: vec![] })
    };
    take(&mut model, SourceId::Migrations, Fact::Migrations(vec![]));
    take(&mut model, SourceId::PostgresRows, counted(0));
    assert_eq!(ids(&model), Vec::<&str>::new());
    take(&mut model, SourceId::PostgresRows, counted(4));
    let told = &advise(&model, Now::at(2))[0];
    assert_eq!((told.id, told.act), ("rows-changed", Some(Remedy::CatchUp)));
    assert_eq!(told.evidence, "scores: 4 as of 2026-11-22T16:46:20Z");
}

#[test]
fn without_a_cluster_the_row_alone_says_that_nobody_began() {
    let mut model = model();
    let queued =
        Migration { worker: None, lock_age: None, ..migration(Table::Traces, MigrationState::Queued) };
    take(&mut model, SourceId::Migrations, Fact::Migrations(vec![queued]));
    assert_eq!(ids(&model), Vec::<&str>::new(), "the cluster may still be read");
    let trouble = Trouble::new(Kind::NotConfigured, "cluster", "there is no kubeconfig");
    model.facts.take(SourceId::Cluster, Err(trouble), Now::at(1).mono);
    let told = &advise(&model, Now::at(2))[0];
    assert_eq!((told.id, told.severity), ("backfill-never-started", Severity::Info));
    assert_eq!(told.act, Some(Remedy::Copy(Table::Traces)));
}

#[test]
fn drift_names_the_writer_and_a_share_that_differs_needs_answers() {
    let mut model = model();
    let mut drifted = route(0);
    drifted.owner = Some(Owner { manager: "argocd-controller".into(), operation: "Update".into(), at: None });
    take(&mut model, SourceId::Traffic, Fact::Traffic(vec![drifted]));
    model.intended = Split::new(25);
    let finding = &advise(&model, Now::at(2))[0];
    assert!(finding.id == "weight-drift" && finding.evidence.contains("argocd-controller"));

    model.intended = Split::new(0);
    let counted = |v2, v3| ControllerFact { v2_requests: v2, v3_requests: v3, ..ControllerFact::default() };
    model.history.share.count(&counted(0, 0));
    model.history.share.count(&counted(90, 10));
    assert_eq!(ids(&model), Vec::<&str>::new(), "a hundred answers are too few");
    model.history.share.count(&counted(900, 100));
    assert_eq!(ids(&model), ["share-differs"]);
}

#[test]
fn queues_without_a_worker_and_stores_that_are_down() {
    let mut model = model();
    let queue = Queue {
        name: "ingestion-queue".into(),
        waiting: 40,
        active: 0,
        delayed: 3,
        overdue: 3,
        failed: 2,
        oldest: Some(Duration::from_secs(70)),
        added: Some(50),
        paused: false,
        consumers: Some(0),
        version: None,
    };
    take(&mut model, SourceId::Queues, Fact::Queues(QueuesFact { queues: vec![queue] }));
    assert_eq!(ids(&model), ["queue-no-worker", "queue-failed"]);
    for _ in 0..2 {
        let trouble = Trouble::new(Kind::Unreachable, "ClickHouse", "connection refused");
        model.facts.take(SourceId::Store(StoreKind::Clickhouse), Err(trouble), Now::at(2).mono);
    }
    assert!(ids(&model).contains(&"store-down"));
}

#[test]
fn a_store_without_room_is_told_before_and_when_it_is_full() {
    let redis = |used| {
        Fact::Store(StoreFact {
            kind: StoreKind::Redis,
            version: "7.2".into(),
            role: "master".into(),
            latency: Duration::ZERO,
            used: Some(used),
            limit: Some(100),
            settings: vec![],
        })
    };
    for (used, told) in [(89, None), (90, Some(Severity::Warning)), (100, Some(Severity::Critical))] {
        let mut model = model();
        take(&mut model, SourceId::Store(StoreKind::Redis), redis(used));
        let found = advise(&model, Now::at(2)).into_iter().find(|f| f.id == "store-full");
        assert_eq!(found.map(|f| f.severity), told, "{used}");
    }
}

#[test]
fn errors_of_v3_are_critical_only_while_it_has_traffic() {
    let mut model = model();
    for _ in 0..10 {
        model.history.latency[Endpoint::V3 as usize].recent.push(true);
    }
    assert_eq!(advise(&model, Now::at(2))[0].severity, Severity::Warning);
    take(&mut model, SourceId::Traffic, Fact::Traffic(vec![route(25)]));
    assert_eq!(advise(&model, Now::at(2))[0].severity, Severity::Critical);
}

#[test]
fn real_requests_that_fail_are_found_while_every_probe_is_fine() {
    let mut model = model();
    take(&mut model, SourceId::Traffic, Fact::Traffic(vec![route(25)]));
    (0..24).for_each(|_| model.history.latency[Endpoint::V3 as usize].recent.push(false));
    let counted =
        |all, failed| ControllerFact { v3_requests: all, v3_errors: failed, ..ControllerFact::default() };
    model.history.requests.count(Now::at(0).mono, &counted(1_000, 900));
    model.history.requests.count(Now::at(1).mono, &counted(1_412, 900));
    assert_eq!(ids(&model), Vec::<&str>::new(), "what was counted before is not of now");
    model.history.requests.count(Now::at(2).mono, &counted(1_512, 983));
    let finding = &advise(&model, Now::at(2))[0];
    assert_eq!((finding.id, finding.severity), ("request-errors", Severity::Critical));
    assert!(finding.title.contains("v3 fails 16 %"), "{}", finding.title);
    assert!(finding.evidence.contains("83 of 512 requests in 2 min"), "{}", finding.evidence);
}

#[test]
fn at_100_v2_is_still_needed() {
    let mut model = model();
    take(&mut model, SourceId::Traffic, Fact::Traffic(vec![route(100)]));
    assert_eq!(ids(&model), ["keep-v2"]);
}

#[test]
fn otlp_that_v2_refuses_is_told_while_it_goes_on() {
    let mut model = model();
    let counted = |refused| ControllerFact { v2_otlp_refused: refused, ..ControllerFact::default() };
    for (at, refused) in [(0, 3), (5, 3)] {
        model.history.requests.count(Now::at(at).mono, &counted(refused));
    }
    assert_eq!(ids(&model), Vec::<&str>::new(), "what was refused before is over");
    model.history.requests.count(Now::at(10).mono, &counted(5));
    let found = advise(&model, Now::at(10));
    assert_eq!(found[0].id, "otlp-to-v2");
    assert!(found[0].title.ends_with(": 2 in 2 min"), "{}", found[0].title);
    assert!(advise(&model, Now::at(200)).is_empty(), "nobody was refused lately");
}
