//! Cursors before more rows of one `created_at` than a batch holds.

use super::*;
use crate::domain::backfill::OURS;

/// What is found after so many readings of a cursor before a group of rows.
fn found(tag: Option<&str>, size: u64, row: Migration, readings: u32) -> Option<Finding> {
    let mut model = model();
    if let Some(tag) = tag {
        take(&mut model, SourceId::Cluster, cluster(|_, worker| worker.tag = tag.into()));
    }
    let row = Migration { cursor: "2024-05-03T10:00:00Z".parse().ok(), ..row };
    (0..readings).for_each(|_| model.history.follow(std::slice::from_ref(&row)));
    take(&mut model, SourceId::Migrations, Fact::Migrations(vec![row]));
    let rows = TableRows { tie_group: Some(size), ..TableRows::unread(Table::Traces) };
    let fact = RowsFact { side: Side::Postgres, tables: vec![rows], verified: vec![] };
    take(&mut model, SourceId::PostgresRows, Fact::Rows(fact));
    advise(&model, Now::at(2)).into_iter().find(|f| f.id == "cursor-frozen")
}

#[test]
fn a_cursor_is_frozen_when_it_stands_still_before_more_than_a_batch() {
    use MigrationState::{Running, Stalled};
    let found = |tag: Option<&str>, size, state, batch_size, readings| {
        found(tag, size, Migration { batch_size, ..migration(Table::Traces, state) }, readings)
    };
    assert_eq!(found(Some("3.29.0"), 4_999, Running, None, 9), None, "its batch is 5000");
    assert_eq!(found(Some("3.29.0"), 5_000, Running, None, 2), None, "not yet");
    let told = found(Some("3.29.0"), 5_000, Running, None, 3).unwrap();
    assert_eq!((told.severity, told.act), (Severity::Critical, None), "the lock is fresh: nobody gets it");
    assert!(told.remedy.starts_with("stop the worker"), "{}", told.remedy);
    assert!(told.evidence.contains("batch size 5000, it does not move"), "{}", told.evidence);
    assert!(found(Some("3.100.0"), 4_999, Running, None, 3).is_some(), "1000 since 3.35");
    assert!(found(Some("3.29.0"), 1_200, Running, Some(1_200), 3).is_some(), "the row says it");
    let told = found(Some("3.29.0"), 5_000, Stalled, None, 3).unwrap();
    assert_eq!((told.severity, told.act), (Severity::Warning, Some(Remedy::Copy(Table::Traces))));
    // Without a version what is seen decides.
    assert!(found(None, 4_999, Running, None, 3).is_some());
    assert_eq!(found(Some("3"), 4_999, Stalled, None, 3), None);
}

/// What the finding advised is at work: it takes the group as one, and its cursor stands still for as long.
#[test]
fn a_copy_of_ours_that_copies_the_group_is_not_to_be_stopped() {
    let by = |worker: &str, state| {
        let row = Migration { worker: Some(worker.into()), ..migration(Table::Traces, state) };
        found(Some("3.29.0"), 9_000_000, row, 40)
    };
    let (ours, theirs) = (format!("{OURS}{}", uuid::Uuid::nil()), uuid::Uuid::nil().to_string());
    assert_eq!(by(&ours, MigrationState::Running), None);
    assert!(by(&theirs, MigrationState::Running).is_some());
    // It was killed: the group is there for the next one, and so is the worker's trap.
    assert_eq!(by(&ours, MigrationState::Stalled).unwrap().act, Some(Remedy::Copy(Table::Traces)));
}

/// `run` refuses what has failed, and a worker goes past it.
#[test]
fn a_failed_one_before_a_group_is_resumed() {
    let told = found(Some("3.29.0"), 5_000, migration(Table::Traces, MigrationState::Failed), 3).unwrap();
    assert_eq!(told.act, Some(Remedy::Resume(Table::Traces)));
    let named = ["`cutover backfill resume`", "clear failed_at and failed_reason"];
    assert!(
        named.iter().all(|n| told.remedy.contains(n)) && !told.remedy.contains("backfill run"),
        "{told:?}"
    );
}
