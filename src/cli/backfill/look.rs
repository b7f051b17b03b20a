//! `cutover backfill plan` and `status`: read-only.

use std::time::Duration;

use serde_json::{Value, json};

use super::BackfillArgs;
use super::copying::stamp;
use crate::cli::exit::Exit;
use crate::cli::print;
use crate::cli::stores::{Stores, failed};
use crate::data::backfill::Tools;
use crate::data::backfill::survey::{self, Refusal, Survey};
use crate::data::lock::{COST, Denied, Standing, standings};
use crate::domain::backfill::Table;
use crate::domain::units::{grouped, span};
use crate::sources::ledger::Ledger;

/// Says what `run` would copy.
pub(super) async fn plan(tools: &Tools, args: &BackfillArgs) -> Exit {
    let options = args.options();
    let surveyed = match survey::survey(tools, &args.tables(), &options).await {
        Ok(surveyed) => surveyed,
        Err(trouble) => return failed(&trouble),
    };
    let mut refused = false;
    let mut documents = vec![];
    for table in &surveyed {
        refused |= table.refused.is_some() && !table.resumes;
        documents.push(json!({
            "table": table.table.name(),
            "rows": table.rows,
            "ranges": table.ranges,
            "from": table.from.map(stamp),
            "about_seconds": table.seconds,
            "columns_not_written": table.unknown,
            "columns_not_there": table.absent,
            "refused": table.refused.as_ref().map(ToString::to_string),
            "resume_would_copy": table.resumes,
            "after": table.after.filter(|_| table.refused.is_none()).map(Table::name),
        }));
        if !args.json {
            tell(table);
        }
    }
    if args.json {
        print::out(format!("{:#}", json!({"tables": documents})));
    }
    if refused && surveyed.len() == 1 { Exit::Refused } else { Exit::Fine }
}

/// What `run` would copy of one table, in words.
fn tell(table: &Survey) {
    let name = table.table.name();
    print::out(format!("{name}: {}", verdict(table)));
    if let Some(rows) = table.rows {
        let eta = table.seconds.map(Duration::from_secs_f64);
        print::out(format!(
            "  {} rows created up to {}, in about {} ranges{}",
            grouped(rows),
            table.from.map_or_else(|| "now".into(), stamp),
            grouped(table.ranges.unwrap_or(0)),
            eta.map_or_else(String::new, |eta| format!(
                ", ~{} (from the time it took to read and convert {} of them)",
                span(eta),
                grouped(table.sampled)
            ))
        ));
    }
    if !table.unknown.is_empty() {
        print::out(format!("  columns that take their defaults: {}", table.unknown.join(", ")));
    }
}

/// Whether it would be copied, and by which word.
fn verdict(table: &Survey) -> String {
    let resume = "`cutover backfill resume` would copy it";
    match (&table.refused, table.after) {
        (None, None) => "would be copied now".into(),
        (None, Some(before)) => format!("would be copied after {}", before.name()),
        (Some(Refusal::Denied(Denied::Failed { reason, .. })), _) if table.resumes => {
            format!("failed: {resume}; it failed with: {reason}")
        }
        (Some(refusal), _) if table.resumes => format!("{refusal}; {resume}"),
        (Some(refusal), _) => refusal.to_string(),
    }
}

/// Says where the migrations stand.
pub(super) async fn status(tools: &Tools, stores: &Stores, args: &BackfillArgs) -> Exit {
    let read = async {
        let mut session = tools.pg.session().await?;
        let rows = standings(&tools.pg, &mut session).await?;
        let mut lines = vec![];
        for row in rows {
            let table = Table::ALL.into_iter().find(|t| t.migration() == row.name);
            let counts = match table {
                Some(table) => Some(survey::counts(tools, &mut session, table, row.cursor()).await?),
                None => None,
            };
            lines.push((row, table, counts));
        }
        Ok(lines)
    };
    let lines = match read.await {
        Ok(lines) => lines,
        Err(trouble) => return failed(&trouble),
    };
    let ledger = Ledger::open(Some(stores.state_file.clone()));
    let lines = lines.iter().filter(|(_, table, _)| args.table.is_none() || *table == args.table);
    if args.json {
        let documents: Vec<Value> = lines
            .map(|(row, table, counts)| {
                json!({
                    "migration": row.name,
                    "table": table.map(Table::name),
                    "state": row.phase.word(),
                    "worker": row.worker,
                    "lock_age_seconds": row.lock_age.map(|age| age.as_secs_f64()),
                    "cursor": row.cursor().map(stamp),
                    "t0": table.and_then(|t| ledger.t0(t)).map(|t0| t0.to_string()),
                    "rows": counts.map(|c| c.rows),
                    "below_cursor": counts.and_then(|c| c.below),
                    "failed_reason": row.failed_reason,
                })
            })
            .collect();
        print::out(format!("{:#}", json!({"migrations": documents})));
        return Exit::Fine;
    }
    let rows: Vec<[String; 5]> = lines.map(|(row, _, counts)| line(row, *counts)).collect();
    print::out(print::columns(&rows));
    print::out(format!("{COST} is left to Langfuse's worker"));
    Exit::Fine
}

fn line(row: &Standing, counts: Option<survey::Counts>) -> [String; 5] {
    let lock = match (row.lock_age, &row.worker) {
        (Some(age), worker) => {
            format!("lock {} old, {}", span(age), worker.as_deref().unwrap_or("without a worker"))
        }
        (None, _) => "no lock".into(),
    };
    let left = counts.map_or_else(String::new, |c| match c.below.filter(|_| row.phase.is_pending()) {
        Some(below) => format!("{} of {} rows to go", grouped(below), grouped(c.rows)),
        None => format!("{} rows", grouped(c.rows)),
    });
    let cursor = row.cursor().map_or_else(|| "no cursor".into(), |at| format!("cursor {}", stamp(at)));
    let phase = match &row.failed_reason {
        Some(reason) => format!("{}: {reason}", row.phase.word()),
        None => row.phase.word().to_owned(),
    };
    [row.name.clone(), phase, cursor, left, lock]
}
