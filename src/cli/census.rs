//! `cutover census`: how much each side has, exactly, and what differs.
//!
//! One rule: it reads both databases and writes to neither; what was counted is remembered beside the state file.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::args::CensusArgs;
use super::exit::Exit;
use super::print;
use super::progress::Line;
use super::stores::{Stores, failed, known_project};
use crate::clients::work::{Access, Purpose};
use crate::config::Config;
use crate::data::census::report::{Number, TableReport, day};
use crate::data::census::{self, BookFile, Filter, Note, Report};
use crate::domain::backfill::Table;
use crate::domain::text::clean;
use crate::domain::units::{Count, grouped};
use crate::runtime::Clock;
use crate::runtime::signals::cancelled_at_the_end;
use crate::sources::ledger::{Found, Ledger};

/// One statement may take this long.
const STATEMENT: Duration = Duration::from_mins(10);

/// Counts and prints. 0 when nothing is missing or stranded, 1 otherwise.
pub async fn run(clock: Clock, config: &Config, args: &CensusArgs) -> Exit {
    match counted(clock, config, args).await {
        Ok(report) => {
            if args.json {
                // Plain data with string keys: this cannot fail.
                print::out(serde_json::to_string_pretty(&report).unwrap_or_default());
            } else {
                let dated = args.rows.from.is_some() || args.rows.to.is_some();
                print::out(text(&report, args.days, dated));
            }
            if report.equal { Exit::Fine } else { Exit::Findings }
        }
        Err(exit) => exit,
    }
}

async fn counted(clock: Clock, config: &Config, args: &CensusArgs) -> Result<Report, Exit> {
    let stores = Stores::open(config).await?;
    let purpose = Purpose { name: "census", access: Access::Read, statement: STATEMENT };
    let (pg, ch) = stores.work(purpose).await?;
    known_project(&pg, args.rows.project.as_deref()).await?;
    let file = BookFile::beside(Some(&stores.state_file));
    let mut book = if args.fresh { BookFile::new_book() } else { file.read() };
    let ledger = Ledger::open(Some(stores.state_file.clone()));
    let t0 = |table: Table| ledger.t0(table).map(jiff::Timestamp::as_millisecond);
    let filter = Filter {
        project: args.rows.project.clone(),
        from: args.rows.from.map(day),
        to: args.rows.to.map(day),
    };
    let tables = args.table.map_or(Table::ALL.to_vec(), |table| vec![table]);
    let mut line = Line::new(clock.now().mono);
    let mut note = |note: Note| {
        let (table, rows) = (note.table.name(), grouped(note.rows));
        line.tell(clock.now().mono, &format!("{table}: {}, {rows} rows read", note.what));
    };
    let at = clock.now().wall;
    let stop = CancellationToken::new();
    let signals = cancelled_at_the_end(stop.clone());
    let count = census::run((&pg, &ch), &tables, &filter, &t0, at, &mut book, &mut note);
    let answer = stop.run_until_cancelled(pg.attended(count)).await;
    signals.abort();
    line.clear();
    // What was counted before a failure or a signal is not counted again.
    file.write(&book);
    let Some(answer) = answer else {
        print::err("interrupted: what was counted is remembered, and the next census goes on from there");
        return Err(Exit::Unknown);
    };
    let report = answer.map_err(|trouble| failed(&trouble))?;
    // Of a part of the rows it would say too little.
    if filter == Filter::default() {
        remember(&ledger, &report);
    }
    Ok(report)
}

/// What only a look by id finds, for the cockpit to show.
fn remember(ledger: &Ledger, report: &Report) {
    for table in report.tables.iter().filter(|t| t.in_clickhouse) {
        let Some(of) = Table::ALL.into_iter().find(|of| of.name() == table.table) else { continue };
        let Number { value: rows, estimate } = table.changed;
        ledger.note_changed(of, Found { rows, estimate, at: report.at.as_millisecond() });
    }
}

/// A table per table, and the days that differ.
fn text(report: &Report, days: bool, dated: bool) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(report.tables.iter().map(row));
    let mut out = print::columns(&rows);
    out.push('\n');
    for table in &report.tables {
        for line in remarks(table) {
            print::put(&mut out, format_args!("\n{}: {line}", table.table));
        }
    }
    if dated {
        out.push_str(ALL_DAYS);
    }
    if days {
        for table in report.tables.iter().filter(|t| !t.days.is_empty()) {
            print::put(&mut out, format_args!("\n\n{}\n{}", table.table, listing(table)));
        }
    }
    out.trim_end().to_owned()
}

/// What a filter of days cannot take apart: a row's day in ClickHouse is not the one of `created_at`.
const ALL_DAYS: &str = "\nduplicates and deleted are those of all days";

const HEAD: [&str; 9] =
    ["table", "PG rows", "CH live", "missing", "after T0", "changed", "v3-only", "duplicates", "deleted"];

fn row(table: &TableReport) -> [String; 9] {
    let number = |n: Number| Count::from(n).text();
    let there = |n: Number| if table.in_clickhouse { number(n) } else { "-".into() };
    let doubles = Number {
        value: table.duplicates_by_key + table.duplicates_by_id.value,
        estimate: table.duplicates_by_id.estimate,
    };
    [
        table.table.to_owned(),
        number(table.postgres),
        there(table.clickhouse),
        there(table.missing),
        there(table.after_t0),
        there(table.changed),
        there(table.v3_only),
        there(doubles),
        there(Number::exact(table.tombstones)),
    ]
}

/// What the columns alone would not tell.
fn remarks(table: &TableReport) -> Vec<String> {
    let mut lines = Vec::new();
    let mut say = |n: u64, text: &str| {
        if n > 0 {
            lines.push(format!("{} {text}", grouped(n)));
        }
    };
    if !table.in_clickhouse {
        return vec!["stays in PostgreSQL: this v3 has no such table in ClickHouse".into()];
    }
    say(
        table.shared.value,
        "are in both, and v3 wrote the newer version: `cutover verify` tells whether it hides fields of v2",
    );
    say(table.gone.value, "were copied and are deleted in v2 since");
    say(table.deleted_in_v3.value, "are deleted in v3 and still in PostgreSQL");
    say(table.duplicates_by_key, "duplicates will be merged away by ClickHouse itself");
    say(table.duplicates_by_id.value, "duplicates by id never merge: their day, type or name differs");
    say(table.proof.corrected_days as u64, "closed days had changed since they were counted");
    say(table.proof.not_looked_up, "ids of v3 were not looked up in PostgreSQL in this run");
    if table.proof.stale_days > 0 {
        lines.push(format!("{} closed days are to be read again: rows were updated", table.proof.stale_days));
    }
    if !table.is_proven() && !table.differs() {
        lines.push(
            "nothing is known to be missing, and not all of it was read: count again, or `cutover verify`"
                .into(),
        );
    }
    if let Some(t0) = table.t0.filter(|_| table.after_t0.value > 0) {
        lines.push(format!("T0 is {t0}: no copy comes for what is newer; `cutover catch-up` copies it"));
    }
    lines
}

fn listing(table: &TableReport) -> String {
    let head =
        ["day", "project", "PG rows", "copied", "shared", "missing", "after T0", "changed", "gone", ""];
    let mut rows = vec![head.map(str::to_owned)];
    for day in &table.days {
        rows.push([
            day.day.to_string(),
            clean(&day.project),
            grouped(day.postgres),
            grouped(day.copied),
            grouped(day.shared),
            grouped(day.missing),
            grouped(day.after_t0),
            grouped(day.changed),
            grouped(day.gone),
            if day.by_id { String::new() } else { "by counts".into() },
        ]);
    }
    print::columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_asset() {
        let schema = serde_json::to_string_pretty(&schemars::schema_for!(Report)).unwrap() + "\n";
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/census.schema.json");
        if std::env::var_os("UPDATE_ASSETS").is_some() {
            std::fs::write(&file, &schema).unwrap();
        }
        let stored = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(stored, schema, "UPDATE_ASSETS=1 cargo test --lib census");
    }

    #[test]
    fn a_table_that_stays_says_so() {
        let stays = TableReport { table: "dataset_run_items", ..TableReport::default() };
        let report = Report { version: 1, at: jiff::Timestamp::UNIX_EPOCH, tables: vec![stays], equal: true };
        assert!(text(&report, false, true).contains("those of all days"));
        let text = text(&report, true, false);
        assert!(!text.contains("all days"), "{text}");
        assert!(text.contains("stays in PostgreSQL"), "{text}");
        assert!(text.contains("dataset_run_items  0        -"), "{text}");
    }
}
