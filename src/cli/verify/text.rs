//! What `verify` prints.

use serde_json::json;

use super::VerifyArgs;
use super::shown::Shown;
use crate::cli::print::{columns, put};
use crate::data::verify::cost::Plan;
use crate::data::verify::{Difference, Finding, Report, TableReport};
use crate::domain::text::clean;
use crate::domain::units::grouped;

/// Differences that the screen lists.
const LISTED: usize = 40;

/// One document.
pub(super) fn json(report: &Report, shown: &Shown) -> String {
    let found: u64 = report.tables.iter().flat_map(|t| t.differences.values()).sum();
    let all = found <= shown.findings.len() as u64;
    let document = json!({
        "at": report.at, "against": report.against, "wrong": report.wrong(), "tables": report.tables,
        "notes": report.notes, "findings": shown.findings, "findings_complete": all, "values_left_out": shown.bare,
    });
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// A line a table, what was found, and the first rows.
pub(super) fn report(report: &Report, shown: &Shown, args: &VerifyArgs) -> String {
    let mut out = String::new();
    for table in &report.tables {
        put(&mut out, format_args!("{}\n", line(table)));
        out.push_str(&not_compared(table));
        for (difference, count) in table.differences.iter().filter(|(_, count)| **count > 0) {
            let mark = if difference.is_wrong(report.against) { "!" } else { " " };
            put(
                &mut out,
                format_args!(
                    "  {mark} {:>9} {:<12} {}\n",
                    grouped(*count),
                    difference.word(),
                    difference.meaning()
                ),
            );
        }
    }
    let listed: Vec<_> = shown.findings.iter().filter(|f| f.difference.is_wrong(report.against)).collect();
    if !listed.is_empty() {
        out.push('\n');
    }
    let rows: Vec<[String; 5]> = listed.iter().take(LISTED).map(|f| row(f)).collect();
    put(&mut out, format_args!("{}", columns(&rows)));
    if args.values {
        for finding in listed.iter().take(LISTED) {
            out.push_str(&values(finding));
        }
    }
    if shown.bare > 0 {
        put(
            &mut out,
            format_args!(
                "\nvalues of {} rows are too large for here: --csv FILE has all",
                grouped(shown.bare as u64)
            ),
        );
    }
    let rest = report.wrong().saturating_sub(LISTED as u64);
    if rest > 0 {
        let how = if args.csv.is_some() { "in the file" } else { "use --csv FILE for all of them" };
        put(&mut out, format_args!("\nand {} more: {how}", grouped(rest)));
    }
    for note in &report.notes {
        put(&mut out, format_args!("\n{note}"));
    }
    out.trim_end().to_owned()
}

fn line(table: &TableReport) -> String {
    let verdict = match table.wrong {
        0 => "0 differences".to_owned(),
        wrong => format!("{} DIFFERENCES", grouped(wrong)),
    };
    let mut line = format!("{}: {verdict} in {} rows", table.table.name(), grouped(table.rows));
    if table.remembered > 0 {
        put(&mut line, format_args!(", {} of them unchanged since the last run", grouped(table.remembered)));
    }
    if table.v3_only > 0 && table.differences.get(&Difference::V3Only).copied().unwrap_or(0) < table.v3_only {
        put(&mut line, format_args!(", {} more written by v3 itself", grouped(table.v3_only)));
    }
    put(
        &mut line,
        format_args!(" ({} columns, by {}, {:.1} s)", table.columns.len(), table.strategy, table.seconds),
    );
    line
}

/// The columns that the line above says nothing of.
fn not_compared(table: &TableReport) -> String {
    let unknown: Vec<&str> = table.unknown.iter().map(String::as_str).collect();
    let mut out = String::new();
    for (columns, why) in [
        (&table.unread, "not compared, as their type in v3 is not known here"),
        (&table.absent, "not there in this v3"),
        (&unknown, "in v3 alone"),
    ] {
        if !columns.is_empty() {
            put(&mut out, format_args!("  columns {why}: {}\n", clean(&columns.join(", "))));
        }
    }
    out
}

fn row(finding: &Finding) -> [String; 5] {
    let names: Vec<_> = finding.columns.iter().map(|c| c.column).collect();
    let what = [names.join(" "), clean(&finding.note)].into_iter().filter(|t| !t.is_empty());
    [
        finding.table.name().to_owned(),
        finding.difference.word().to_owned(),
        clean(&finding.project),
        clean(&finding.id),
        what.collect::<Vec<_>>().join("; "),
    ]
}

fn values(finding: &Finding) -> String {
    let mut out = String::new();
    for column in &finding.columns {
        let text = |value: &Option<String>| clean(value.as_deref().unwrap_or("-"));
        put(
            &mut out,
            format_args!(
                "\n{} {}\n  v2 {}\n  v3 {}",
                clean(&finding.id),
                column.column,
                text(&column.v2),
                text(&column.v3)
            ),
        );
    }
    out
}

/// What would be read.
pub(super) fn plans(plans: &[Plan]) -> String {
    let head = [
        "table",
        "way",
        "PostgreSQL rows",
        "pages",
        "MB",
        "ClickHouse rows",
        "MB",
        "days known",
        "if killed",
        "why",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(plans.iter().map(|plan| {
        [
            plan.table.name().to_owned(),
            plan.strategy.to_owned(),
            format!("~{}", grouped(plan.v2_rows)),
            grouped(plan.pages),
            format!("{:.1}", plan.v2_megabytes),
            grouped(plan.v3_rows),
            format!("{:.1}", plan.v3_megabytes),
            plan.remembered_days.to_string(),
            if plan.resumable { "goes on" } else { "begins anew" }.to_owned(),
            plan.why.clone(),
        ]
    }));
    let mut unseen: Vec<&str> = plans.iter().flat_map(|plan| plan.unseen.iter().copied()).collect();
    unseen.dedup();
    let unseen: Vec<String> = unseen.into_iter().map(|line| format!("\nnot seen this way: {line}")).collect();
    columns(&rows).trim_end().to_owned() + "\n" + &unseen.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cell::ChType;
    use crate::data::tables::{Live, Tier, spec};
    use crate::data::verify::chain::Chain;
    use crate::data::verify::cost::Strategy;
    use crate::domain::backfill::Table;

    #[test]
    fn columns_that_are_not_compared_are_named() {
        let spec = spec(Table::Traces);
        let columns = spec.columns.iter().filter(|c| c.ch != "environment").map(|c| match c.ch {
            "input" => (c.ch.to_owned(), ChType::Other("JSON".into())),
            ch => (ch.to_owned(), ChType::String),
        });
        let mapping =
            Live { columns: columns.chain([("new".to_owned(), ChType::String)]).collect() }.map(spec);
        let report = |tier| {
            not_compared(&TableReport::new(&mapping, &Chain::new(&mapping, tier), (tier, Strategy::Buckets)))
        };
        let always = "  columns not there in this v3: environment\n  columns in v3 alone: new\n";
        assert_eq!(report(Tier::Scalar), always);
        let unread = "  columns not compared, as their type in v3 is not known here: input\n";
        assert_eq!(report(Tier::All), format!("{unread}{always}"));
    }
}
