//! What `restore` says: how far it is, and the report.
//!
//! One rule: numbers first; an estimate has its `~`; what cannot go back is named.

use std::time::Duration;

use crate::cli::args::RestoreArgs;
use crate::cli::print::{self, put};
use crate::data::restore::{Named, Progress, Report, TableReport};
use crate::domain::units::{grouped, span};

/// What was asked for, for the journal.
pub(super) fn asked(args: &RestoreArgs) -> String {
    let table = args.table.map_or("all tables", |t| t.name());
    args.project.as_ref().map_or_else(|| table.to_owned(), |project| format!("{table} of project {project}"))
}

/// How far it is.
pub(super) fn progress(progress: &Progress, writes: bool) -> String {
    let done = if writes { "written" } else { "to write" };
    let share = progress.looked_at as f64 / progress.of.max(1) as f64;
    let left = progress.took.as_secs_f64() * (1.0 / share.max(1e-9) - 1.0).max(0.0);
    format!(
        "{}: {} of about {} looked at, {} {done}, ~{} to go",
        progress.table.name(),
        grouped(progress.looked_at),
        grouped(progress.of),
        grouped(progress.rows),
        time(left),
    )
}

/// The report as text.
pub(super) fn text(report: &Report, args: &RestoreArgs) -> String {
    let mut out = String::new();
    let (insert, update) = if report.written { ("inserted", "updated") } else { ("to insert", "to update") };
    let head =
        ["", "written by v3", insert, update, "v2 as new", "gone in v3", "stay in v3"].map(str::to_owned);
    let rows = report.tables.iter().map(|t| {
        let left: u64 = t.left.values().map(|n| n.count).sum();
        let numbers = [t.looked_at, t.inserts.count, t.updates.count, t.known, t.gone, left];
        let mut row = vec![t.table.name().to_owned()];
        row.extend(numbers.map(grouped));
        row
    });
    let rows: Vec<[String; 7]> =
        std::iter::once(head).chain(rows.filter_map(|row| <[String; 7]>::try_from(row).ok())).collect();
    if !report.tables.is_empty() {
        out.push_str(&print::columns(&rows));
    }
    for table in &report.tables {
        details(&mut out, table);
    }
    if report.written {
        put(&mut out, format_args!("\n{} rows in {}", grouped(report.rows()), time(report.seconds)));
    } else if let Some(seconds) = report.estimate_seconds {
        let scope = format!(
            "{}{}",
            args.table.map(|t| format!(" --table {}", t.name())).unwrap_or_default(),
            args.project.as_ref().map(|p| format!(" --project {p}")).unwrap_or_default()
        );
        // Views hold no data: rows were counted without them, and are not written without them.
        let first = if report.unmet.is_empty() { "" } else { "`cutover restore --views --yes` first; then " };
        put(
            &mut out,
            format_args!(
                "\nnothing was written; {first}`cutover restore{scope} --yes` writes {} rows in ~{}",
                grouped(report.rows()),
                time(seconds)
            ),
        );
    }
    out.trim_start_matches('\n').to_owned()
}

/// What becomes of the rows of a run that did not come to its end.
pub(super) fn rest(report: &Report, failed: bool) -> Option<&'static str> {
    let early = report.stopped || (failed && report.rows() > 0);
    (report.written && early).then_some("what was committed stays; the same command writes the rest")
}

fn details(out: &mut String, table: &TableReport) {
    let name = table.table.name();
    for (what, named) in [("v2 lacks", &table.inserts), ("v2 has older", &table.updates)] {
        if named.count > 0 {
            put(out, format_args!("\n{name} that {what}: {}", examples(named)));
        }
    }
    for (left, named) in &table.left {
        put(out, format_args!("\n{name}: {} {}: {}", grouped(named.count), left.sentence(), examples(named)));
    }
    for (loss, named) in &table.lost {
        put(out, format_args!("\n{name}: {} {}: {}", grouped(named.count), loss.sentence(), examples(named)));
    }
    let mut kept = table.kept_columns.clone();
    kept.extend(table.unknown_columns.iter().map(String::as_str));
    if !kept.is_empty() {
        put(out, format_args!("\n{name}: columns of v3 that v2 has no place for: {}", kept.join(", ")));
    }
    if table.inserts.count > 0 && !table.empty_columns.is_empty() {
        put(
            out,
            format_args!(
                "\n{name}: empty in inserted rows, v3 does not keep them: {}",
                table.empty_columns.join(", ")
            ),
        );
    }
}

/// Examples on one line; all of them are in `--json`.
fn examples(named: &Named) -> String {
    const SHOWN: usize = 5;
    let more = if named.count > named.examples.len().min(SHOWN) as u64 { ", …" } else { "" };
    format!("{}{more}", named.examples.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))
}

fn time(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::restore::Unmet;
    use crate::domain::backfill::Table;

    fn report(rows: u64) -> Report {
        let mut table = TableReport::new(Table::Traces);
        table.inserts.count = rows;
        Report { tables: vec![table], ..Report::default() }
    }

    #[test]
    fn views_are_made_before_rows_are_promised() {
        let args = RestoreArgs { yes: false, json: false, table: None, project: None, views: false };
        let counted = Report { estimate_seconds: Some(9.0), ..report(7) };
        assert!(
            text(&counted, &args)
                .ends_with("nothing was written; `cutover restore --yes` writes 7 rows in ~9s")
        );
        let view =
            Unmet { what: "view traces_view", gone_since: "v3.29.1", then: "v2 fails", only_a_view: true };
        let told = text(&Report { unmet: vec![view], ..counted }, &args);
        let both = "nothing was written; `cutover restore --views --yes` first; then `cutover restore --yes` writes 7 rows";
        assert!(told.contains(both), "{told}");
    }

    #[test]
    fn what_was_committed_is_said_to_stay_however_the_run_ended() {
        let wrote = |rows| Report { written: true, ..report(rows) };
        assert!(rest(&wrote(7), true).is_some());
        assert!(rest(&Report { stopped: true, ..wrote(0) }, false).is_some());
        assert_eq!(rest(&wrote(0), true), None, "nothing was written");
        assert_eq!(rest(&wrote(7), false), None, "it came to its end");
        assert_eq!(rest(&report(7), true), None, "a dry run");
    }
}
