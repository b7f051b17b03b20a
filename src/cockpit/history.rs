//! What accumulates over readings: rates, latency windows, the measured share since the newest weight.
//!
//! One rule: everything here has a fixed size, whatever the length of the night.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;

use crate::domain::backfill::{Migration, MigrationState, Table};
use crate::domain::{Mono, Series};

use super::requests::{Requests, Tally};
use super::share::ShareWindow;

/// Readings kept per number.
const POINTS: usize = 120;
/// Queues with a history of their own; more are shown without rates.
const QUEUES: usize = 64;
/// Length of one latency window; quantiles are over the running one and the one before.
const WINDOW: Duration = Duration::from_mins(5);
/// Rates of queues are over this much time: a minute's mean looks lively long after the last job.
const FLOW_WINDOW: Duration = Duration::from_secs(15);
/// A queue with work of which nothing is done for so long stands still.
const STILL: Duration = Duration::from_secs(10);

/// The rate of a backfill, whose batches may take half a minute each, is over this much.
pub const BACKFILL_WINDOW: Duration = Duration::from_mins(5);

/// All of it.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// Rows done by the backfill, per [`crate::domain::backfill::Table`].
    pub done: [Series; Table::ALL.len()],
    /// The T0 that they are counted up to.
    pub t0: [Option<Timestamp>; Table::ALL.len()],
    /// Per queue name.
    pub queues: BTreeMap<String, QueueHistory>,
    /// v2, v3, public.
    pub latency: [LatencyHistory; 3],
    /// Since the newest weight.
    pub share: ShareWindow,
    /// Cursors of the migrations, by name.
    pub cursors: BTreeMap<String, Cursor>,
    /// Real requests per backend, lately.
    pub requests: Requests,
}

impl Default for History {
    fn default() -> Self {
        Self {
            done: std::array::from_fn(|_| Series::new(POINTS)),
            t0: [None; Table::ALL.len()],
            queues: BTreeMap::new(),
            cursors: BTreeMap::new(),
            latency: std::array::from_fn(|_| LatencyHistory::default()),
            share: ShareWindow::default(),
            requests: Requests::default(),
        }
    }
}

/// The cursor of one migration as it was read last, and the newest time it went the wrong way.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor {
    /// Where it stands.
    pub at: Timestamp,
    /// Who held the row.
    pub worker: Option<String>,
    /// When it went up instead of down, until it is below where it stood then.
    pub rise: Option<Rise>,
    /// Readings in a row that found it here while a worker renewed its lock.
    pub still: u32,
}

/// Readings that show that a cursor does not move (langfuse.md 1.5 D).
const STANDS: u32 = 3;

/// A cursor that went up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rise {
    /// Where it stood.
    pub from: Timestamp,
    /// Where it stood then.
    pub to: Timestamp,
    /// Who held the row before.
    pub before: Option<String>,
}

impl History {
    /// Takes in the cursors of one reading.
    pub fn follow(&mut self, migrations: &[Migration]) {
        for migration in migrations {
            let Some(at) = migration.cursor else { continue };
            let past = self.cursors.get(&migration.name);
            let rise = past.and_then(|past| {
                let rise = Rise { from: past.at, to: at, before: past.worker.clone() };
                if at > past.at { Some(rise) } else { past.rise.clone().filter(|rise| at >= rise.from) }
            });
            let worker = migration.worker.clone();
            let still = match past {
                _ if migration.state != MigrationState::Running => 0,
                Some(past) if past.at == at && past.worker == worker => past.still.saturating_add(1),
                _ => 1,
            };
            self.cursors.insert(migration.name.clone(), Cursor { at, worker, rise, still });
        }
    }

    /// Whether the cursor of a running migration was at the same place in three readings or more.
    pub fn stands_still(&self, migration: &str) -> bool {
        self.cursors.get(migration).is_some_and(|cursor| cursor.still >= STANDS)
    }
}

/// One queue over time.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueHistory {
    /// Work that could be done now or is being done.
    pub depth: Series,
    /// Jobs ever added.
    pub added: Series,
    /// Jobs ever taken out: added minus all that are still there.
    pub left: Series,
}

impl QueueHistory {
    /// Jobs added a second, over the last fifteen seconds.
    pub fn arriving(&self) -> Option<f64> {
        self.added.rate(FLOW_WINDOW)
    }

    /// Jobs done a second, over the last fifteen seconds.
    pub fn leaving(&self) -> Option<f64> {
        self.left.rate(FLOW_WINDOW)
    }

    /// For how long there has been work and none of it was done; `None` below ten seconds.
    pub fn still(&self) -> Option<Duration> {
        let (last, done) = self.left.last()?;
        let since = |series: &Series, same: &dyn Fn(f64) -> bool| -> Option<Mono> {
            series.iter().rev().take_while(|(_, value)| same(*value)).last().map(|(at, _)| at)
        };
        let unchanged = since(&self.left, &|value| value >= done)?;
        let busy = since(&self.depth, &|depth| depth > 0.0)?;
        Some(last.since(unchanged.max(busy))).filter(|still| *still >= STILL)
    }
}

impl History {
    /// The history of a queue, made on first sight while there is room.
    pub fn queue(&mut self, name: &str) -> Option<&mut QueueHistory> {
        if !self.queues.contains_key(name) {
            if self.queues.len() >= QUEUES {
                return None;
            }
            let series = || Series::new(POINTS);
            let fresh = QueueHistory { depth: series(), added: series(), left: series() };
            self.queues.insert(name.to_owned(), fresh);
        }
        self.queues.get_mut(name)
    }
}

/// Latencies and failures of one address.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatencyHistory {
    /// Health check.
    pub health: Window,
    /// Canary write until its 207.
    pub accept: Window,
    /// Canary write until it could be read.
    pub visible: Window,
    /// Rounds by kind of failure ("503", "timeout"), since the start.
    pub errors: BTreeMap<String, u64>,
    /// Rounds and failed rounds of the last hundred.
    pub recent: Recent,
    /// Rounds in a row, up to the newest, that got no answer at all.
    pub silent: u32,
}

/// The outcome of the newest hundred rounds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recent {
    bits: u128,
    rounds: u32,
}

impl Recent {
    /// Adds a round.
    pub fn push(&mut self, failed: bool) {
        self.bits = (self.bits << 1 | u128::from(failed)) & ((1 << 100) - 1);
        self.rounds = (self.rounds + 1).min(100);
    }

    /// Rounds seen, at most 100.
    pub const fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Failed ones among them.
    pub const fn failed(&self) -> u32 {
        self.bits.count_ones()
    }

    /// The newest `rounds` of them, or as many as there are.
    pub fn newest(&self, rounds: u32) -> Tally {
        let mask = 1_u128.checked_shl(rounds).map_or(u128::MAX, |bit| bit - 1);
        let failed = (self.bits & mask).count_ones();
        Tally { all: self.rounds.min(rounds).into(), failed: failed.into() }
    }
}

/// Quantiles over the last five to ten minutes (HDR histograms of microseconds, two digits, up to an hour).
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    running: Histogram<u32>,
    before: Histogram<u32>,
    started: Mono,
}

impl Default for Window {
    fn default() -> Self {
        Self { running: histogram(), before: histogram(), started: Mono::default() }
    }
}

fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, 3_600_000_000, 2).unwrap_or_else(|_| Histogram::new_from(&empty()))
}

fn empty() -> Histogram<u32> {
    // `new(2)` cannot fail: the digits are within 0..=5.
    Histogram::new(2).unwrap_or_else(|_| unreachable!("two significant digits are always allowed"))
}

impl Window {
    /// Lets go of what is too old. Asked in every round, also in one without a reading: a quantile must not outlive
    /// what it was read from.
    pub fn turn(&mut self, now: Mono) {
        let age = now.since(self.started);
        if age >= WINDOW {
            let fresh = if age >= WINDOW * 2 {
                histogram()
            } else {
                std::mem::replace(&mut self.running, histogram())
            };
            self.before = fresh;
            self.running.reset();
            self.started = now;
        }
    }

    /// Adds a reading.
    pub fn push(&mut self, now: Mono, value: Duration) {
        self.turn(now);
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.running.saturating_record(micros.clamp(1, 3_600_000_000));
    }

    /// Readings in the window.
    pub fn len(&self) -> u64 {
        self.running.len() + self.before.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value that a share `q` (0..1) of the readings stay below; `None` with too few readings to say:
    /// p50 wants 2, p95 20, p99 100.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let wanted = 1.0 / (1.0 - q.clamp(0.0, 0.9999));
        if (self.len() as f64) + 1e-9 < wanted {
            return None;
        }
        let mut all = self.running.clone();
        all.add(&self.before).ok()?;
        Some(Duration::from_micros(all.value_at_quantile(q)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_need_enough_readings_and_forget_old_ones() {
        let mut window = Window::default();
        for i in 0..19 {
            window.push(Mono::from_secs(i), Duration::from_millis(100));
        }
        assert!(window.quantile(0.5).is_some());
        assert_eq!(window.quantile(0.95), None);
        window.push(Mono::from_secs(20), Duration::from_millis(900));
        assert!(window.quantile(0.95).is_some());
        window.push(Mono::from_secs(320), Duration::from_millis(5));
        assert_eq!(window.len(), 21);
        window.push(Mono::from_secs(2_000), Duration::from_millis(5));
        assert_eq!(window.len(), 1);
    }

    #[test]
    fn recent_is_the_last_hundred() {
        let mut recent = Recent::default();
        assert_eq!(recent.newest(10).rate(), None);
        for i in 0..150 {
            recent.push(i < 60);
        }
        assert_eq!((recent.rounds(), recent.failed()), (100, 10));
        assert_eq!(recent.newest(24), Tally { all: 24, failed: 0 });
        recent.push(true);
        assert_eq!(recent.newest(1), Tally { all: 1, failed: 1 });
    }

    #[test]
    fn a_queue_that_stops_is_seen_within_seconds() {
        let mut history = History::default();
        let queue = history.queue("ingestion-queue").unwrap();
        let mut poll = |secs: u64, depth: f64, added: f64, left: f64| {
            let at = Mono::from_secs(secs);
            queue.depth.push(at, depth);
            queue.added.push(at, added);
            queue.left.push(at, left);
            (queue.arriving(), queue.leaving(), queue.still())
        };
        for n in 0..30 {
            let flow = poll(n * 2, 4.0, (n * 100) as f64, (n * 100) as f64 - 4.0);
            assert_eq!(flow.2, None);
        }
        for n in 30..38 {
            poll(n * 2, (n - 29) as f64 * 100.0, (n * 100) as f64, 2_896.0);
        }
        let (arriving, leaving, still) = poll(76, 900.0, 3_800.0, 2_896.0);
        assert_eq!((arriving, leaving), (Some(50.0), Some(0.0)));
        assert_eq!(still, Some(Duration::from_secs(18)));
        assert_eq!(poll(78, 0.0, 3_800.0, 3_796.0).2, None);
        (40..50).for_each(|n| assert_eq!(poll(n * 2, 0.0, 3_800.0, 3_796.0).2, None, "nothing to do"));
        assert_eq!(poll(100, 3.0, 3_803.0, 3_796.0).2, None, "work that has just come");
    }

    #[test]
    fn a_quantile_does_not_outlive_its_readings() {
        let mut window = Window::default();
        window.push(Mono::from_secs(0), Duration::from_millis(100));
        window.push(Mono::from_secs(5), Duration::from_millis(100));
        window.turn(Mono::from_secs(301));
        assert!(window.quantile(0.5).is_some(), "five to ten minutes");
        window.turn(Mono::from_secs(602));
        assert_eq!(window.quantile(0.5), None);
    }
}
