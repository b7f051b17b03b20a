//! Backfill: how much of the history is in ClickHouse, what holds it up, and what nobody will copy.

use std::time::Duration;

use crate::domain::SourceId;
use crate::domain::backfill::{Migration, MigrationState, Side, Table as Rows, TableRows, tied};
use crate::domain::units::{self, Count};
use crate::domain::verified::{Verified, counting};

use super::super::age;
use super::super::chart::bar;
use super::super::context::{Cx, Detail};
use super::super::line::{Line, Span, dim, span, wrapped};
use super::super::look::Tone;
use super::super::table::{Column, Table, left, nothing, right, unknown};
use super::cells::{count, date, done, dot, sum};

const PG: SourceId = SourceId::PostgresRows;
const CH: SourceId = SourceId::ClickhouseRows;

/// v2 writes on: what a look by id found is an estimate so long after it.
const CHANGED_FRESH: Duration = Duration::from_hours(1);

static COLUMNS: [Column; 12] = [
    left("table", 12, 0),
    left("state", 8, 0),
    right("done", 4, 0),
    left("", 0, 9),
    right("~ETA", 5, 0),
    right("rows/s", 5, 1),
    right("PG rows", 6, 2),
    right("CH rows", 6, 2),
    right("stranded", 5, 3),
    right("v3-only", 5, 3),
    right("lock age", 4, 4),
    left("cursor", 16, 4),
];

/// The order of the strategy.
pub(super) fn note<'a>(cx: &Cx<'a>) -> Line<'a> {
    Line::of(Tone::Dim, cx.model.setup.strategy.name())
}

/// Share done, time to go, worst state.
pub(super) fn summary<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::new();
    for table in cx.model.tables() {
        if !line.0.is_empty() {
            line.0.push(dot());
        }
        line.0.push(dim(format!("{} ", table.short())));
        line.0.push(share(cx, table));
        line.0.push(dim(" "));
        line.0.push(state(cx, cx.model.migration(table)));
    }
    line
}

/// All of it.
pub(super) fn rows<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let roomy = cx.width >= 50;
    let mut table = if roomy { Table::new(&COLUMNS).folding() } else { Table::new(&COLUMNS) };
    for name in cx.model.tables() {
        table.row(row(cx, name));
    }
    let mut lines = table.lines(cx.width);
    lines.extend(failures(cx));
    lines.extend(cx.troubles(&[SourceId::Migrations, PG, CH]));
    if cx.width >= 110 {
        lines.push(left_behind(cx));
    } else {
        lines.push(totals(cx));
        lines.push(left_behind(cx));
    }
    lines.extend(verified(cx));
    if !roomy {
        lines.extend(cursors(cx));
    }
    lines.extend(others(cx));
    lines
}

fn row<'a>(cx: &Cx<'a>, table: Rows) -> Vec<Span<'a>> {
    let migration = cx.model.migration(table);
    let progress = cx.model.progress(table);
    let full = cx.width >= 110;
    let of = |side, pick: fn(&TableRows) -> Option<Count>| cx.model.rows(side, table).and_then(pick);
    // A migration that stands still does not arrive, whatever its rate was.
    let moves = migration.is_none_or(|m| matches!(m.state, MigrationState::Running));
    let eta = progress.eta.filter(|_| moves).map(age::to_go);
    vec![
        span(Tone::Plain, table.short()),
        state(cx, migration),
        share(cx, table),
        meter(cx, progress.share),
        eta.map_or_else(unknown, |eta| cx.value(PG, eta)),
        progress.rate.map_or_else(unknown, |rate| cx.value(PG, units::short(rate))),
        count(cx, PG, of(Side::Postgres, |r| r.rows), full),
        count(cx, CH, of(Side::Clickhouse, |r| r.rows), full),
        left_over(cx, PG, stranded(cx, table), Tone::Warn),
        left_over(cx, CH, of(Side::Clickhouse, |r| r.v3_only), Tone::Plain),
        lock(cx, migration),
        migration.and_then(|m| m.cursor).map_or_else(unknown, |at| cx.value(SourceId::Migrations, date(at))),
    ]
}

fn state<'a>(cx: &Cx<'a>, migration: Option<&Migration>) -> Span<'a> {
    let Some(migration) = migration else {
        return unknown();
    };
    let tone = match migration.state {
        MigrationState::Queued | MigrationState::Dormant => Tone::Dim,
        MigrationState::Running => Tone::Strong,
        MigrationState::Stalled => Tone::Warn,
        MigrationState::Failed => Tone::Bad,
        MigrationState::Finished => Tone::Good,
    };
    span(cx.tone(SourceId::Migrations, tone), migration.state.word())
}

fn share<'a>(cx: &Cx<'a>, table: Rows) -> Span<'a> {
    let share = cx.model.progress(table).share;
    share.map_or_else(unknown, |share| span(cx.tone(PG, Tone::Strong), done(share)))
}

fn meter<'a>(cx: &Cx<'a>, share: Option<f64>) -> Span<'a> {
    match share {
        Some(share) if !cx.spoken => {
            let (full, empty) = bar(share, if cx.width >= 140 { 20 } else { 8 });
            cx.value(PG, full + &empty)
        }
        _ => nothing(),
    }
}

fn left_over<'a>(cx: &Cx<'a>, id: SourceId, rows: Option<Count>, tone: Tone) -> Span<'a> {
    match rows {
        Some(c) if c.value > 0 => Span { tone: cx.tone(id, tone), ..count(cx, id, rows, false) },
        _ => count(cx, id, rows, false),
    }
}

fn lock<'a>(cx: &Cx<'a>, migration: Option<&Migration>) -> Span<'a> {
    let Some(lock) = migration.and_then(|m| m.lock_age) else {
        return unknown();
    };
    let tone =
        if migration.is_some_and(|m| m.state == MigrationState::Stalled) { Tone::Warn } else { Tone::Plain };
    span(cx.tone(SourceId::Migrations, tone), age::quantised(lock))
}

/// Why a migration stands still, first of all reasons.
fn failures<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for table in cx.model.tables() {
        if let Some(m) = cx.model.migration(table).filter(|m| m.state == MigrationState::Failed) {
            let why = m.failed_reason.as_deref().unwrap_or("no reason was recorded");
            lines.extend(wrapped(Tone::Bad, &format!("✗ {} failed: {why}", table.name()), cx.width, 2));
        }
        if let Some(ties) = cx.model.tie_group(table) {
            let ours = cx.model.migration(table).is_some_and(Migration::is_being_copied_by_us);
            let (tone, how) = if ours {
                (Tone::Dim, "a copy of cutover is at work there, and takes them as one")
            } else {
                (Tone::Warn, "it cannot pass")
            };
            let text = format!("! {}: {} rows share the cursor's time: {how}", table.name(), tied(ties));
            lines.extend(wrapped(tone, &text, cx.width, 2));
        }
    }
    lines
}

fn total(cx: &Cx<'_>, side: Side, pick: fn(&TableRows) -> Option<Count>) -> Option<Count> {
    total_of(cx, |table| cx.model.rows(side, table).and_then(pick))
}

fn total_of(cx: &Cx<'_>, of: impl Fn(Rows) -> Option<Count>) -> Option<Count> {
    // Of run items nothing is left behind before their copy begins.
    let begun = |table: &Rows| Rows::BACKFILLED.contains(table) || of(*table).is_some();
    sum(cx.model.tables().into_iter().filter(begun).map(&of))
}

fn totals<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::label("rows");
    let copied = total(cx, Side::Postgres, |r| r.done);
    let all = total(cx, Side::Postgres, |r| r.backfill);
    if let (Some(copied), Some(all), true) = (copied, all, cx.width >= 55) {
        let share = if all.value == 0 { 1.0 } else { copied.value as f64 / all.value as f64 };
        if !cx.spoken {
            let (full, empty) = bar(share, cx.width.saturating_sub(46).min(20));
            line.0.push(cx.value(PG, full + &empty));
        }
        line.0.push(span(cx.tone(PG, Tone::Strong), format!(" {} ", done(share))));
    }
    line.0.push(dim("PG "));
    line.0.push(count(cx, PG, total(cx, Side::Postgres, |r| r.rows), true));
    line.0.push(dim(" · CH "));
    line.0.push(count(cx, CH, total(cx, Side::Clickhouse, |r| r.rows), true));
    line
}

/// What nobody copies, and what v2 would not see after a rollback.
fn left_behind<'a>(cx: &Cx<'a>) -> Line<'a> {
    let mut line = Line::label("stranded");
    if cx.width < 60 {
        line.0.push(left_over(cx, PG, total_of(cx, |table| stranded(cx, table)), Tone::Warn));
    } else {
        line.0.push(left_over(cx, PG, total(cx, Side::Postgres, |r| r.stranded), Tone::Warn));
        line.0.push(dim(" after T0"));
        line.0.extend(changed_since(cx));
    }
    line.0.push(dim(" · v3-only "));
    line.0.push(left_over(cx, CH, total(cx, Side::Clickhouse, |r| r.v3_only), Tone::Plain));
    line
}

/// The second half of what is stranded, which only a look by id finds: the last one's numbers, and how old the oldest is.
fn changed_since<'a>(cx: &Cx<'a>) -> Vec<Span<'a>> {
    let known = |table: &Rows| cx.model.rows(Side::Postgres, *table).is_some_and(|r| r.stranded.is_some());
    let tables: Vec<Rows> = cx.model.tables().into_iter().filter(known).collect();
    if tables.is_empty() {
        return vec![];
    }
    let rows = sum(tables.iter().map(|table| changed(cx, *table)));
    let mut spans = vec![dim(" · "), left_over(cx, PG, rows, Tone::Warn), dim(" changed since")];
    let oldest = tables.iter().filter_map(|table| changed_age(cx, *table)).max();
    if let (Some(age), Some(_), true) = (oldest, rows, cx.width >= 110) {
        spans.push(dim(format!(", counted {} ago", age::quantised(age))));
    }
    spans
}

/// Rows that nobody copies: created after T0, or copied and changed since. An estimate while the second half is not known.
fn stranded(cx: &Cx<'_>, table: Rows) -> Option<Count> {
    let after = cx.model.rows(Side::Postgres, table)?.stranded?;
    let changed = changed(cx, table).unwrap_or(Count::about(0));
    sum([Some(after), Some(changed)].into_iter())
}

/// Rows that were copied and changed since: as the last look by id found them, and an estimate an hour later. Where
/// nothing is copied there are none.
fn changed(cx: &Cx<'_>, table: Rows) -> Option<Count> {
    let copied = cx.model.rows(Side::Clickhouse, table).and_then(|r| r.backfill);
    if copied == Some(Count::exact(0)) {
        return copied;
    }
    let (rows, _) = cx.model.rows(Side::Postgres, table)?.changed?;
    let old = changed_age(cx, table).is_none_or(|age| age > CHANGED_FRESH);
    Some(Count { estimate: rows.estimate || old, ..rows })
}

/// How long ago that was.
fn changed_age(cx: &Cx<'_>, table: Rows) -> Option<Duration> {
    let (_, at) = cx.model.rows(Side::Postgres, table)?.changed?;
    Duration::try_from(cx.now.wall.duration_since(at)).ok()
}

/// The comparison of each table that counts.
fn verified<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let results = cx.model.facts.postgres_rows.value().map_or(&[][..], |rows| &rows.verified);
    let last = |table: Rows| counting(table, results);
    let line = |v: &Verified| {
        let tone = match (v.wrong, v.is_fresh(cx.now.wall)) {
            (0, true) => Tone::Good,
            _ => Tone::Warn,
        };
        let old = if v.is_fresh(cx.now.wall) { "" } else { ", too old" };
        wrapped(tone, &format!("{} {}{old}", v.table.name(), v.text(cx.now.wall)), cx.width, 2)
    };
    cx.model.tables().into_iter().filter_map(last).flat_map(line).collect()
}

/// On a narrow pane: cursor and lock of what is being copied.
fn cursors<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    let mut tables = cx.model.tables();
    tables.sort_by_key(|t| cx.model.migration(*t).is_none_or(|m| m.state != MigrationState::Running));
    for table in tables {
        let Some(m) = cx.model.migration(table) else {
            continue;
        };
        let mut line = Line::label("cursor");
        line.0.push(m.cursor.map_or_else(unknown, |at| cx.value(SourceId::Migrations, date(at))));
        line.0.push(dim(" lock "));
        line.0.push(lock(cx, Some(m)));
        if !lines.is_empty() || m.state != MigrationState::Running {
            line.0.push(dim(format!(" {}", table.short())));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        lines.push(Line::label("cursor").with(Tone::Dim, "- lock -"));
    }
    lines
}

/// Migrations that move no rows of ours, and who works.
fn others<'a>(cx: &Cx<'a>) -> Vec<Line<'a>> {
    let all = cx.facts.migrations.value().map_or(&[][..], Vec::as_slice);
    let ours = |m: &&Migration| Rows::ALL.iter().any(|t| t.migration() == m.name);
    let mut lines = Vec::new();
    for m in all.iter().filter(|m| !ours(m)) {
        let mut line = Line::label("also");
        line.0.push(state(cx, Some(m)));
        line.0.push(dim(" "));
        line.0.push(cx.value(SourceId::Migrations, m.name.as_str()));
        lines.push(line);
    }
    if cx.detail == Detail::Zoomed {
        for m in all {
            let mut line = Line::label("worker").with(Tone::Plain, m.worker.as_deref().unwrap_or("-"));
            line.0.push(dim(format!(
                " batch {} · {}",
                m.batch_size.map_or_else(|| "-".into(), units::grouped),
                m.name
            )));
            lines.push(line);
        }
    }
    lines
}
