//! Seeded storms: two operators, a `GitOps` reverter, and an API server with every fault it has, at random.
//!
//! Time is the test's own: a storm of minutes takes as long as its work. `CUTOVER_SEEDS=1000` for more of them,
//! `CUTOVER_SEED=17` for one.

use std::path::Path;
use std::time::Duration;

use cutover::actuators::journal::{Entry, Outcome, Verified, verify};
use cutover::domain::Split;
use cutover::rehearsal::kube::{Fault, Scope, Server, Token};
use cutover::shift::Shift;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::common::cluster;
use crate::ground::START;
use crate::operator::{Operator, start_clock};

const WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
/// How long the weather is bad.
const BAD: Duration = Duration::from_secs(120);
/// How long it is good afterwards: lost answers are given up, leases run out, sources come back.
const GOOD: Duration = Duration::from_secs(90);

/// One state of the canary: its version, its weight, and whether somebody else wrote it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    version: String,
    weight: u8,
}

fn seen(server: &Server) -> Seen {
    let canary = server.store().get("ingresses", "lf", "lf-canary").unwrap();
    let version = canary["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    Seen { version, weight: cluster::weight(server) }
}

/// Writes down every state of the canary.
async fn audit(server: &Server, log: &std::sync::Mutex<Vec<Seen>>) {
    let mut changes = server.store().changes();
    loop {
        let state = seen(server);
        {
            let mut log = log.lock().unwrap();
            if log.last() != Some(&state) {
                log.push(state);
            }
        }
        changes.changed().await.unwrap();
    }
}

/// Somebody whose manifest has another weight; gives the versions they wrote.
async fn revert(server: &Server, mut random: StdRng, versions: &std::sync::Mutex<Vec<String>>) {
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(2_000..30_000))).await;
        if cluster::weight(server) != 0 {
            let patch = json!({"metadata": {"annotations": {WEIGHT: "0"}}});
            let written =
                server.store().merge("argocd-controller", "ingresses", "lf", "lf-canary", "", patch);
            let version = written.unwrap()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
            versions.lock().unwrap().push(version);
        }
    }
}

/// One fault after the other.
async fn weather(server: &Server, mut random: StdRng) {
    let faults = server.faults();
    let scopes = [Scope::All, Scope::Reads, Scope::Writes, Scope::Writes];
    loop {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..4_000))).await;
        let scope = scopes[random.random_range(0..scopes.len())];
        let count = random.random_range(1..4);
        match random.random_range(0..12) {
            0 => faults.next(count, Scope::Writes, Fault::Conflict),
            1 => faults.next(count, Scope::Writes, Fault::Invalid),
            2 => faults.next(count, scope, Fault::TooManyRequests(random.random_range(1..6))),
            3 => faults.next(count, scope, Fault::Internal),
            4 => faults.next(count, scope, Fault::DropAnswer),
            5 => faults.next(count, scope, Fault::Refuse),
            6 => faults.next(1, scope, Fault::Swallow),
            7 => faults.next(1, scope, Fault::Freeze),
            // The server's own deadline, which each write carries, is the latest that it may be carried out.
            8 => faults.next(
                1,
                Scope::Writes,
                Fault::Late(Duration::from_millis(random.random_range(100..8_000))),
            ),
            9 => {
                faults.latency(Duration::from_millis(random.random_range(50..12_000)));
                tokio::time::sleep(Duration::from_millis(random.random_range(100..10_000))).await;
                faults.latency(Duration::ZERO);
            }
            10 => {
                faults.freeze(true);
                tokio::time::sleep(Duration::from_millis(random.random_range(100..25_000))).await;
                faults.freeze(false);
            }
            _ => {
                faults.close_watches();
                server.store().compact(server.store().revision());
            }
        }
    }
}

/// What a person does who wants to get on.
async fn work(operator: &mut Operator, mut random: StdRng) {
    loop {
        operator.wait(Duration::from_millis(random.random_range(200..8_000)), |_| false).await;
        match random.random_range(0..10) {
            0 => operator.roll_back(false).await,
            1 => operator.roll_back(true).await,
            2 => operator.take_over().await,
            _ => {
                let steps = [5, 10, 25, 50, 75, 100];
                operator.shift(Split::new(steps[random.random_range(0..steps.len())]).unwrap()).await;
            }
        }
    }
}

/// What a storm came to.
#[derive(Debug, Default)]
struct Tally {
    storms: usize,
    sent: usize,
    applied: usize,
    refused: usize,
    lost: usize,
    writes: usize,
    unseen: usize,
}

fn number(version: &str) -> u64 {
    version.parse().unwrap()
}

/// One operation as a journal has it.
#[derive(Debug)]
struct Op {
    to: u8,
    forward: bool,
    condition: String,
    outcome: Option<Outcome>,
    versions: Vec<String>,
}

fn operations(operator: &Operator) -> Vec<Op> {
    let records = operator.journal.read().unwrap();
    assert_eq!(verify(&records), Verified::Whole(records.len()));
    let mut all: Vec<(u64, Op)> = Vec::new();
    for record in records {
        match record.entry {
            Entry::Intent { op, to, intent, patches, .. } => {
                let condition = patches[0].body["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                let forward = intent == "shift";
                let condition = condition.to_owned();
                all.push((op, Op { to, forward, condition, outcome: None, versions: vec![] }));
            }
            Entry::Answer { op, outcome, versions, .. } => {
                let (_, found) = all.iter_mut().rev().find(|(of, _)| *of == op).unwrap();
                (found.outcome, found.versions) = (Some(outcome), versions);
            }
            _ => {}
        }
    }
    all.into_iter().map(|(_, op)| op).collect()
}

/// Every write of ours was asked for and is accounted for; none that was said to be refused is there; none that was
/// said to be there is not.
fn settle_accounts(states: &[Seen], others: &[String], operators: [&Operator; 2]) -> Tally {
    let ops: Vec<Op> = operators.into_iter().flat_map(operations).collect();
    let lost = |op: &Op| matches!(op.outcome, None | Some(Outcome::Lost | Outcome::Partial));
    // A rollback is sent again when an answer is lost; the try before may be carried out after the one that was
    // acknowledged.
    let again = |op: &Op| !op.forward && op.outcome == Some(Outcome::Applied);
    let mut open: Vec<&Op> = ops.iter().filter(|op| lost(op) || again(op)).collect();
    let mut tally =
        Tally { sent: ops.len(), lost: ops.iter().filter(|op| lost(op)).count(), ..Tally::default() };
    for op in &ops {
        match op.outcome {
            Some(Outcome::Applied) => {
                tally.applied += 1;
                if let Some(state) = states.iter().find(|s| op.versions.contains(&s.version)) {
                    assert_eq!(state.weight, op.to, "acknowledged and another: {op:?} {states:?}");
                } else {
                    // Two writes of one moment: the audit saw the second alone.
                    tally.unseen += 1;
                    let later = states.last().is_some_and(|s| number(&s.version) > number(&op.versions[0]));
                    assert!(later, "acknowledged and not there: {op:?} {states:?}");
                }
            }
            Some(Outcome::Refused | Outcome::Conflict) => tally.refused += 1,
            _ => {}
        }
    }
    // A condition that the audit did not see lies between two states that it did.
    let on = |condition: &str, before: &Seen| {
        let seen = states.iter().any(|s| s.version == condition);
        if seen { condition == before.version } else { number(condition) > number(&before.version) }
    };
    for pair in states.windows(2) {
        let [before, state] = pair else { continue };
        if others.contains(&state.version) {
            continue;
        }
        tally.writes += 1;
        if let Some(op) = ops.iter().find(|op| op.versions.contains(&state.version)) {
            assert!(
                !op.forward || on(&op.condition, before),
                "wrote over what was not seen: {op:?} {before:?}"
            );
            continue;
        }
        let by =
            open.iter().position(|op| op.to == state.weight && (!op.forward || on(&op.condition, before)));
        let by =
            by.unwrap_or_else(|| panic!("{state:?} was written by nobody who says so: {ops:#?} {states:?}"));
        // A forward move is sent once; a rollback as often as its deadline allows.
        if open[by].forward {
            open.remove(by);
        }
    }
    tally
}

async fn storm(seed: u64, dir: &Path) -> Tally {
    start_clock();
    let server = cluster::start(dir, vec![Token::admin("rehearsal-admin", "admin")], "admin", "").await;
    cluster::make_ready(&server);
    // Without TLS: it proves nothing here and costs most of the time.
    let kubeconfig = dir.join("kubeconfig");
    let text = std::fs::read_to_string(&kubeconfig).unwrap().replace("https://", "http://");
    std::fs::write(&kubeconfig, text).unwrap();
    assert_eq!(seen(&server).weight, START);

    let mut random = StdRng::seed_from_u64(seed);
    let mut split = || StdRng::seed_from_u64(random.random());
    let (one, two, three, four) = (split(), split(), split(), split());
    let reverted = random.random_bool(0.3);
    let one_bastion = random.random_bool(0.5);
    let second = if one_bastion { "mia.jsonl" } else { "tom.jsonl" };
    let mut mia = Operator::sit_down("mia", &kubeconfig, &dir.join("mia.jsonl")).await;
    let mut tom = Operator::sit_down("tom", &kubeconfig, &dir.join(second)).await;
    let (states, others) = (std::sync::Mutex::default(), std::sync::Mutex::default());
    let all = async {
        let bad = async {
            let reverter = async {
                if reverted {
                    revert(&server, four, &others).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = weather(&server, one) => {}
                () = reverter => {}
                () = async { tokio::join!(work(&mut mia, two), work(&mut tom, three)); } => {}
            }
        };
        let _ = tokio::time::timeout(BAD, bad).await;
        server.faults().clear();
        tokio::join!(mia.wait(GOOD, |_| false), tom.wait(GOOD, |_| false));
        for operator in [&mia, &tom] {
            let (model, stands) = (&operator.model, cluster::weight(&server));
            assert!(
                matches!(model.shift, Shift::Idle | Shift::Done { .. } | Shift::Failed { .. }),
                "it ends in {:?}",
                model.shift
            );
            assert_eq!(model.split().map(Split::percent), Some(stands), "the screen and the object");
        }
        for back in [&mut mia, &mut tom] {
            back.take_over().await;
            back.roll_back(true).await;
            assert!(matches!(back.model.shift, Shift::Done { .. }), "no way back: {:?}", back.model.shift);
            assert_eq!(cluster::weight(&server), 0);
        }
    };
    tokio::select! {
        () = all => {}
        () = audit(&server, &states) => {}
    }
    // With one journal for both, the records are the same ones.
    if one_bastion {
        mia.journal = cutover::actuators::Journal::open(dir.join("none.jsonl")).unwrap();
    }
    let (states, others) = (states.into_inner().unwrap(), others.into_inner().unwrap());
    for operator in [&mia, &tom] {
        for (op, to) in &operator.done {
            assert!(states.iter().any(|s| s.weight == *to), "op-{op} was said to be done: {states:?}");
        }
    }
    settle_accounts(&states, &others, [&mia, &tom])
}

fn run(seed: u64) -> Tally {
    let dir = tempfile::tempdir().unwrap();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(storm(seed, dir.path()))
}

#[test]
fn in_a_thousand_storms_no_write_is_wrong_or_lost() {
    let given = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seeds = match given("CUTOVER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..given("CUTOVER_SEEDS").unwrap_or(60),
    };
    let begun = std::time::Instant::now();
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let total = std::sync::Mutex::new(Tally::default());
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let Ok(tally) = std::panic::catch_unwind(|| run(seed)) else {
                        failed.lock().unwrap().push(seed);
                        continue;
                    };
                    let mut total = total.lock().unwrap();
                    total.storms += 1;
                    if total.storms % 50 == 0 {
                        eprintln!("{} storms in {:?}", total.storms, begun.elapsed());
                    }
                    total.sent += tally.sent;
                    total.applied += tally.applied;
                    total.refused += tally.refused;
                    total.lost += tally.lost;
                    total.writes += tally.writes;
                    total.unseen += tally.unseen;
                }
            });
        }
    });
    let storms = seeds.end - seeds.start;
    let total = total.into_inner().unwrap();
    let failed = failed.into_inner().unwrap();
    assert!(
        failed.is_empty(),
        "{} of {storms} storms; look at one with CUTOVER_SEED: {failed:?}",
        failed.len()
    );
    eprintln!("{storms} storms in {:?}: {total:?}", begun.elapsed());
    if storms >= 20 {
        assert!(total.applied > 0 && total.writes > 0 && total.unseen * 50 <= total.applied, "{total:?}");
        assert!(total.lost > 0 && total.refused > 0, "the weather was too good: {total:?}");
    }
}
