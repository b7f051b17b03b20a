//! A journal cut off at every byte of its last two lines, as a crash or a full disk leaves it.

use cutover::actuators::Journal;
use cutover::actuators::journal::{Entry, Verified, replay, verify};

use crate::ground::Ground;

/// The whole lines count, the torn one never happened, and the chain goes on.
#[tokio::test]
async fn a_journal_torn_at_any_byte_is_read_and_goes_on() {
    let ground = Ground::new().await;
    for verb in [&["shift", "--to", "50", "--yes"][..], &["rollback", "--all", "--yes"]] {
        assert!(ground.run(verb).await.status.success());
    }
    let whole = std::fs::read(ground.journal_path()).unwrap();
    let records = ground.journal().read().unwrap();
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    assert!(whole.iter().any(|b| !b.is_ascii()), "no line can be torn within a character");
    // Of the last two lines, and of the one before a write: that its request never left is what matters most.
    let dir = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for cut in ends[ends.len() - 4]..whole.len() {
        let path = dir.path().join(format!("{cut}.jsonl"));
        std::fs::write(&path, &whole[..cut]).unwrap();
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let journal = Journal::open(&path).unwrap();
        let read = journal.read().unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        assert_eq!(read, records[..kept], "cut at {cut}");
        let state = replay(&journal).unwrap();
        assert!(state.intact, "cut at {cut}");
        let open = matches!(records[kept - 1].entry, Entry::Intent { .. });
        assert_eq!(state.unfinished.is_some(), open, "cut at {cut}");
        journal.append(records[kept - 1].entry.clone(), records[kept - 1].at).unwrap();
        let read = journal.read().unwrap();
        assert_eq!(verify(&read), Verified::Whole(kept + 1), "cut at {cut}");
        std::fs::remove_file(&path).unwrap();
        tried += 1;
    }
    assert!(tried > 1_000, "{tried}");
}
