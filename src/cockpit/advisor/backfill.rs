//! The background migrations: stalled, failed, frozen, never started, and what they leave behind.

use crate::domain::backfill::{COST, MOST_TIED, Migration, MigrationState, Side, Table, tied};
use crate::domain::cluster::Role;
use crate::domain::units::{Count, grouped, span};
use crate::domain::{Now, SourceId, Split};

use super::super::Model;
use super::super::remedy::Remedy;
use super::{Findings, Severity, act, add};

/// What a reason in `failed_reason` means, with the remedy where this program carries the migration out, and where only
/// a worker does (threads of langfuse/langfuse in brackets). A worker goes past a row whose `failed_at` is set, however
/// often it is restarted; the verb clears it.
const REASONS: &[(&str, &str, &str)] = &[
    ("write conflict", CONFLICT, CONFLICT_OF_OTHERS),
    ("deadlock", CONFLICT, CONFLICT_OF_OTHERS),
    (
        "table does not exist",
        "web had not migrated ClickHouse yet [#4663]: once web is ready, `cutover backfill resume`; or clear failed_at and failed_reason, keep state, restart the worker",
        "web had not migrated ClickHouse yet [#4663]: once web is ready, clear failed_at and failed_reason, keep state, restart the worker",
    ),
    (
        "napi",
        "a batch is longer than Node's longest string: `cutover backfill resume` has no such limit; or set args.batchSize lower, clear failed_at and failed_reason, keep state, restart the worker",
        "a batch is longer than Node's longest string: set args.batchSize lower, clear failed_at and failed_reason, keep state, restart the worker",
    ),
    (
        "expected '{'",
        "a row's metadata is a bare number or boolean: `cutover backfill resume` names such rows and goes on; or wrap it in PostgreSQL, clear failed_at and failed_reason, keep state, restart the worker",
        MEND,
    ),
    ("Cannot find module", VERSIONS, VERSIONS_OF_OTHERS),
];
const CONFLICT: &str = "harmless [#6198]: `cutover backfill resume` keeps the cursor and goes on; or clear failed_at, failed_reason and locked_at, keep state, restart the worker";
const CONFLICT_OF_OTHERS: &str =
    "harmless [#6198]: clear failed_at, failed_reason and locked_at, keep state, restart the worker";
const VERSIONS: &str = "web and worker run different versions [#7315]: give both the same tag; then `cutover backfill resume`, or clear failed_at and failed_reason, keep state, restart the worker";
const VERSIONS_OF_OTHERS: &str = "web and worker run different versions [#7315]: give both the same tag, clear failed_at and failed_reason, keep state, restart the worker";
const MEND: &str = "mend the cause; then clear failed_at and failed_reason, keep state, restart the worker, which alone carries it out";
const MEND_OURS: &str = "mend the cause; then `cutover backfill resume`, or clear failed_at and failed_reason, keep state, restart the worker";
/// What the cost backfill allows beside (langfuse.md 1.4): it keeps no cursor, and it may be skipped at a price.
const COST_TOO: &str = "; it begins again at the newest row. Or set its finished_at: what is copied then lacks the costs that it had not written";

pub(super) fn advise(model: &Model, _: Now, findings: &mut Findings) {
    let Some(migrations) = model.facts.migrations.value() else {
        return;
    };
    for migration in migrations {
        match migration.state {
            MigrationState::Stalled => stalled(model, migration, findings),
            MigrationState::Failed => failed(migration, findings),
            _ => {}
        }
    }
    never_started(model, migrations, findings);
    beside_v2(model, migrations, findings);
    for table in model.tables() {
        frozen(model, table, findings);
    }
    stranded(model, findings);
    changed(model, findings);
}

/// The table that a migration copies; none for those that this program does not carry out.
fn table(migration: &Migration) -> Option<Table> {
    Table::ALL.into_iter().find(|table| table.migration() == migration.name)
}

/// What may be done beside a restart about a migration that this program does not carry out.
fn beside(m: &Migration) -> &'static str {
    if m.name == COST { COST_TOO } else { "" }
}

fn worker_ready(model: &Model) -> bool {
    let workloads = model.facts.cluster.value().map(|c| c.workloads.as_slice()).unwrap_or_default();
    workloads.iter().any(|w| w.role == Role::Worker && w.ready > 0)
}

fn stalled(model: &Model, m: &Migration, findings: &mut Findings) {
    let age = m.lock_age.map_or_else(|| "none".into(), span);
    let up =
        if worker_ready(model) { "a worker is ready and does not work on it" } else { "no worker is ready" };
    add(
        findings,
        "backfill-stalled",
        Severity::Critical,
        format!("{} is claimed and nobody works on it", m.name),
        format!("lock age {age}; {up}"),
        format!(
            "a worker that restarts within 60 s of a crash finds the lock fresh and gives up for good: restart the worker now{}",
            if table(m).is_some() { ", or copy in its place: `cutover backfill run`" } else { beside(m) }
        ),
    );
    if let Some(table) = table(m) {
        act(findings, Remedy::Copy(table));
    }
}

fn failed(m: &Migration, findings: &mut Findings) {
    let reason = m.failed_reason.as_deref().unwrap_or("-");
    let known = REASONS.iter().find(|(text, ..)| reason.contains(text));
    let (ours, others) = known.map_or((MEND_OURS, MEND), |(_, ours, others)| (*ours, *others));
    let remedy = if table(m).is_some() { ours.to_owned() } else { format!("{others}{}", beside(m)) };
    add(findings, "backfill-failed", Severity::Critical, format!("{} failed", m.name), reason, remedy);
    if let Some(table) = table(m) {
        act(findings, Remedy::Resume(table));
    }
}

/// The manager looks once, when the worker starts.
fn never_started(model: &Model, migrations: &[Migration], findings: &mut Findings) {
    let idle =
        migrations.iter().all(|m| !matches!(m.state, MigrationState::Running | MigrationState::Stalled));
    let Some(next) = migrations.iter().find(|m| m.state == MigrationState::Queued).filter(|_| idle) else {
        return;
    };
    let Some(worker) = model.facts.cluster.value().and_then(|c| c.of(Role::Worker)) else {
        if model.facts.failure(SourceId::Cluster).is_some() {
            nobody_claims(next, findings);
        }
        return;
    };
    if worker.migrations_enabled == Some(false) {
        let all_on_v3 = model.split() == Some(Split::V3);
        let remedy = if all_on_v3 {
            "v3 has all traffic: set LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS=true on one worker"
        } else {
            "as the order shift-first wants it; enable it when v3 has all traffic"
        };
        let severity = if all_on_v3 { Severity::Warning } else { Severity::Info };
        let evidence = format!("{}: LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS=false", worker.name);
        add(findings, "backfill-disabled", severity, "the backfill is switched off", evidence, remedy);
    } else if worker.ready > 0 {
        add(
            findings,
            "backfill-never-started",
            Severity::Warning,
            format!("{} waits and no worker has claimed it", next.name),
            format!("{} is ready", worker.name),
            "the worker looks once, at its start, and may have been up before web had migrated: restart the worker",
        );
        if let Some(table) = table(next) {
            act(findings, Remedy::Copy(table));
        }
    }
}

/// The same where no cluster can be read: the row alone says that nobody has it, not whether a worker should.
fn nobody_claims(next: &Migration, findings: &mut Findings) {
    if next.worker.is_some() || next.cursor.is_some() {
        return;
    }
    add(
        findings,
        "backfill-never-started",
        Severity::Info,
        format!("{} waits and no worker has ever claimed it", next.name),
        "worker_id is empty and there is no cursor; the cluster is not read, so that it is not known whether a worker runs",
        "a worker looks once, at its start: where one runs with LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS=true, restart it after web \
         has migrated",
    );
    if let Some(table) = table(next) {
        act(findings, Remedy::Copy(table));
    }
}

/// What v2 writes after T0 is copied by nobody (langfuse#5776).
fn beside_v2(model: &Model, migrations: &[Migration], findings: &mut Findings) {
    let Some(m) = migrations.iter().find(|m| m.state == MigrationState::Running) else {
        return;
    };
    let Some(split) = model.split().filter(|s| *s < Split::V3) else {
        return;
    };
    add(
        findings,
        "backfill-beside-v2",
        Severity::Warning,
        "the backfill runs while v2 still takes traffic",
        format!("{} is running, v3 has {split}", m.name),
        "rows that v2 writes from now on are stranded: they need a second run after v2 is drained",
    );
}

fn frozen(model: &Model, table: Table, findings: &mut Findings) {
    let (Some(size), Some(m)) = (model.tie_group(table), model.migration(table)) else {
        return;
    };
    let running = m.state == MigrationState::Running;
    let still = model.history.stands_still(&m.name);
    // A worker that has only just come there may be about to fail for another reason; a copy of ours copies the group
    // as one, and whoever stopped it would have it begin the group again.
    if running && (!still || m.is_being_copied_by_us()) {
        return;
    }
    let cursor = m.cursor.map_or_else(|| "-".into(), |t| format!("{t:.0}"));
    let batch = model.batch(m).map_or_else(|| "not known".into(), |b| b.to_string());
    let severity = if running { Severity::Critical } else { Severity::Warning };
    let moves = if running { ", it does not move while its lock is renewed" } else { "" };
    // A worker that stands still keeps its lock fresh: nobody else gets it.
    let first = if running {
        "stop the worker (LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS=false, or no replicas), its lock is nobody's a minute later. Then \
         "
    } else {
        ""
    };
    // `run` refuses what has failed, and so does a worker.
    let failed = m.state == MigrationState::Failed;
    let (verb, cleared) =
        if failed { ("resume", ", clear failed_at and failed_reason,") } else { ("run", "") };
    let larger = if size == MOST_TIED {
        String::new()
    } else {
        format!(
            "; or set args.batchSize above {} on its row{cleared} and start the worker again",
            grouped(size)
        )
    };
    add(
        findings,
        "cursor-frozen",
        severity,
        format!("the cursor of {} cannot pass a group of rows with one created_at", table.name()),
        format!("{} rows at {cursor}, batch size {batch}{moves} [#7117]", tied(size)),
        format!("{first}`cutover backfill {verb}` copies a group of any size{larger}"),
    );
    if !running {
        act(findings, if failed { Remedy::Resume(table) } else { Remedy::Copy(table) });
    }
}

/// One finding for all tables: it is one cause, and one remedy.
fn stranded(model: &Model, findings: &mut Findings) {
    let of = |table: Table| {
        let rows = model.rows(Side::Postgres, table)?;
        Some((table, rows.stranded.filter(|c| c.value > 0)?, rows.t0))
    };
    let tables: Vec<_> = model.tables().into_iter().filter_map(of).collect();
    let all = tables.iter().fold(Count::exact(0), |all, (_, c, _)| Count {
        value: all.value.saturating_add(c.value),
        estimate: all.estimate || c.estimate,
    });
    if all.value == 0 {
        return;
    }
    let finished = |t: &Table| model.migration(*t).is_some_and(|m| m.state == MigrationState::Finished);
    let evidence: Vec<String> = tables
        .iter()
        .map(|(table, count, t0)| {
            let t0 = t0.map_or_else(|| "-".into(), |t| format!("{t:.0}"));
            format!("{}: {} after T0 {t0}", table.name(), count.text())
        })
        .collect();
    add(
        findings,
        "rows-stranded",
        if tables.iter().any(|(t, ..)| finished(t)) { Severity::Critical } else { Severity::Warning },
        format!("{} rows are newer than the backfill's start", all.text()),
        evidence.join("\n"),
        "nobody copies them: `cutover catch-up` shows and copies them, again and again until v2 is drained",
    );
    act(findings, Remedy::CatchUp);
}

/// Copied, and changed in v2 since: the cursor does not come back (langfuse.md 9.3).
fn changed(model: &Model, findings: &mut Findings) {
    let of = |table: Table| {
        let (rows, at) = model.rows(Side::Postgres, table)?.changed.filter(|(rows, _)| rows.value > 0)?;
        Some(format!("{}: {} as of {at:.0}", table.name(), rows.text()))
    };
    let evidence: Vec<String> = model.tables().into_iter().filter_map(of).collect();
    if evidence.is_empty() {
        return;
    }
    add(
        findings,
        "rows-changed",
        Severity::Warning,
        "rows were changed in v2 after they were copied",
        evidence.join("\n"),
        "v3 shows them as they were: `cutover catch-up` copies them again, and `cutover census` counts what is left",
    );
    act(findings, Remedy::CatchUp);
}
