//! An operator without a screen: the cockpit's model, sources, actuators and lease, on a clock that the test owns.
//!
//! One rule: everything but the loop is the program's own.

use std::time::Duration;

use cutover::actuators::{Actor, Actuators, Journal};
use cutover::clients::kube::connect;
use cutover::clients::target::{KubeTarget, Targets};
use cutover::cockpit::model::{Setup, Strategy};
use cutover::cockpit::msg::{Answer, Lease};
use cutover::cockpit::update::{intent, moves, update};
use cutover::cockpit::{Effect, Envelope, Model, Msg};
use cutover::domain::{Mono, Now, SourceId, Split};
use cutover::shift::machine::ARM_DELAY;
use cutover::shift::{Event, Intent, Ladder, Shift};
use cutover::sources::{Handle, SourceSet};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// When the test's clock began, by the wall.
const EPOCH: i64 = 1_767_225_600;

thread_local! {
    static START: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) };
}

/// Starts the clock of this thread's storm.
pub fn start_clock() {
    START.set(Some(Instant::now()));
}

fn elapsed() -> Duration {
    START.get().map_or(Duration::ZERO, |start| start.elapsed())
}

/// The wall clock of the storm.
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::from_second(EPOCH).unwrap() + elapsed()
}

fn now() -> Now {
    Now { mono: Mono(elapsed()), wall: wall() }
}

/// One person with a cockpit.
pub struct Operator {
    pub model: Model,
    pub journal: Journal,
    /// Every operation that was said to be done: its number and its split.
    pub done: Vec<(u64, u8)>,
    inbox: mpsc::Receiver<Msg>,
    sources: Handle,
    actuators: Actuators,
    tasks: JoinSet<Option<Answer>>,
    wakes: Vec<Mono>,
}

impl Operator {
    /// Sits down on a host of their own, with a journal of their own.
    pub async fn sit_down(name: &str, kubeconfig: &std::path::Path, journal: &std::path::Path) -> Self {
        let target = KubeTarget { kubeconfig: Some(kubeconfig.to_owned()), ..KubeTarget::default() };
        let kube = connect(&target).await.unwrap();
        let targets = Targets { kube: Some(target), ..Targets::default() };
        let (to, inbox) = mpsc::channel(256);
        let sources = SourceSet::spawn(targets, &to);
        let actor = Actor { user: name.into(), host: format!("bastion-{name}"), pid: 1, ..Actor::default() };
        let journal = Journal::open(journal).unwrap();
        let actuators = Actuators::new(kube.client, "lf", journal.clone(), actor.clone(), wall);
        let setup = Setup {
            environment: "storm".into(),
            production: false,
            context: "rehearsal".into(),
            namespace: "lf".into(),
            strategy: Strategy::ShiftFirst,
            ladder: Ladder::default(),
            armed: true,
            operator: actor.name(),
            off: SourceId::ALL
                .into_iter()
                .filter(|id| !matches!(id, SourceId::Cluster | SourceId::Traffic))
                .collect(),
            started: now(),
        };
        let mut model = Model::new(setup);
        model.journal = cutover::actuators::journal::replay(&journal).unwrap();
        let lease = actuators.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            lease.keep_lease(true, to).await;
            None
        });
        Self { model, journal, done: Vec::new(), inbox, sources, actuators, tasks, wakes: Vec::new() }
    }

    fn say(&mut self, msg: Msg) {
        let was = matches!(self.model.shift, Shift::Done { .. });
        let effects = update(&mut self.model, Envelope { now: now(), msg });
        if let (false, Shift::Done { plan, .. }) = (was, &self.model.shift) {
            self.done.push((plan.op.0, plan.to.percent()));
        }
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::PollNow(id) => self.sources.poll_now(id),
                Effect::WakeAt(at) => self.wakes.push(at),
                Effect::Bell | Effect::Repaint | Effect::Suspend | Effect::Quit(_) => {}
                effect => {
                    self.tasks.spawn(self.actuators.clone().perform(effect, vec!["a storm".into()]));
                }
            }
        }
        if matches!(self.model.shift, Shift::Armed { shown: None, .. }) {
            self.say(Msg::DialogShown);
        }
    }

    /// Lets the world in for this long, or until `done`; says whether it was.
    pub async fn wait(&mut self, limit: Duration, done: impl Fn(&Model) -> bool) -> bool {
        let end = now().mono.after(limit);
        loop {
            if done(&self.model) {
                return true;
            }
            let mono = now().mono;
            if mono >= end {
                return false;
            }
            let next = self.wakes.iter().copied().min().map_or(end, |at| at.min(end));
            tokio::select! {
                Some(ended) = self.tasks.join_next() => {
                    if let Some(answer) = ended.unwrap() {
                        self.say(Msg::Answer(answer));
                    }
                }
                Some(msg) = self.inbox.recv() => self.say(msg),
                () = tokio::time::sleep(next.since(mono)) => {
                    let due = now().mono;
                    let before = self.wakes.len();
                    self.wakes.retain(|at| *at > due);
                    if self.wakes.len() < before {
                        self.say(Msg::Tick);
                    }
                }
            }
        }
    }

    /// Asks for a move; where the guards allow it, answers its dialog and waits for how it ends.
    pub async fn shift(&mut self, to: Split) {
        let effects = intent::shift_to(&mut self.model, to, None, now());
        self.perform(effects);
        self.answer().await;
    }

    /// To the last safe split, or all the way.
    pub async fn roll_back(&mut self, all: bool) {
        if intent::can_roll_back(&self.model, now()).is_err() {
            return;
        }
        let go = if all { intent::roll_back_all } else { intent::roll_back };
        let effects = go(&mut self.model, now());
        self.perform(effects);
        self.answer().await;
    }

    /// Reads the dialog and confirms it.
    async fn answer(&mut self) {
        self.wait(Duration::from_secs(15), |m| !matches!(m.shift, Shift::Proposed { .. })).await;
        let Shift::Armed { plan, .. } = &self.model.shift else { return };
        let typed = if plan.intent == Intent::Shift { plan.to.percent().to_string() } else { String::new() };
        self.wait(ARM_DELAY + Duration::from_millis(100), |_| false).await;
        for event in typed.chars().map(Event::Type).chain([Event::Confirm]) {
            let effects = moves::step(&mut self.model, event, now());
            self.perform(effects);
        }
        self.wait(Duration::from_secs(40), |m| !m.shift.in_flight()).await;
    }

    /// Takes the right to write from whoever has it, as often as it takes: the clock of a test does not wait for an
    /// answer that is on its way.
    pub async fn take_over(&mut self) {
        for _ in 0..10 {
            if !matches!(self.model.lease, Lease::Other(..)) {
                return;
            }
            self.perform(vec![Effect::TakeLease]);
            self.wait(Duration::from_secs(10), |m| m.lease == Lease::Ours).await;
        }
    }
}
