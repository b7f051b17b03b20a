//! Doubt about closed days: what the statistics do not explain is counted again by the index.
//!
//! One rule: a day whose count moved is read again; a day whose count did not is believed.

use std::cmp::Reverse;

use super::super::book::{Day, PgBook};
use super::read::{self, Scope, Span};
use super::{Look, Session, Side};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Of so many closed days, one is counted again in each run.
const ONE_IN: u64 = 100;
/// Days of one index-only statement.
const STRETCH: Day = 64;

/// Why closed days may have moved.
pub(super) fn reason(book: &PgBook, look: &Look, total: u64) -> Option<&'static str> {
    let (base, now) = (book.base, look.moved());
    if !look.proves {
        return Some("a standby, or track_counts = off: nothing says what moved");
    }
    if book.life != look.life {
        return Some("the statistics began anew");
    }
    if book.base_rows == 0 {
        // A first count that was interrupted: days whose rows were updated or deleted since are read again by themselves.
        return (now != base).then_some(INSERTED);
    }
    if now.inserted < base.inserted || now.deleted < base.deleted || now.updated < base.updated {
        return Some("the statistics were reset");
    }
    if now.deleted != base.deleted {
        return Some("rows were deleted");
    }
    let (inserted, seen) = (now.inserted - base.inserted, total.cast_signed() - book.base_rows.cast_signed());
    // Fewer insertions than new rows: the statistics come late. More: rows that no open day shows.
    (inserted > seen).then_some(INSERTED)
}

/// Where nothing was deleted, or what was deleted is read again, a day with as many rows as before has the same rows. It is also what a base says that was
/// made while rows came: their statistics were still to come.
const INSERTED: &str = "rows were inserted that no open day shows";

/// Counts again what is in doubt, then what chance says, then what updates may have changed.
pub(super) async fn settle(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    total: u64,
    run: u64,
    side: &mut Side,
    scope: &mut Scope<'_>,
) -> Result<(), Trouble> {
    let look = side.look.clone();
    let joined = (table == Table::DatasetRunItems).then_some("what is joined may have changed");
    let anew = side.anew;
    let mut doubt = reason(book, &look, total).or(joined).filter(|_| !anew);
    if doubt.is_none() && !anew {
        let chosen: Vec<Day> = book.days.keys().copied().filter(|day| is_chosen(*day, run)).collect();
        side.rechecked = chosen.len();
        if compare(session, table, book, &chosen, side).await? {
            doubt = Some("a closed day that was counted again at random had changed");
        }
    }
    if let Some(why) = doubt {
        tracing::info!(target: "census", "{}: {why}: closed days are counted again", table.name());
        let mut from = book.start;
        while from < book.frontier {
            let to = from.saturating_add(STRETCH).min(book.frontier);
            recount(session, table, book, Span { from, to }, side).await?;
            (scope.progress)(side.read);
            from = to;
        }
        if why != INSERTED {
            // Where the count is the same, the rows may not be.
            distrust(book);
        }
    }
    reread(session, table, book, side, scope).await?;
    let open: u64 = side.open.values().flat_map(|d| d.values()).map(|b| b.rows).sum();
    // Late statistics of rows that are counted already must not look like insertions later.
    let known = book.closed_rows() + open;
    let seen = known.cast_signed() - book.base_rows.cast_signed();
    let inserted = look.inserted - book.base.inserted;
    if anew || doubt.is_some() || inserted >= seen {
        book.rest(&look, known);
    }
    Ok(())
}

/// Whether chance picks a day in a run: the same for the same numbers.
pub(in crate::data) fn is_chosen(day: Day, run: u64) -> bool {
    // splitmix64's finish: every bit of both numbers counts.
    let mut x = (u64::from(day.cast_unsigned()) << 32 ^ run).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31).is_multiple_of(ONE_IN)
}

/// Reads chosen days whole; says whether one of them had changed.
async fn compare(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    chosen: &[Day],
    side: &mut Side,
) -> Result<bool, Trouble> {
    let mut changed = false;
    for day in chosen {
        let before = bins_of(book, *day);
        read::put(session, table, book, Span { from: *day, to: day + 1 }, side).await?;
        let after = bins_of(book, *day);
        if before.iter().map(|b| (b.0, b.1)).ne(after.iter().map(|b| (b.0, b.1))) {
            side.corrected.push(*day);
            changed = true;
        }
    }
    Ok(changed)
}

/// Project (by number), rows and sum of a day.
fn bins_of(book: &PgBook, day: Day) -> Vec<(usize, u64, i64)> {
    let all = book.bins.values().enumerate();
    all.filter_map(|(n, days)| days.get(&day).map(|b| (n, b.rows, b.updated))).collect()
}

/// Counts a stretch by the index, and reads the days whose count moved.
async fn recount(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    span: Span,
    side: &mut Side,
) -> Result<(), Trouble> {
    let now = read::days(session, table, span, &mut side.read).await?;
    let before = book.days.range(span.from..span.to).map(|(day, d)| (*day, d.rows));
    let mut moved: Vec<Day> =
        before.filter(|(day, rows)| now.get(day) != Some(rows)).map(|(d, _)| d).collect();
    moved.extend(now.keys().filter(|day| !book.days.contains_key(day)));
    for day in moved {
        read::put(session, table, book, Span { from: day, to: day + 1 }, side).await?;
        side.corrected.push(day);
    }
    Ok(())
}

/// When days were read tells nothing any more but their order: those that wait longest stay the lowest.
fn distrust(book: &mut PgBook) {
    for day in book.days.values_mut() {
        day.read_at = Some(day.read_at.map_or(-1, |at| at.min(0) - 1));
    }
}

/// Days that are read again when the statistics stand at `now`: the newest, then those that wait longest, in stretches and
/// as far as so many rows go; and how many days are left. Each of the two kinds gets its turn, whatever its rows: v2 writes
/// on, and what it writes must not keep the old ones waiting for ever.
fn turns(book: &PgBook, now: i64, most: u64) -> (Vec<Span>, usize) {
    let old: Vec<Day> =
        book.days.iter().filter(|(_, d)| d.read_at != Some(now)).map(|(day, _)| *day).collect();
    let mut spans = read::spans(&old, book, 100_000);
    let newest = spans.pop();
    let waits_since = |span: &Span| book.days.range(span.from..span.to).filter_map(|(_, d)| d.read_at).min();
    spans.sort_by_key(|span| (waits_since(span), Reverse(span.from)));
    let (mut left, mut turns, mut days) = (most, Vec::new(), 0);
    for (n, span) in newest.into_iter().chain(spans).enumerate() {
        let rows: u64 = book.days.range(span.from..span.to).map(|(_, d)| d.rows).sum();
        if rows > left && n > 1 {
            break;
        }
        left = left.saturating_sub(rows);
        days += old.iter().filter(|day| (span.from..span.to).contains(day)).count();
        turns.push(span);
    }
    (turns, old.len() - days)
}

/// Rows were updated, or one replaced another: reads days again, as far as the scope allows.
async fn reread(
    session: &mut Session<'_>,
    table: Table,
    book: &mut PgBook,
    side: &mut Side,
    scope: &mut Scope<'_>,
) -> Result<(), Trouble> {
    let (turns, left) = turns(book, side.look.updated + side.look.deleted, scope.reread);
    side.stale += left;
    for span in turns {
        read::put(session, table, book, span, side).await?;
        (scope.progress)(side.read);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::census::book::{Moved, PgDay};

    #[test]
    fn chance_is_fair_and_repeats_itself() {
        let chosen = |run| (18_000..20_000).filter(|day| is_chosen(*day, run)).collect::<Vec<_>>();
        assert_eq!(chosen(7), chosen(7));
        assert_ne!(chosen(7), chosen(8));
        let all: usize = (0..100).map(|run| chosen(run).len()).sum();
        assert!((1_700..2_300).contains(&all), "{all} of 200 000");
    }

    /// Fifty days of a million rows, five million of which are read again in a run.
    fn every_day_has_its_turn(distrusted: bool) {
        let day = |day: Day| (day, PgDay { rows: 1_000_000, read_at: Some(0) });
        let mut book = PgBook { days: (0..50).map(day).collect(), frontier: 50, ..PgBook::default() };
        let mut read = std::collections::BTreeSet::new();
        for run in 1..=13 {
            // v2 updates a row between two runs.
            let now = if distrusted { 0 } else { run };
            if distrusted {
                distrust(&mut book);
            }
            let (turns, left) = turns(&book, now, 5_000_000);
            assert_eq!((turns.len(), left), (5, 45), "run {run}");
            assert_eq!(turns[0].from, 49, "the newest first");
            for span in turns {
                book.days.get_mut(&span.from).unwrap().read_at = Some(now);
                read.insert(span.from);
            }
        }
        assert_eq!(read.len(), 50);
    }

    #[test]
    fn old_days_are_read_again_while_v2_writes() {
        every_day_has_its_turn(false);
        every_day_has_its_turn(true);
    }

    #[test]
    fn a_newest_day_beyond_the_bound_keeps_no_other_waiting() {
        let day = |(day, read_at)| (day, PgDay { rows: 9_000_000, read_at: Some(read_at) });
        let days = [(1, 4), (2, 3), (3, 5), (4, 6)].map(day).into();
        let book = PgBook { days, ..PgBook::default() };
        let (turns, left) = turns(&book, 7, 5_000_000);
        assert_eq!((turns.iter().map(|s| s.from).collect::<Vec<_>>(), left), (vec![4, 2], 2));
    }

    #[test]
    fn what_raises_doubt() {
        let base = Moved { inserted: 100, updated: 5, deleted: 0 };
        let book = PgBook { base, base_rows: 100, ..PgBook::default() };
        let look =
            |inserted, deleted| Look { inserted, deleted, updated: 5, proves: true, ..Look::default() };
        assert_eq!(reason(&book, &look(100, 0), 100), None);
        assert_eq!(reason(&book, &look(110, 0), 110), None, "ten new rows, ten seen");
        assert_eq!(reason(&book, &look(100, 0), 110), None, "the statistics come late");
        assert!(reason(&book, &look(110, 0), 109).is_some(), "one went elsewhere");
        assert!(reason(&book, &look(100, 1), 99).is_some());
        assert!(reason(&book, &look(3, 0), 100).is_some(), "a reset");
        let standby = Look { proves: false, ..look(100, 0) };
        assert!(reason(&book, &standby, 100).is_some(), "nobody counts");
        let crashed = Look { life: "later".into(), ..look(100, 0) };
        assert!(reason(&book, &crashed, 100).is_some(), "what moved before is forgotten");
    }
}
