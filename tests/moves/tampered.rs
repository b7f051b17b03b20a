//! Journals of strangers: any byte changed, and anything at all.

use cutover::actuators::Journal;
use cutover::actuators::journal::{Record, Verified, replay, verify};
use proptest::prelude::*;

use crate::ground::Ground;

/// Whether a journal with this text is told to be another one than was written, and can be used to take traffic back
/// all the same. One that means the same to the letter (`t` for the `T` of a time) is none.
fn told(path: &std::path::Path, text: &[u8], records: &[Record]) -> bool {
    std::fs::write(path, text).unwrap();
    let journal = Journal::open(path).unwrap();
    match journal.read() {
        Err(_) => !replay(&journal).unwrap().intact,
        Ok(read) => verify(&read) != Verified::Whole(records.len()) || read == records,
    }
}

#[tokio::test]
async fn every_changed_byte_is_found() {
    let ground = Ground::new().await;
    assert!(ground.run(&["rollback", "--all", "--yes"]).await.status.success());
    let whole = std::fs::read(ground.journal_path()).unwrap();
    let records = ground.journal().read().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    assert_eq!(verify(&records), Verified::Whole(records.len()));
    for at in 0..whole.len() {
        for bit in [0x01, 0x20] {
            let mut changed = whole.clone();
            changed[at] ^= bit;
            let part = &whole[at.saturating_sub(20)..(at + 20).min(whole.len())];
            assert!(
                told(&path, &changed, &records),
                "byte {at} ^ {bit:#x}: {}",
                String::from_utf8_lossy(part)
            );
        }
    }
}

/// A line that is none stops what goes forward, and nothing that goes back.
#[tokio::test]
async fn a_line_that_cannot_be_read_is_not_in_the_way_back() {
    for at in 0..3 {
        let ground = Ground::new().await;
        assert!(ground.run(&["shift", "--to", "50", "--yes"]).await.status.success());
        let text = std::fs::read_to_string(ground.journal_path()).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        lines[at] = "no journal line";
        std::fs::write(ground.journal_path(), lines.join("\n") + "\n").unwrap();
        let forward = ground.run(&["shift", "--to", "75", "--skip-steps", "--yes"]).await;
        assert_eq!(forward.status.code(), Some(4), "{forward:?}");
        let back = ground.run(&["rollback", "--all", "--yes"]).await;
        assert!(back.status.success(), "{back:?}");
        assert_eq!(ground.weight(), 0);
        let checked = ground.run(&["journal", "--verify"]).await;
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    }
}

proptest! {
    #[test]
    fn whatever_stands_there_it_is_read_or_told(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "([\\[{\"}\\]:,0-9a-z ]{0,40}\n){0,4}",
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        for content in [&bytes[..], text.as_bytes()] {
            std::fs::write(&path, content).unwrap();
            let journal = Journal::open(&path).unwrap();
            let _ = journal.read();
            let _ = replay(&journal);
            let state = cutover::data::verify::state::State::open(Some(dir.path()));
            let _ = state.results(cutover::domain::backfill::Table::Traces, "");
            std::fs::write(dir.path().join("counts.census.json"), content).unwrap();
            let _ = cutover::data::census::Shelf::open(Some(&dir.path().join("counts.json")));
        }
    }
}
