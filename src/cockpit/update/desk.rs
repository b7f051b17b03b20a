//! A cockpit without a terminal, for the tests of the room: messages in, model and effects out.

use super::*;
use crate::cockpit::fixtures::{cluster, setup};
use crate::cockpit::key::{Code, Key};
use crate::cockpit::msg::{Answer, JournalState, Lease};
use crate::domain::latency::{Endpoint, Probe, ProbeError};
use crate::domain::queue::QueuesFact;
use crate::domain::traffic::Route;
use crate::domain::{Fact, SourceId};
use crate::shift::Shift;
use crate::shift::plan::tests::route;

/// A cockpit and its clock.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) model: Model,
    pub(super) ms: u64,
}

impl Desk {
    pub(super) fn new(armed: bool) -> Self {
        let mut desk = Self { model: Model::new(setup(armed)), ms: 1_000 };
        desk.model.lease = Lease::Ours;
        desk.model.journal = JournalState { intact: true, ..JournalState::default() };
        desk.healthy(0);
        desk
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: Mono::from_millis(self.ms), wall: Now::at(self.ms / 1_000).wall }
    }

    pub(super) fn say(&mut self, msg: Msg) -> Vec<Effect> {
        self.ms += 50;
        let (now, shown) = (self.now(), matches!(msg, Msg::DialogShown));
        let effects = update(&mut self.model, Envelope { now, msg });
        self.ms += if shown { 450 } else { 0 };
        effects
    }

    pub(super) fn press(&mut self, keys: &str) -> Vec<Effect> {
        let key = |c| {
            if c == '\n' { Key::plain(Code::Enter) } else { Key::plain(Code::Char(c)) }
        };
        keys.chars().flat_map(|c| self.say(Msg::Key(key(c)))).collect()
    }

    pub(super) fn key(&mut self, code: Code) -> Vec<Effect> {
        self.say(Msg::Key(Key::plain(code)))
    }

    pub(super) fn fact(&mut self, id: SourceId, fact: Fact) -> Vec<Effect> {
        self.say(Msg::Fact(id, Box::new(Ok(fact))))
    }

    pub(super) fn routes(&mut self, routes: Vec<Route>) -> Vec<Effect> {
        self.fact(SourceId::Traffic, Fact::Traffic(routes))
    }

    /// Every source has just said that all is well, with the route at `percent`.
    pub(super) fn healthy(&mut self, percent: u8) {
        self.fact(SourceId::Cluster, cluster(|_, _| ()));
        self.fact(SourceId::Queues, Fact::Queues(QueuesFact::default()));
        for (endpoint, version) in [(Endpoint::V2, "2.95.12"), (Endpoint::V3, "3.29.0")] {
            self.probe(endpoint, version, Ok(std::time::Duration::from_millis(4)));
        }
        self.routes(vec![route(percent)]);
    }

    pub(super) fn probe(
        &mut self,
        endpoint: Endpoint,
        version: &str,
        health: Result<std::time::Duration, ProbeError>,
    ) {
        let probe = Probe { endpoint, version: Some(version.into()), health, accept: None, visible: None };
        self.fact(SourceId::Probe(endpoint), Fact::Probe(probe));
    }

    /// Lets the pending write be acknowledged and seen at `percent`.
    pub(super) fn acknowledge(&mut self, percent: u8) {
        let op = self.model.shift.plan().unwrap().op;
        self.say(Msg::Answer(Answer::Applied(op, Ok(()))));
        self.say(Msg::Answer(Answer::Observed(op, Ok(vec![route(percent)]))));
    }

    /// A whole forward shift by keys.
    pub(super) fn shift_to(&mut self, to: u8) {
        self.press("s");
        self.press(&format!("{to}\n"));
        let op = self.model.shift.plan().unwrap().op;
        self.say(Msg::Answer(Answer::DryRun(op, Ok(()))));
        self.say(Msg::DialogShown);
        let effects = self.press(&format!("{to}\n"));
        assert!(writes(&effects), "{:?}", self.model.shift);
        self.acknowledge(to);
        assert!(matches!(self.model.shift, Shift::Done { .. }), "{:?}", self.model.shift);
    }
}

pub(super) fn writes(effects: &[Effect]) -> bool {
    effects.iter().any(|e| matches!(e, Effect::Apply(_)))
}
