//! `cutover journal`: what was done, by whom, and whether the chain is whole.

use super::args::JournalArgs;
use super::exit::Exit;
use super::print;
use crate::actuators::Journal;
use crate::actuators::journal::{Entry, Record, Verified, verify};
use crate::config::{Config, targets};
use crate::domain::text::clean;
use crate::runtime::session;

/// Prints the journal of the configuration's cluster and namespace, or checks it.
pub fn run(config: &Config, args: &JournalArgs) -> Exit {
    let path = args.file.clone().unwrap_or_else(|| {
        let (context, namespace) = session::place(&targets::kube(config));
        session::journal_path(config, &context, &namespace)
    });
    let shown = clean(&path.to_string_lossy());
    if !path.is_file() {
        print::err(format!("{shown}: there is no journal yet"));
        return if args.file.is_some() { Exit::Usage } else { Exit::Fine };
    }
    let records = match Journal::open(path).and_then(|j| j.read()) {
        Ok(records) => records,
        Err(error) => {
            print::err(error.to_string());
            return Exit::Findings;
        }
    };
    if !args.verify {
        show(&records, args.json);
        return Exit::Fine;
    }
    match verify(&records) {
        Verified::Whole(lines) => {
            print::out(format!("{shown}: {lines} line(s), the chain is whole"));
            Exit::Fine
        }
        Verified::Broken(line, why) => {
            print::err(format!("{shown}, line {line}: {why}"));
            Exit::Findings
        }
    }
}

fn show(records: &[Record], json: bool) {
    if json {
        for record in records {
            print::out(record.line());
        }
        return;
    }
    let rows: Vec<_> = records.iter().map(row).collect();
    if !rows.is_empty() {
        print::out(print::columns(&rows));
    }
}

fn row(record: &Record) -> [String; 4] {
    let (operation, text) = match &record.entry {
        Entry::Intent { op, intent, actor, from, to, patches, .. } => (
            format!("op-{op}"),
            format!("{intent} {from} % -> {to} % by {}, {} patch(es)", actor.name(), patches.len()),
        ),
        Entry::Answer { op, outcome, detail, .. } => {
            let colon = if detail.is_empty() { "" } else { ": " };
            (format!("op-{op}"), format!("{}{colon}{detail}", outcome_word(*outcome)))
        }
        Entry::Concluded { op, detail } => (format!("op-{op}"), detail.clone()),
        Entry::Confirmed { op, actor } => (format!("op-{op}"), format!("confirmed by {}", actor.name())),
        Entry::Hold { actor, on } => {
            (String::from("-"), format!("hold {} by {}", if *on { "on" } else { "off" }, actor.name()))
        }
        Entry::Rows { actor, verb, step, detail, counts } => {
            let rows: Vec<_> = counts.iter().map(|(what, n)| format!(", {n} {what}")).collect();
            let step = format!("{step:?}").to_lowercase();
            (String::from("-"), format!("{verb} {step} by {}: {detail}{}", actor.name(), rows.concat()))
        }
        Entry::TakeOver { actor, from } => {
            (String::from("-"), format!("{} took the right to write from {from}", actor.name()))
        }
    };
    [record.seq.to_string(), record.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(), operation, clean(&text)]
}

fn outcome_word(outcome: crate::actuators::journal::Outcome) -> String {
    format!("{outcome:?}").to_lowercase()
}
