//! Moves with a deadline: when it runs out, who may end it, and what another shell does to it.

use super::*;

/// A cockpit whose shift to 5 % was sent at second 2, seen at once, and has to be confirmed within a minute.
fn with_deadline() -> Desk {
    let mut desk = Desk::new(true);
    let minute = Some(std::time::Duration::from_secs(60));
    let now = desk.now();
    intent::shift_to(&mut desk.model, Split::new(5).unwrap(), minute, now);
    let op = desk.model.shift.plan().unwrap().op;
    desk.say(Msg::Answer(Answer::DryRun(op, Ok(()))));
    desk.say(Msg::DialogShown);
    desk.ms = 2_000;
    assert!(writes(&desk.press("5\n")));
    desk.ms += 9_000;
    desk.acknowledge(5);
    desk
}

#[test]
fn a_deadline_runs_since_the_write_left() {
    let mut desk = with_deadline();
    assert_eq!(desk.model.pending.unwrap().at, Now::at(62).wall, "as the watchdog has it");
    desk.ms = 63_000;
    let ours = Owner { manager: "cutover".into(), operation: "Update".into(), at: None };
    desk.routes(vec![Route { owner: Some(ours), ..route(0) }]);
    assert_eq!(desk.model.pending, None);
    let text = desk.model.screen.notice.clone().unwrap().0;
    assert!(text.contains("was not confirmed in time and was taken back to 0 %"), "{text}");
    assert_eq!(desk.model.intended, Some(Split::V2));
    assert!(!desk.model.findings.iter().any(|f| f.id == "weight-drift"), "{:?}", desk.model.findings);
}

#[test]
fn a_move_that_was_taken_back_behind_a_dialog_is_not_unconfirmed_for_ever() {
    let mut desk = with_deadline();
    desk.ms = 63_000;
    desk.press("R");
    assert!(desk.model.shift.has_dialog());
    desk.routes(vec![route(0)]);
    assert_eq!((desk.model.pending, desk.model.intended), (None, Some(Split::V2)));
}

#[test]
fn what_another_shell_does_to_a_deadline_is_heard() {
    let mut desk = with_deadline();
    let pending = desk.model.pending;
    desk.say(Msg::Answer(Answer::Deadline(None, 7)));
    assert_eq!((desk.model.pending, desk.model.next_op), (None, 7), "confirmed there");
    desk.say(Msg::Answer(Answer::Deadline(pending, 3)));
    assert_eq!((desk.model.pending, desk.model.next_op), (pending, 7));
    desk.ms = 63_000;
    desk.say(Msg::Answer(Answer::Deadline(None, 8)));
    assert_eq!(desk.model.pending, pending, "the watchdog has only begun");
    desk.ms = 90_000;
    desk.say(Msg::Answer(Answer::Deadline(None, 8)));
    assert_eq!(desk.model.pending, None);
}
