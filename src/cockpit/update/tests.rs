//! The cockpit without a terminal: messages in, model and effects out.

mod deadline;

use super::desk::{Desk, writes};
use super::*;
use crate::cockpit::key::{Code, Key};
use crate::cockpit::msg::{Answer, JournalState, Lease, Pending};
use crate::domain::latency::{ControllerFact, Endpoint, Probe, ProbeError};
use crate::domain::traffic::{Owner, Route};
use crate::domain::{Fact, Kind, SourceId, Split, Trouble};
use crate::shift::machine::ApplyError;
use crate::shift::plan::tests::route;
use crate::shift::{Intent, Shift};

#[test]
fn climbing_the_ladder_and_back_with_two_keys() {
    let mut desk = Desk::new(true);
    desk.shift_to(5);
    desk.healthy(5);
    desk.shift_to(25);
    assert_eq!(desk.model.last_safe, Split::new(5).unwrap());
    desk.press("R");
    desk.say(Msg::DialogShown);
    let effects = desk.press("\n");
    let Some(Effect::Apply(plan)) = effects.iter().find(|e| matches!(e, Effect::Apply(_))) else {
        panic!("{effects:?}")
    };
    assert_eq!((plan.intent, plan.to.percent()), (Intent::Rollback, 5));
}

#[test]
fn read_only_is_the_default_and_says_so() {
    let mut desk = Desk::new(false);
    for keys in ["n", "s", "R", "V", "H"] {
        desk.press(keys);
        assert_eq!(desk.model.shift, Shift::Idle, "{keys}");
        assert!(desk.model.screen.notice.as_ref().unwrap().0.contains("--arm"), "{keys}");
    }
}

#[test]
fn no_single_key_writes() {
    for command in crate::cockpit::command::COMMANDS {
        for key in command.keys {
            let mut desk = Desk::new(true);
            desk.healthy(25);
            let effects = desk.say(Msg::Key(*key));
            assert!(
                !effects.iter().any(|e| matches!(e, Effect::Apply(_) | Effect::Hold(_) | Effect::TakeLease)),
                "{key}"
            );
        }
    }
}

#[test]
fn pasted_text_never_confirms() {
    let mut desk = Desk::new(true);
    desk.say(Msg::Paste("n\n5\n".into()));
    assert_eq!(desk.model.shift, Shift::Idle);
    desk.press("R");
    desk.say(Msg::DialogShown);
    assert!(!writes(&desk.say(Msg::Paste("\n".into()))));
    desk.model.shift = Shift::Idle;
    desk.model.screen.overlay = Some(Overlay::Quit { go: true });
    assert!(desk.say(Msg::Paste("y".into())).is_empty());
}

#[test]
fn a_resize_closes_the_dialog() {
    let mut desk = Desk::new(true);
    desk.press("R");
    assert!(desk.model.shift.has_dialog());
    desk.say(Msg::Resize(120, 36));
    assert_eq!(desk.model.shift, Shift::Idle);
}

#[test]
fn a_stale_weight_blocks_a_shift_but_not_a_rollback() {
    let mut desk = Desk::new(true);
    desk.healthy(25);
    desk.ms += 60_000;
    desk.press("n");
    assert_eq!(desk.model.shift, Shift::Idle);
    desk.press("R");
    assert!(desk.model.shift.has_dialog());
}

#[test]
fn errors_of_v3_block_more_traffic() {
    let mut desk = Desk::new(true);
    for _ in 0..10 {
        desk.probe(Endpoint::V3, "3.29.0", Err(ProbeError::Status(503)));
    }
    desk.healthy(0);
    desk.press("n");
    assert!(desk.model.screen.notice.as_ref().unwrap().0.contains("rounds failed"));
}

#[test]
fn real_requests_that_v3_fails_block_more_traffic_and_good_ones_let_it_through() {
    let mut desk = Desk::new(true);
    let count = |desk: &mut Desk, all, failed| {
        let fact = ControllerFact { v3_requests: all, v3_errors: failed, ..ControllerFact::default() };
        desk.fact(SourceId::Controller, Fact::Controller(fact));
    };
    for _ in 0..30 {
        desk.probe(Endpoint::V3, "3.29.0", Ok(std::time::Duration::from_millis(4)));
    }
    count(&mut desk, 70_000, 0);
    count(&mut desk, 70_040, 8);
    desk.healthy(25);
    desk.press("n");
    let text = desk.model.screen.notice.clone().unwrap().0;
    assert!(text.contains("8 of 40 requests in 2 min failed"), "{text}");
    desk.ms += 125_000;
    count(&mut desk, 70_140, 9);
    desk.healthy(25);
    desk.press("n");
    assert!(desk.model.shift.has_dialog(), "{:?}", desk.model.screen.notice);
}

#[test]
fn a_v3_that_hangs_blocks_within_two_rounds_and_is_named() {
    let mut desk = Desk::new(true);
    for _ in 0..100 {
        desk.probe(Endpoint::V3, "3.29.0", Ok(std::time::Duration::from_millis(4)));
    }
    desk.healthy(25);
    let hang = |desk: &mut Desk| {
        let trouble = Trouble::new(Kind::Timeout, "probe-v3", "no answer in 9s");
        desk.say(Msg::Fact(SourceId::Probe(Endpoint::V3), Box::new(Err(trouble))));
    };
    let told = |desk: &Desk| desk.model.findings.iter().any(|f| f.title == "v3 does not answer");
    hang(&mut desk);
    assert!(!told(&desk), "once may be an accident");
    hang(&mut desk);
    assert!(told(&desk), "{:?}", desk.model.findings);
    desk.press("n");
    let text = desk.model.screen.notice.clone().unwrap().0;
    assert!(text.contains("v3 does not answer: 2 rounds in a row"), "{text}");
    desk.probe(Endpoint::V3, "3.29.0", Ok(std::time::Duration::from_millis(4)));
    assert!(!told(&desk), "it answers again");
    let refused = Trouble::new(Kind::Forbidden, "pods", "port-forward is forbidden");
    desk.say(Msg::Fact(SourceId::Probe(Endpoint::V3), Box::new(Err(refused))));
    assert_eq!(desk.model.history.latency[Endpoint::V3 as usize].silent, 0, "not v3's fault");
}

#[test]
fn another_writer_is_named_on_screen() {
    let mut desk = Desk::new(true);
    desk.shift_to(25);
    let mut reverted = route(0);
    reverted.owner =
        Some(Owner { manager: "argocd-controller".into(), operation: "Update".into(), at: None });
    let effects = desk.routes(vec![reverted.clone()]);
    assert!(effects.contains(&Effect::Bell));
    let text = desk.model.screen.notice.clone().unwrap().0;
    assert!(text.contains("argocd-controller") && text.contains("25 %"), "{text}");
    assert!(!desk.routes(vec![reverted]).contains(&Effect::Bell), "said once");
}

#[test]
fn a_failing_source_is_logged_once_and_its_value_stays() {
    let mut desk = Desk::new(true);
    let lines = desk.model.log.len();
    for _ in 0..5 {
        let trouble = Trouble::new(Kind::Timeout, "Redis", "no answer in 2 s");
        desk.say(Msg::Fact(SourceId::Queues, Box::new(Err(trouble))));
    }
    assert_eq!(desk.model.log.len(), lines + 1);
    assert!(desk.model.facts.queues.value().is_some());
}

#[test]
fn a_lost_answer_is_unknown_and_exits_75() {
    let mut desk = Desk::new(true);
    desk.press("V");
    desk.say(Msg::DialogShown);
    desk.press("\n");
    let op = desk.model.shift.plan().unwrap().op;
    let lost = ApplyError::Lost(Trouble::new(Kind::Unreachable, "API server", "connection cut"));
    desk.say(Msg::Answer(Answer::Applied(op, Err(lost))));
    assert!(matches!(desk.model.shift, Shift::Unknown { .. }));
    assert!(desk.press("q").contains(&Effect::Quit(75)));
}

#[test]
fn an_interrupted_operation_is_unknown_and_can_be_rolled_back() {
    let mut desk = Desk::new(true);
    let plan = crate::shift::Plan::new(crate::shift::OpId(9), Intent::Shift, &[route(0)], Split::V3, None);
    let state = JournalState {
        unfinished: Some(Box::new(plan)),
        next_op: 10,
        intact: true,
        ..JournalState::default()
    };
    desk.say(Msg::Answer(Answer::Journal(state)));
    assert!(matches!(desk.model.shift, Shift::Unknown { .. }));
    desk.press("R");
    desk.say(Msg::DialogShown);
    assert!(writes(&desk.press("\n")));
}

#[test]
fn a_move_that_did_not_happen_is_not_asked_for_any_longer() {
    let mut desk = Desk::new(true);
    let plan = crate::shift::Plan::new(
        crate::shift::OpId(9),
        Intent::Shift,
        &[route(0)],
        Split::new(25).unwrap(),
        None,
    );
    let state = JournalState {
        unfinished: Some(Box::new(plan)),
        next_op: 10,
        intact: true,
        ..JournalState::default()
    };
    desk.say(Msg::Answer(Answer::Journal(state)));
    desk.routes(vec![route(0)]);
    assert!(matches!(desk.model.shift, Shift::Unknown { .. }), "it may yet land");
    desk.ms += 17_000;
    desk.routes(vec![route(0)]);
    assert!(matches!(desk.model.shift, Shift::Failed { .. }), "{:?}", desk.model.shift);
    assert_eq!(desk.model.intended, Some(Split::V2));
    assert!(!desk.model.findings.iter().any(|f| f.id == "weight-drift"), "{:?}", desk.model.findings);
}

#[test]
fn terminate_waits_for_the_write_in_flight() {
    let mut desk = Desk::new(true);
    desk.press("V");
    desk.say(Msg::DialogShown);
    desk.press("\n");
    let effects = desk.say(Msg::Terminate);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Quit(_))));
    let op = desk.model.shift.plan().unwrap().op;
    desk.say(Msg::Answer(Answer::Applied(op, Ok(()))));
    let effects = desk.say(Msg::Answer(Answer::Observed(op, Ok(vec![route(0)]))));
    assert!(effects.contains(&Effect::Quit(0)), "{effects:?}");
}

#[test]
fn leaving_an_unconfirmed_move_is_asked_once_and_nobody_is_kept() {
    let mut desk = Desk::new(true);
    let at = desk.now().wall;
    desk.model.pending = Some(Pending { op: crate::shift::OpId(3), back_to: Split::V2, at });
    assert!(desk.press("q").is_empty());
    assert!(desk.press("n").is_empty() && desk.model.screen.overlay.is_none());
    for again in [Key::plain(Code::Char('q')), Key::plain(Code::Enter), Key::ctrl('c')] {
        desk.press("q");
        assert_eq!(desk.say(Msg::Key(again)), [Effect::Quit(0)], "{again}");
        desk.model.screen.overlay = None;
    }
    desk.press("q");
    desk.say(Msg::Key(Key::plain(Code::Tab)));
    assert!(desk.press("\n").is_empty(), "Enter on Stay stays");
    desk.model.pending = None;
    assert_eq!(desk.press("q"), [Effect::Quit(0)]);
}

#[test]
fn another_operator_is_shown_and_taken_over_by_name_only() {
    let mut desk = Desk::new(true);
    desk.say(Msg::Answer(Answer::Lease(Lease::Other("eve@b2".into(), None))));
    desk.press("n");
    assert!(desk.model.screen.notice.as_ref().unwrap().0.contains("eve@b2"));
    assert!(!desk.press("Tbob\n").contains(&Effect::TakeLease));
    assert_eq!(desk.model.screen.overlay, Some(Overlay::TakeLease { typed: "bob".into() }), "to be mended");
    desk.say(Msg::Key(Key::plain(Code::Esc)));
    assert!(desk.press("Teve@b2\n").contains(&Effect::TakeLease));
}

#[test]
fn hold_takes_a_key_and_enter_and_blocks_shifts() {
    let mut desk = Desk::new(true);
    desk.press("H");
    assert!(desk.press("\n").is_empty(), "not before it was on screen");
    assert!(matches!(desk.model.screen.overlay, Some(Overlay::Hold { early: true, .. })), "and it says so");
    desk.say(Msg::DialogShown);
    assert!(desk.press("\n").contains(&Effect::Hold(true)));
    let hold = crate::cockpit::msg::Hold { by: "ops".into(), since: Now::at(0).wall };
    desk.say(Msg::Answer(Answer::Hold(Ok(Some(hold)))));
    desk.press("n");
    assert_eq!(desk.model.shift, Shift::Idle);
    desk.press("R");
    assert!(desk.model.shift.has_dialog(), "a hold never stops a rollback");
}

#[test]
fn a_frozen_view_keeps_its_readings_while_data_goes_on() {
    let mut desk = Desk::new(true);
    desk.press(" ");
    desk.routes(vec![route(50)]);
    assert_eq!(desk.model.shown().0.routes.value().unwrap()[0].stored.value, 0);
    assert_eq!(desk.model.split(), Split::new(50));
    desk.press(" ");
    assert_eq!(desk.model.shown().0.routes.value().unwrap()[0].stored.value, 50);
}

#[test]
fn a_shared_cause_is_logged_once_and_what_is_left_out_never() {
    let mut desk = Desk::new(false);
    desk.model.setup.off = vec![SourceId::Share];
    let before = desk.model.log.len();
    let left_out = Trouble::new(Kind::NotConfigured, "Langfuse public", "not configured");
    desk.say(Msg::Fact(SourceId::Share, Box::new(Err(left_out))));
    assert_eq!(desk.model.log.len(), before);
    let cause = || Trouble::new(Kind::NotConfigured, "kubeconfig", "it has no context \"prod\"");
    for id in [SourceId::Traffic, SourceId::Cluster, SourceId::Controller, SourceId::Traffic] {
        desk.say(Msg::Fact(id, Box::new(Err(cause()))));
    }
    assert_eq!(desk.model.log.len(), before + 1);
    let other = Trouble::new(Kind::Timeout, "Kubernetes", "no answer");
    desk.say(Msg::Fact(SourceId::Cluster, Box::new(Err(other))));
    assert_eq!(desk.model.log.len(), before + 2, "another kind is news");
}

#[test]
fn a_route_that_a_plan_leaves_out_is_not_lost_sight_of() {
    let mut desk = Desk::new(true);
    let other = |percent| {
        let mut other = route(percent);
        other.object.name = "langfuse-canary-otel".into();
        other
    };
    desk.routes(vec![route(0), other(5)]);
    desk.model.intended = Split::new(5);
    desk.shift_to(5);
    assert_eq!(desk.model.routes().len(), 2, "a rollback takes both back");
}

#[test]
fn a_dialog_that_writes_is_seen_anew_after_a_resize() {
    for again in [Msg::Resize(100, 30), Msg::Resumed] {
        let mut desk = Desk::new(true);
        desk.press("H");
        desk.say(Msg::DialogShown);
        desk.say(again);
        assert!(desk.press("\n").is_empty(), "not before it was on screen");
        desk.say(Msg::DialogShown);
        assert!(desk.press("\n").contains(&Effect::Hold(true)));
    }
}

#[test]
fn a_round_counts_once_for_each_kind_of_failure() {
    let mut desk = Desk::new(true);
    let bad = || Err(ProbeError::Status(503));
    let (accept, visible) = (Some(bad()), Some(Err(ProbeError::NotVisible)));
    let probe = Probe { endpoint: Endpoint::V3, version: None, health: bad(), accept, visible };
    desk.fact(SourceId::Probe(Endpoint::V3), Fact::Probe(probe));
    let errors = &desk.model.history.latency[Endpoint::V3 as usize].errors;
    assert_eq!(
        errors.iter().map(|(k, n)| (k.as_str(), *n)).collect::<Vec<_>>(),
        [("503", 1), ("not visible", 1)]
    );
}
