//! SIGKILL at every point of a shift and of a rollback: before and after every request that writes is carried out,
//! and in the middle of every line of the journal.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use cutover::rehearsal::kube::{Fault, Scope};
use futures::StreamExt as _;

use crate::ground::{Ground, START};

/// The moves: one forward, one back.
const MOVES: [&[&str]; 2] = [&["shift", "--to", "50", "--yes"], &["rollback", "--all", "--yes"]];
/// Points tried side by side: the programs mostly wait.
const ABREAST: usize = 4;
/// A program that reaches no point within this time hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a fault is met before the program ends, and the program is killed there.
async fn killed_at(ground: &Ground, verb: &[&str], nth: u32, scope: Scope, fault: Fault) -> bool {
    let faults = ground.server.faults();
    let mut held = faults.unanswered();
    held.mark_unchanged();
    faults.nth(nth, scope, fault);
    let mut child = ground.start(verb);
    let reached = tokio::select! {
        changed = held.changed() => changed.is_ok(),
        ended = child.wait() => {
            assert!(ended.unwrap().success(), "{verb:?} does not work without a fault");
            false
        }
        () = tokio::time::sleep(PATIENCE) => panic!("{verb:?} reaches neither request {nth} nor its end"),
    };
    if reached {
        // SIGKILL.
        child.kill().await.unwrap();
    }
    faults.clear();
    reached
}

/// Every point of one scope, until the program ends without meeting it; gives how many there were.
async fn every_point(verb: &'static [&'static str], scope: Scope, fault: Fault) -> u32 {
    let points = futures::stream::iter(1..)
        .map(|nth| async move {
            let ground = Ground::new().await;
            let point = format!("{verb:?}, {fault:?} of {scope:?} {nth}");
            let reached = killed_at(&ground, verb, nth, scope, fault).await;
            if reached {
                ground.assert_the_next_program_copes(&point).await;
            } else {
                assert_ne!(ground.weight(), START, "{point}: it ended without a move");
            }
            reached
        })
        .buffered(ABREAST)
        .take_while(|reached| std::future::ready(*reached))
        .count();
    u32::try_from(points.await).unwrap()
}

/// Before each request that writes, and after it was carried out and before its answer. With `CUTOVER_POINTS=all`
/// before each request that reads, too: nothing is under way there that is not under way at the next write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_every_request_the_next_start_knows_or_says_that_it_does_not() {
    for verb in MOVES {
        for fault in [Fault::Freeze, Fault::Swallow] {
            let points = every_point(verb, Scope::Writes, fault).await;
            // The lease, a dry run where it goes forward, the weight, the Event, the lease given back.
            assert!(points >= 4, "{verb:?}: only {points} writes");
            eprintln!("{verb:?}: killed at {points} writes ({fault:?})");
        }
        if std::env::var("CUTOVER_POINTS").is_ok_and(|v| v == "all") {
            let points = every_point(verb, Scope::Reads, Fault::Freeze).await;
            eprintln!("{verb:?}: killed at {points} reads");
        }
    }
}

/// The ends of the lines that a whole run writes.
async fn line_ends(verb: &[&str]) -> Vec<u64> {
    let ground = Ground::new().await;
    let whole = ground.run(verb).await;
    assert!(whole.status.success(), "{}", String::from_utf8_lossy(&whole.stderr));
    let bytes = std::fs::read(ground.journal_path()).unwrap();
    bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i as u64 + 1).collect()
}

/// The kernel ends the program (SIGXFSZ) within the write that would make the journal longer than so many bytes:
/// nothing, one byte, half, nearly all of each line is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_within_every_line_of_the_journal_the_next_start_knows_or_says_that_it_does_not() {
    for verb in MOVES {
        let mut points = Vec::new();
        let mut begin = 0;
        let ends = line_ends(verb).await;
        assert_eq!(ends.len(), 3, "before, after, seen");
        for end in ends {
            // Another run's lines may be some bytes shorter: times are written without their last zeros.
            points.extend([begin, begin + 1, u64::midpoint(begin, end), end - 24]);
            begin = end;
        }
        futures::stream::iter(points)
            .map(|at| async move {
                let ground = Ground::new().await;
                let limit = format!("--fsize={at}");
                let ended = ground.program(&["prlimit", &limit], verb).output().await.unwrap();
                let point = format!("{verb:?}, journal of {at} bytes");
                assert_eq!(ended.status.signal(), Some(25), "{point}: not SIGXFSZ: {ended:?}");
                ground.assert_the_next_program_copes(&point).await;
            })
            .buffer_unordered(ABREAST)
            .collect::<Vec<()>>()
            .await;
    }
}
