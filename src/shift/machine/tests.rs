//! Every state against every event, and the promises of the machine over random histories.

use super::*;
use crate::domain::{Kind, Split};
use crate::shift::plan::Intent;
use crate::shift::plan::tests::route;
use crate::shift::{Check, Verdict};

fn plan(intent: Intent, to: u8) -> Plan {
    Plan::new(OpId(1), intent, &[route(0)], Split::new(to).unwrap(), None)
}

fn trouble() -> Trouble {
    Trouble::new(Kind::Timeout, "API server", "no answer")
}

fn armed(intent: Intent, typed: &str, focus: Focus, shown: Option<Mono>) -> Shift {
    let expires = Mono::from_secs(100);
    Shift::Armed {
        plan: plan(intent, 25),
        typed: typed.into(),
        focus,
        shown,
        expires,
        early: false,
        behind: Box::default(),
    }
}

fn step(state: Shift, event: Event, at: Mono) -> (Shift, Vec<Act>) {
    state.step(event, &Guards::default(), at)
}

#[test]
fn a_forward_shift_walks_to_done() {
    let t = Mono::from_secs;
    let (s, acts) = step(Shift::Idle, Event::Propose(plan(Intent::Shift, 25)), t(0));
    assert!(matches!(acts[0], Act::DryRun(_)));
    let (s, _) = step(s, Event::DryRun(OpId(1), Ok(())), t(1));
    let (s, _) = step(s, Event::Shown, t(1));
    let (s, _) = step(s, Event::Type('2'), t(2));
    let (s, _) = step(s, Event::Type('5'), t(2));
    let (s, acts) = step(s, Event::Confirm, t(3));
    assert!(matches!(acts[0], Act::Apply(_)), "{s:?}");
    let (s, acts) = step(s, Event::Applied(OpId(1), Ok(())), t(4));
    assert_eq!(acts[0], Act::Observe(OpId(1)));
    let (s, _) = step(s, Event::Observed(OpId(1), vec![route(25)]), t(5));
    assert!(matches!(s, Shift::Done { .. }));
}

#[test]
fn a_rollback_takes_two_keys_from_every_state() {
    let p = || plan(Intent::Shift, 25);
    let states = [
        Shift::Idle,
        Shift::Proposed { plan: p(), deadline: Mono::from_secs(9), early: false },
        armed(Intent::Shift, "2", Focus::Cancel, None),
        Shift::Applying { plan: p(), deadline: Mono::from_secs(9) },
        Shift::Verifying { plan: p(), acknowledged: Mono::from_secs(1), deadline: Mono::from_secs(9) },
        Shift::Unknown { plan: p(), why: Lost::NotObserved, since: Mono::from_secs(1) },
        Shift::Done { plan: p(), at: Mono::from_secs(1) },
        Shift::Failed { plan: p(), trouble: trouble() },
    ];
    let blocked =
        Guards(vec![Check { id: "x", label: "x", verdict: Verdict::Block, evidence: String::new() }]);
    for state in states {
        let name = format!("{state:?}");
        let (s, _) = state.step(Event::Propose(plan(Intent::Rollback, 0)), &blocked, Mono::from_secs(2));
        let (s, _) = s.step(Event::Shown, &blocked, Mono::from_secs(2));
        let (_, acts) = s.step(Event::Confirm, &blocked, Mono::from_secs(3));
        assert!(matches!(acts.first(), Some(Act::Apply(p)) if p.intent == Intent::Rollback), "from {name}");
    }
}

#[test]
fn keys_before_the_dialog_was_seen_are_dropped() {
    for (shown, at) in [(None, 5_000), (Some(5_000), 5_100), (Some(5_000), 5_399)] {
        let state = armed(Intent::Rollback, "", Focus::Go, shown.map(Mono::from_millis));
        let (s, acts) = step(state, Event::Confirm, Mono::from_millis(at));
        assert!(acts.is_empty() && matches!(s, Shift::Armed { .. }));
    }
    let state = armed(Intent::Rollback, "", Focus::Go, Some(Mono::from_millis(5_000)));
    assert_eq!(step(state, Event::Confirm, Mono::from_millis(5_400)).1.len(), 2);
}

#[test]
fn digits_that_came_too_early_are_told_until_one_is_heard() {
    let t = Mono::from_millis;
    let early =
        |s: &Shift| matches!(s, Shift::Proposed { early: true, .. } | Shift::Armed { early: true, .. });
    let (s, _) = step(Shift::Idle, Event::Propose(plan(Intent::Shift, 25)), t(0));
    assert!(!early(&s));
    let (s, _) = step(s, Event::Type('2'), t(50));
    let (s, _) = step(s, Event::DryRun(OpId(1), Ok(())), t(90));
    assert!(early(&s), "typed while the server was asked");
    let (s, _) = step(s, Event::Shown, t(100));
    let (s, _) = step(s, Event::Type('5'), t(300));
    assert!(early(&s));
    let (s, _) = step(s, Event::Type('2'), t(600));
    assert!(!early(&s));
    assert!(matches!(s, Shift::Armed { ref typed, .. } if typed == "2"), "{s:?}");
}

#[test]
fn the_wrong_number_never_writes() {
    let seen = Some(Mono::from_secs(1));
    let (s, _) = step(armed(Intent::Shift, "2", Focus::Cancel, seen), Event::Type('6'), Mono::from_secs(3));
    let (s, _) = step(s, Event::Switch, Mono::from_secs(3));
    let (s, acts) = step(s, Event::Confirm, Mono::from_secs(3));
    assert!(acts.is_empty());
    assert!(matches!(s, Shift::Armed { ref typed, .. } if typed.is_empty()));
    let (s, _) = step(s, Event::Confirm, Mono::from_secs(3));
    assert_eq!(s, Shift::Idle);
}

#[test]
fn an_armed_dialog_expires() {
    let (s, _) = step(armed(Intent::Shift, "25", Focus::Go, None), Event::Tick, Mono::from_secs(100));
    assert_eq!(s, Shift::Idle);
}

#[test]
fn guards_are_asked_again_when_it_fires() {
    let guards = Guards(vec![Check {
        id: "hold",
        label: "not held",
        verdict: Verdict::Block,
        evidence: "held".into(),
    }]);
    let state = armed(Intent::Shift, "25", Focus::Go, Some(Mono::from_secs(1)));
    let (s, acts) = state.step(Event::Confirm, &guards, Mono::from_secs(3));
    assert!(acts.is_empty() && matches!(s, Shift::Failed { .. }));
}

#[test]
fn a_lost_answer_is_unknown_until_it_is_seen() {
    let state = Shift::Applying { plan: plan(Intent::Shift, 25), deadline: Mono::from_secs(10) };
    let (s, acts) = step(state, Event::Tick, Mono::from_secs(10));
    assert!(matches!(s, Shift::Unknown { .. }));
    assert_eq!(acts, [Act::Observe(OpId(1))]);
    let (s, _) = step(s, Event::Observed(OpId(1), vec![route(0)]), Mono::from_secs(11));
    assert!(matches!(s, Shift::Unknown { .. }), "a write still on its way may yet land");
    let (refused, _) =
        s.clone().step(Event::Propose(plan(Intent::Shift, 50)), &Guards::default(), Mono::from_secs(11));
    assert_eq!(refused, s, "no forward shift from Unknown");
    let settled = Mono::from_secs(10).after(SETTLE);
    let (late, _) = step(s.clone(), Event::Observed(OpId(1), vec![route(0)]), settled);
    assert!(matches!(late, Shift::Failed { .. }), "after the server's own deadline it cannot land any more");
    let (s, _) = step(s, Event::Observed(OpId(1), vec![route(25)]), Mono::from_secs(12));
    assert!(matches!(s, Shift::Done { .. }));
}

#[test]
fn a_dialog_that_is_cancelled_forgets_no_write() {
    let t = Mono::from_secs;
    let unknown = Shift::Unknown { plan: plan(Intent::Shift, 25), why: Lost::NotObserved, since: t(1) };
    let back = || {
        let mut plan = plan(Intent::Rollback, 0);
        plan.op = OpId(2);
        plan
    };
    let (armed, _) = step(unknown.clone(), Event::Propose(back()), t(2));
    assert!(matches!(armed, Shift::Armed { .. }));
    let (s, _) = step(armed.clone(), Event::Cancel, t(3));
    assert_eq!(s, unknown, "Esc is no answer to a lost write");
    let (s, _) = step(armed, Event::Tick, t(100));
    assert_eq!(s, unknown, "nor is a dialog that closed by itself");
    let sent = Shift::Applying { plan: plan(Intent::Shift, 25), deadline: t(10) };
    let (s, _) = step(sent, Event::Propose(back()), t(2));
    assert!(s.in_flight());
    let (s, acts) = step(s, Event::Applied(OpId(1), Ok(())), t(3));
    assert_eq!(acts[0], Act::Observe(OpId(1)), "its answer is heard beneath the dialog");
    let (s, _) = step(s, Event::Observed(OpId(1), vec![route(25)]), t(4));
    let (s, _) = step(s, Event::Cancel, t(5));
    assert!(matches!(s, Shift::Done { .. }), "{s:?}");
}

#[test]
fn another_writer_right_after_the_acknowledgement_is_named() {
    let state = Shift::Verifying {
        plan: plan(Intent::Shift, 25),
        acknowledged: Mono::from_secs(1),
        deadline: Mono::from_secs(9),
    };
    let mut reverted = route(0);
    reverted.owner =
        Some(Owner { manager: "argocd-controller".into(), operation: "Update".into(), at: None });
    let (s, _) = step(state, Event::Observed(OpId(1), vec![reverted]), Mono::from_secs(2));
    let Shift::Failed { trouble, .. } = s else { panic!("{s:?}") };
    assert!(trouble.to_string().contains("argocd-controller"), "{trouble}");
}

#[test]
fn answers_of_another_operation_change_nothing() {
    let state = Shift::Applying { plan: plan(Intent::Shift, 25), deadline: Mono::from_secs(9) };
    let (s, acts) = step(state.clone(), Event::Applied(OpId(2), Ok(())), Mono::from_secs(2));
    assert_eq!((s, acts.len()), (state, 0));
}

mod promises {
    use super::*;
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            (0u64..3, any::<bool>(), 0u8..=100).prop_map(|(op, back, to)| {
                let intent = if back { Intent::Rollback } else { Intent::Shift };
                let mut plan = plan(intent, to);
                plan.op = OpId(op);
                Event::Propose(plan)
            }),
            (0u64..3, any::<bool>())
                .prop_map(|(op, ok)| Event::DryRun(OpId(op), if ok { Ok(()) } else { Err(trouble()) })),
            Just(Event::Shown),
            proptest::char::range('0', '9').prop_map(Event::Type),
            Just(Event::Erase),
            Just(Event::Switch),
            Just(Event::Confirm),
            Just(Event::Cancel),
            (0u64..3, 0u8..4).prop_map(|(op, k)| Event::Applied(
                OpId(op),
                match k {
                    0 => Ok(()),
                    1 => Err(ApplyError::Refused(trouble())),
                    2 => Err(ApplyError::Lost(trouble())),
                    _ => Err(ApplyError::Conflict(trouble(), None)),
                }
            )),
            (0u64..3, 0u8..=100).prop_map(|(op, at)| Event::Observed(OpId(op), vec![route(at)])),
            Just(Event::Tick),
        ]
    }

    proptest! {
        #[test]
        fn no_write_without_a_dialog_seen_for_its_delay(events in proptest::collection::vec((event(), 0u64..900), 1..200)) {
            let (mut state, mut at) = (Shift::Idle, Mono::default());
            for (event, ms) in events {
                at = at.after(Duration::from_millis(ms));
                let before = state.clone();
                let (after, acts) = state.step(event, &Guards::default(), at);
                let writes: Vec<_> = acts.iter().filter_map(|a| if let Act::Apply(p) = a { Some(p) } else { None }).collect();
                prop_assert!(writes.len() <= 1);
                if let Some(write) = writes.first() {
                    let Shift::Armed { plan, typed, shown, .. } = &before else { return Err(TestCaseError::fail("write outside Armed")) };
                    prop_assert_eq!(plan, *write);
                    prop_assert!(at.since(shown.unwrap()) >= ARM_DELAY);
                    prop_assert!(plan.intent == Intent::Rollback || dialog::typed_target(plan, typed));
                }
                state = after;
            }
        }
    }
}
