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
}
