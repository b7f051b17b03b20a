//! The guards of a forward move, asked of the model. They are asked again when the operator confirms.

use std::time::Duration;

use crate::domain::backfill::MigrationState;
use crate::domain::cluster::Role;
use crate::domain::latency::Endpoint;
use crate::domain::store::StoreKind;
use crate::domain::traffic::RANDOM_PER_REQUEST;
use crate::domain::verified::{all_fresh, unlooked};
use crate::domain::{Freshness, Now, SourceId, Split, units};
use crate::shift::guard::{Check, Guards, Verdict};

use super::Model;
use super::errors::{self, ROUNDS_NEEDED};
use super::model::Strategy;
use super::msg::Lease;

/// Langfuse delays ingestion by up to 15 s; a job that waits this long waits for something else.
pub const QUEUE_LATE: Duration = Duration::from_secs(60);

/// One guard: what it asks about, in words that fit a good and a bad answer, and how it is answered.
struct Guard {
    id: &'static str,
    label: &'static str,
    ask: fn(&Model, Now, Split) -> (Verdict, String),
}

/// In the order of the plan overlay.
const GUARDS: &[Guard] = &[
    Guard { id: "armed", label: "right to write", ask: armed },
    Guard { id: "lease", label: "other operators", ask: lease },
    Guard { id: "hold", label: "hold", ask: hold },
    Guard { id: "journal", label: "journal", ask: journal },
    Guard { id: "routes-fresh", label: "age of the weights", ask: routes_fresh },
    Guard { id: "routes-agree", label: "routes", ask: routes_sound },
    Guard { id: "ladder", label: "ladder", ask: ladder },
    Guard { id: "version", label: "versions", ask: version },
    Guard { id: "v3-ready", label: "v3's pods", ask: ready },
    Guard { id: "stores", label: "stores", ask: stores },
    Guard { id: "v3-errors", label: "v3's errors", ask: errors },
    Guard { id: "queues", label: "v3's queues", ask: queues },
    Guard { id: "backfill", label: "backfill", ask: backfill },
];

/// Answers every guard for a move to `to`.
pub fn guards(model: &Model, now: Now, to: Split) -> Guards {
    Guards(
        GUARDS
            .iter()
            .map(|g| {
                let (verdict, evidence) = (g.ask)(model, now, to);
                Check { id: g.id, label: g.label, verdict, evidence }
            })
            .collect(),
    )
}

fn pass(evidence: impl Into<String>) -> (Verdict, String) {
    (Verdict::Pass, evidence.into())
}

fn warn(evidence: impl Into<String>) -> (Verdict, String) {
    (Verdict::Warn, evidence.into())
}

fn block(evidence: impl Into<String>) -> (Verdict, String) {
    (Verdict::Block, evidence.into())
}

fn armed(model: &Model, _: Now, _: Split) -> (Verdict, String) {
    if model.setup.armed { pass("armed") } else { block("read-only: start with --arm") }
}

fn lease(model: &Model, _: Now, _: Split) -> (Verdict, String) {
    match &model.lease {
        Lease::Ours => pass("we hold the lease"),
        Lease::None => pass("nobody holds the lease; it is taken before the write"),
        Lease::Other(who, _) => block(format!("{who} holds it; take it over by name")),
        Lease::Failed(trouble) => block(trouble.to_string()),
    }
}

/// v3 accepts what it can write to S3 and Redis, and shows what is in ClickHouse; both need PostgreSQL.
fn stores(model: &Model, now: Now, _: Split) -> (Verdict, String) {
    let known = StoreKind::ALL.into_iter().filter(|kind| !model.setup.off.contains(&SourceId::Store(*kind)));
    let (mut down, mut late, mut asked) = (vec![], vec![], 0);
    for kind in known {
        asked += 1;
        if let Some(failure) = model.facts.store(kind).failure() {
            down.push(format!("{}: {}", kind.name(), failure.trouble.kind.word()));
        } else if !model.facts.freshness(SourceId::Store(kind), now.mono).is_fresh() {
            late.push(kind.name());
        }
    }
    match (down.as_slice(), late.as_slice()) {
        ([], []) => pass(format!("{asked} of {asked} answer")),
        ([], late) => warn(format!("not read lately: {}", late.join(", "))),
        (down, _) => block(down.join(", ")),
    }
}

fn hold(model: &Model, _: Now, _: Split) -> (Verdict, String) {
    match &model.hold {
        None => pass("not held"),
        Some(hold) => block(format!("held by {}; take the hold off first", hold.by)),
    }
}

fn journal(model: &Model, _: Now, _: Split) -> (Verdict, String) {
    if model.journal.intact {
        pass(model.journal.path.clone())
    } else {
        block("its chain of hashes is broken: run `cutover journal --verify`")
    }
}

fn routes_fresh(model: &Model, now: Now, _: Split) -> (Verdict, String) {
    let freshness = model.facts.freshness(SourceId::Traffic, now.mono);
    match (freshness.age(), freshness.is_fresh()) {
        (None, _) => block("no route was read yet"),
        (Some(age), true) => pass(format!("{} ago", units::span(age))),
        (Some(age), false) => block(format!("read {} ago: the API server does not answer", units::span(age))),
    }
}

fn routes_sound(model: &Model, _: Now, _: Split) -> (Verdict, String) {
    let routes = model.routes();
    if routes.is_empty() {
        return block("no canary route was found in this namespace");
    }
    if let Some((route, trap)) = routes.iter().find_map(|r| r.traps.iter().find(|t| t.blocks).map(|t| (r, t)))
    {
        return block(format!("{}: {}", route.object.name, trap.text));
    }
    if let Some(route) = routes.iter().find(|r| r.canary.endpoints == Some(0)) {
        return block(format!(
            "Service {} has no ready endpoint: its share would go to v2",
            route.canary.service
        ));
    }
    if let Some((route, intended)) =
        model.intended.and_then(|i| Some((routes.iter().find(|r| !r.stored.is(i))?, i)))
    {
        let who = route.owner.as_ref().map_or("an unknown writer", |o| o.manager.as_str());
        return warn(format!(
            "{intended} was asked for, {who} wrote {:.1} %: it may do so again",
            route.stored.percent()
        ));
    }
    if routes.iter().any(|r| r.stored != routes[0].stored) {
        return warn("routes of one group stand at different weights; the move brings them together");
    }
    if let Some((route, trap)) =
        routes.iter().find_map(|r| r.traps.iter().find(|t| t.id != RANDOM_PER_REQUEST).map(|t| (r, t)))
    {
        return warn(format!("{}: {}", route.object.name, trap.text));
    }
    pass(format!("{} route(s)", routes.len()))
}

fn ladder(model: &Model, _: Now, to: Split) -> (Verdict, String) {
    let Some(from) = model.split() else {
        return block("the present split is not known");
    };
    match model.setup.ladder.skipped(from, to) {
        0 => pass(format!("{from} to {to}")),
        n => warn(format!("{from} to {to} skips {n} step(s)")),
    }
}

/// Parallel operation is documented for v2.92 and later with v3.29.0; v3.29.1 drops views that v2 reads, v4
/// drops its tables (langfuse.com, "Migrate v2 to v3", and the migrations of those tags).
fn version(model: &Model, _: Now, _: Split) -> (Verdict, String) {
    let of = |e| model.facts.probe(e).value().and_then(|p| p.version.clone());
    let (Some(v2), Some(v3)) = (of(Endpoint::V2), of(Endpoint::V3)) else {
        return warn("a version could not be read yet");
    };
    let number = |v: &str| -> Vec<u32> { v.split(['.', '-']).map_while(|n| n.parse().ok()).collect() };
    let (two, three) = (number(&v2), number(&v3));
    if three.first() >= Some(&4) {
        block(format!("v3 answers as {v3}: version 4 removes v2's tables"))
    } else if three.first() != Some(&3) {
        block(format!("the v3 address answers as {v3}"))
    } else if two.first() != Some(&2) {
        block(format!("the v2 address answers as {v2}"))
    } else if two < vec![2, 92] {
        warn(format!("v2 is {v2}; parallel operation is documented from 2.92"))
    } else if three > vec![3, 29, 0] {
        warn(format!("v3 is {v3}; v2's read paths are known to work beside 3.29.0 only"))
    } else {
        pass(format!("{v2} beside {v3}"))
    }
}

fn ready(model: &Model, now: Now, _: Split) -> (Verdict, String) {
    if !model.facts.freshness(SourceId::Cluster, now.mono).is_fresh() {
        return block("the cluster pane is not fresh");
    }
    let Some(cluster) = model.facts.cluster.value() else {
        return block("the cluster was not read yet");
    };
    for (role, name) in [(Role::Web, "web"), (Role::Worker, "worker")] {
        match cluster.of(role) {
            None => return block(format!("no v3 {name} was found")),
            Some(w) if w.ready == 0 => return block(format!("{} has no ready pod", w.name)),
            Some(w) if w.ready < w.desired => {
                return warn(format!("{} {}/{} ready", w.name, w.ready, w.desired));
            }
            Some(_) => {}
        }
    }
    pass("both ready")
}

fn errors(model: &Model, now: Now, _: Split) -> (Verdict, String) {
    let known = errors::errors(&model.history, Endpoint::V3, now.mono);
    let source = SourceId::Probe(Endpoint::V3);
    if known.requests_bad() {
        return block(known.evidence());
    }
    if model.setup.off.contains(&source) {
        return warn("v3 is not probed: no address is configured");
    }
    if known.is_silent() {
        return block(format!("v3 does not answer: {} rounds in a row", known.silent));
    }
    match model.facts.freshness(source, now.mono) {
        _ if known.rounds.all == 0 => block("v3 was not probed yet"),
        _ if known.rounds_bad() => block(known.evidence()),
        Freshness::Stale(age) => block(format!("the newest probe of v3 is {} old", units::span(age))),
        _ if known.rounds.all < ROUNDS_NEEDED => warn(format!("{}: too few to say", known.evidence())),
        _ => pass(known.evidence()),
    }
}

fn queues(model: &Model, now: Now, _: Split) -> (Verdict, String) {
    if model.setup.off.contains(&SourceId::Queues) {
        return warn("the queues are not watched: no Redis is configured");
    }
    if !model.facts.freshness(SourceId::Queues, now.mono).is_fresh() {
        return block("the queues could not be read just now");
    }
    let Some(fact) = model.facts.queues.value() else {
        return block("the queues were not read yet");
    };
    let ingestion = fact.queues.iter().filter(|q| q.name.contains("ingestion-queue"));
    for queue in ingestion {
        if queue.paused {
            return block(format!("{} is paused", queue.name));
        }
        if queue.consumers == Some(0) && queue.depth() > 0 {
            return block(format!("{} has {} jobs and no worker", queue.name, queue.depth()));
        }
        if queue.oldest.is_some_and(|age| age > QUEUE_LATE) {
            return block(format!(
                "{}: the oldest job waits since {}",
                queue.name,
                units::span(queue.oldest.unwrap_or_default())
            ));
        }
    }
    pass("no backlog")
}

/// What a move to this split asks for first: under `backfill-first`, before nobody reads v2 any more, a comparison of
/// each table within a day. Under `shift-first` nothing is copied by then, and *complete* asks for it.
pub fn unverified(model: &Model, now: Now, to: Split) -> Option<String> {
    if to != Split::V3 || model.setup.strategy != Strategy::BackfillFirst {
        return None;
    }
    let results = model.facts.postgres_rows.value().map_or(&[][..], |rows| &rows.verified);
    unlooked(&model.tables(), results, now.wall)
}

fn backfill(model: &Model, now: Now, to: Split) -> (Verdict, String) {
    let Some(migrations) = model.facts.migrations.value() else {
        return warn("the migrations were not read");
    };
    let running = migrations.iter().find(|m| m.state == MigrationState::Running);
    if to == Split::V3 && model.setup.strategy == Strategy::BackfillFirst {
        // After this nobody reads v2 any more: is everything there?
        let Some(rows) = model.facts.postgres_rows.value() else {
            return warn("what `cutover verify` found was not read yet");
        };
        if let Err(why) = all_fresh(&model.tables(), &rows.verified, now.wall) {
            return warn(why);
        }
    }
    match (model.setup.strategy, running) {
        (Strategy::ShiftFirst, Some(m)) => {
            warn(format!("{} runs while v2 takes traffic: what v2 writes now is stranded", m.name))
        }
        _ => pass(model.setup.strategy.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::setup;
    use super::super::model::Setup;
    use super::*;
    use crate::domain::Fact;
    use crate::domain::backfill::{RowsFact, Side, Table};
    use crate::domain::verified::{Depth, Verified};

    #[test]
    fn backfill_first_asks_for_a_comparison_before_all_traffic_is_v3s() {
        let (now, late) = (Now::at(10), Now::at(10 + 25 * 3600));
        let mut model = Model::new(Setup { strategy: Strategy::BackfillFirst, ..setup(true) });
        model.facts.take(SourceId::Migrations, Ok(Fact::Migrations(vec![])), now.mono);
        assert!(backfill(&model, now, Split::V3).1.contains("not read yet"));
        let mut found = |wrong| {
            let result =
                |table| Verified { table, depth: Depth::Scalar, at: now.wall, rows: 5, wrong, part: None };
            let verified = Table::BACKFILLED.map(result).to_vec();
            let rows = RowsFact { side: Side::Postgres, tables: vec![], verified };
            model.facts.take(SourceId::PostgresRows, Ok(Fact::Rows(rows)), now.mono);
            model.clone()
        };
        let (same, differs) = (found(0), found(3));
        assert_eq!(backfill(&same, now, Split::V3).0, Verdict::Pass);
        assert_eq!(
            (unverified(&same, now, Split::V3), backfill(&same, late, Split::V3).0),
            (None, Verdict::Warn)
        );
        assert!(unverified(&same, late, Split::V3).is_some_and(|why| why.contains("too old")));
        // What v2 wrote since differs, however often one looks: that is told, and asks for nothing.
        let (verdict, said) = backfill(&differs, now, Split::V3);
        assert!(verdict == Verdict::Warn && said.contains("3 differences"), "{said}");
        assert_eq!(unverified(&differs, now, Split::V3), None);
        let half = Split::new(50).unwrap_or(Split::V2);
        assert_eq!(unverified(&same, late, half), None);
        let mut first = same;
        first.setup.strategy = Strategy::ShiftFirst;
        assert_eq!(unverified(&first, late, Split::V3), None);
    }
}
