//! The journal on a real disk: chain, crash in the middle of an append, tampering, replay.

use super::*;
use crate::actuators::Actor;
use crate::domain::{Now, Split};
use crate::shift::plan::tests::route;
use crate::shift::{Intent, OpId, Plan};

fn journal() -> (tempfile::TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("langfuse/journal.jsonl")).unwrap();
    (dir, journal)
}

fn intent(op: u64, from: u8, to: u8) -> Entry {
    let plan = Plan::new(OpId(op), Intent::Shift, &[route(from)], Split::new(to).unwrap(), None);
    Entry::intent(
        &plan,
        &Actor::default(),
        vec!["v3 answers without errors: 0 of 20 rounds failed".into()],
        Now::at(0).wall,
    )
}

fn answer(op: u64, outcome: Outcome) -> Entry {
    Entry::Answer { op, outcome, detail: String::new(), versions: vec!["8".into()] }
}

fn fill(journal: &Journal, entries: Vec<Entry>) {
    for entry in entries {
        journal.append(entry, Now::at(0).wall).unwrap();
    }
}

#[test]
fn a_whole_chain_and_where_it_leads() {
    let (_dir, journal) = journal();
    fill(
        &journal,
        vec![intent(1, 0, 5), answer(1, Outcome::Applied), intent(2, 5, 25), answer(2, Outcome::Applied)],
    );
    assert_eq!(verify(&journal.read().unwrap()), Verified::Whole(4));
    let state = replay(&journal).unwrap();
    assert_eq!((state.unfinished, state.last_safe, state.next_op), (None, Split::new(5), 3));
    assert!(state.last_shift.unwrap().0.contains("5 % -> 25 %"));
}

#[test]
fn an_intent_without_an_answer_is_unfinished_and_rebuilt_to_the_byte() {
    let (_dir, journal) = journal();
    fill(&journal, vec![intent(1, 0, 5), answer(1, Outcome::Applied), intent(2, 5, 25)]);
    let plan = replay(&journal).unwrap().unfinished.unwrap();
    let sent = Plan::new(OpId(2), Intent::Shift, &[route(5)], Split::new(25).unwrap(), None);
    assert_eq!(*plan, sent);
    fill(&journal, vec![answer(2, Outcome::Lost)]);
    assert!(replay(&journal).unwrap().unfinished.is_some(), "a lost answer is no outcome");
    fill(&journal, vec![Entry::Concluded { op: 2, detail: "seen at 25 %".into() }]);
    assert!(replay(&journal).unwrap().unfinished.is_none());
}

#[test]
fn a_later_move_that_was_refused_leaves_a_deadline_as_it_was() {
    let (_dir, journal) = journal();
    let mut with_deadline = intent(1, 0, 5);
    let Entry::Intent { confirm_by, .. } = &mut with_deadline else { unreachable!() };
    *confirm_by = Some(Now::at(600).wall);
    fill(&journal, vec![with_deadline, answer(1, Outcome::Applied)]);
    let stands = || standing(&journal, OpId(1)).unwrap();
    let waits = stands();
    assert!(matches!(waits, Standing::Waits(p) if p.back_to == Split::V2), "{waits:?}");
    for refused in [Outcome::Refused, Outcome::Conflict] {
        fill(&journal, vec![intent(2, 5, 25)]);
        assert!(matches!(stands(), Standing::Perhaps(_)), "nobody knows yet");
        fill(&journal, vec![answer(2, refused)]);
        assert_eq!(stands(), waits, "nothing was written");
        assert_eq!(replay(&journal).unwrap().unfinished, None);
    }
    fill(&journal, vec![intent(3, 5, 0)]);
    assert_eq!(stands(), Standing::CalledOff, "a way back that was begun is as good as this one");
    fill(&journal, vec![answer(3, Outcome::Refused), intent(4, 5, 25), answer(4, Outcome::Applied)]);
    assert_eq!(stands(), Standing::CalledOff);
}

#[test]
fn a_later_move_that_was_refused_hides_no_unknown_one() {
    let (_dir, journal) = journal();
    fill(&journal, vec![intent(1, 0, 5), answer(1, Outcome::Lost)]);
    fill(&journal, vec![intent(2, 5, 25), answer(2, Outcome::Refused)]);
    assert_eq!(replay(&journal).unwrap().unfinished.map(|p| p.op), Some(OpId(1)));
}

#[test]
fn a_torn_last_line_is_cut_and_the_chain_goes_on() {
    let (_dir, journal) = journal();
    fill(&journal, vec![intent(1, 0, 5), answer(1, Outcome::Applied)]);
    let mut file = OpenOptions::new().append(true).open(journal.path()).unwrap();
    file.write_all(b"{\"seq\":3,\"at\":\"2026-").unwrap();
    assert_eq!(journal.read().unwrap().len(), 2);
    fill(&journal, vec![intent(2, 5, 25)]);
    assert_eq!(verify(&journal.read().unwrap()), Verified::Whole(3));
}

#[test]
fn tampering_is_found_by_line() {
    let (_dir, journal) = journal();
    fill(&journal, vec![intent(1, 0, 5), answer(1, Outcome::Applied), intent(2, 5, 25)]);
    let text = std::fs::read_to_string(journal.path()).unwrap();
    for (changed, line) in [
        (text.replacen("\"to\":5", "\"to\":6", 1), 1),
        (text.lines().skip(1).map(|l| format!("{l}\n")).collect(), 1),
        (text.lines().take(1).chain(text.lines().skip(2)).map(|l| format!("{l}\n")).collect::<String>(), 2),
    ] {
        std::fs::write(journal.path(), changed).unwrap();
        assert!(matches!(verify(&journal.read().unwrap()), Verified::Broken(at, _) if at == line));
        assert!(!replay(&journal).unwrap().intact);
    }
}

#[test]
fn two_processes_append_to_one_chain() {
    let (_dir, journal) = journal();
    std::thread::scope(|s| {
        for op in 0..4 {
            let journal = journal.clone();
            s.spawn(move || fill(&journal, (0..10).map(|i| intent(op * 10 + i, 0, 5)).collect()));
        }
    });
    assert_eq!(verify(&journal.read().unwrap()), Verified::Whole(40));
}

#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, journal) = journal();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(journal.path()), mode(journal.path().parent().unwrap())), (0o600, 0o700));
}
