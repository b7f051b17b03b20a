//! What the readings of both databases say that no count says.

use super::*;

#[test]
fn a_cursor_that_goes_back_up_is_told_while_the_migration_runs() {
    let mut model = model();
    let at = |day: i64, worker: &str| Migration {
        cursor: jiff::Timestamp::from_second(day * 86_400).ok(),
        worker: Some(worker.into()),
        ..migration(Table::Traces, MigrationState::Running)
    };
    let read = |model: &mut Model, row: Migration| {
        model.history.follow(std::slice::from_ref(&row));
        take(model, SourceId::Migrations, Fact::Migrations(vec![row]));
    };
    read(&mut model, at(20, "a"));
    read(&mut model, at(19, "a"));
    assert_eq!(ids(&model), Vec::<&str>::new());
    read(&mut model, at(20, "b"));
    read(&mut model, at(19, "b"));
    let found = advise(&model, Now::at(2));
    assert_eq!(found[0].id, "cursor-went-back");
    assert!(found[0].evidence.contains("1970-01-20") && found[0].evidence.contains("worker a before, b now"));
    let mut finished = model.clone();
    read(&mut finished, Migration { state: MigrationState::Finished, ..at(19, "b") });
    assert_eq!(ids(&finished), Vec::<&str>::new());
    read(&mut model, at(18, "b"));
    assert_eq!(
        ids(&model),
        Vec::<&str>::new(),
        "it is past where it stood: nothing is copied twice any more"
    );
}

#[test]
fn rows_of_the_year_9999_are_told() {
    let mut model = model();
    let newest = |newest: &str| {
        let row = TableRows { newest: newest.parse().ok(), ..TableRows::unread(Table::Scores) };
        Fact::Rows(RowsFact { side: Side::Clickhouse, tables: vec![row], verified: vec![] })
    };
    take(&mut model, SourceId::ClickhouseRows, newest("1970-01-01T12:00:00Z"));
    assert_eq!(ids(&model), Vec::<&str>::new());
    take(&mut model, SourceId::ClickhouseRows, newest("9999-12-30T22:00:00Z"));
    let found = advise(&model, Now::at(2));
    assert_eq!(found[0].id, "times-in-the-future");
    assert!(found[0].title.contains("scores"));
}

/// Each step before the one that needs it: a row that is still there gives its wrong time to what is replayed, and what
/// v3 took itself is in S3 alone.
#[test]
fn what_is_told_of_the_year_9999_loses_nothing_and_is_alone_in_it() {
    let mut model = model();
    let row = |newest: &str| {
        let doubled = Some(Count::exact(2));
        let newest = newest.parse().ok();
        let row = TableRows { doubled, newest, ..TableRows::unread(Table::Traces) };
        Fact::Rows(RowsFact { side: Side::Clickhouse, tables: vec![row], verified: vec![] })
    };
    take(&mut model, SourceId::ClickhouseRows, row("9999-12-30T22:00:00Z"));
    let found = advise(&model, Now::at(2));
    let steps = [
        "end the cause",
        "verify --against pg",
        "table of their own",
        "delete them",
        "replay",
        "cutover catch-up --yes",
    ];
    let at = steps.map(|step| found[0].remedy.find(step).unwrap_or_else(|| panic!("{step}: {:?}", found[0])));
    assert!(at.is_sorted(), "{}", found[0].remedy);
    assert!(!found[0].remedy.contains("run the migration again"), "a finished one runs no more");
    // A copy that had to be newer than these rows would hide whatever v3 hears later.
    assert_eq!((found[1].id, found[1].act), ("rows-twice", None));
    assert!(found[1].remedy.contains("mend the times in the future first"), "{}", found[1].remedy);
    take(&mut model, SourceId::ClickhouseRows, row("1970-01-01T12:00:00Z"));
    assert_eq!(advise(&model, Now::at(2))[0].act, Some(Remedy::CatchUp));
}

#[test]
fn what_no_poll_searches_is_said() {
    let mut model = model();
    let read = |model: &mut Model, raw: u64, doubled: Count| {
        let of = |table, raw, doubled| TableRows {
            raw: Some(raw),
            doubled: Some(doubled),
            ..TableRows::unread(table)
        };
        let tables = vec![of(Table::Traces, 9, doubled), of(Table::Observations, raw, Count::about(0))];
        let fact = RowsFact { side: Side::Clickhouse, tables, verified: vec![] };
        take(model, SourceId::ClickhouseRows, Fact::Rows(fact));
    };
    read(&mut model, 3_000_000, Count::exact(0));
    assert_eq!(ids(&model), Vec::<&str>::new(), "the next poll does");
    read(&mut model, 3_000_001, Count::exact(0));
    assert_eq!(ids(&model), Vec::<&str>::new(), "nothing is wrong of what was not searched");
    read(&mut model, 3_000_001, Count::exact(1));
    let told = &advise(&model, Now::at(2))[0];
    assert_eq!((told.severity, told.act), (Severity::Warning, Some(Remedy::CatchUp)));
    assert!(told.evidence.starts_with("traces: 1 too many\nobservations: not searched"), "{}", told.evidence);
}

#[test]
fn rows_under_two_days_are_told_with_what_leaves_one() {
    let mut model = model();
    let doubled = |value| {
        let row = TableRows { doubled: Some(Count::exact(value)), ..TableRows::unread(Table::Observations) };
        Fact::Rows(RowsFact { side: Side::Clickhouse, tables: vec![row], verified: vec![] })
    };
    take(&mut model, SourceId::ClickhouseRows, doubled(0));
    assert_eq!(ids(&model), Vec::<&str>::new());
    take(&mut model, SourceId::ClickhouseRows, doubled(3));
    let found = advise(&model, Now::at(2));
    assert_eq!((found[0].id, found[0].act), ("rows-twice", Some(Remedy::CatchUp)));
    assert_eq!(found[0].evidence, "observations: 3 too many");
    assert!(found[0].remedy.contains("of those that v2 has and v3 has not deleted"), "{}", found[0].remedy);
}
