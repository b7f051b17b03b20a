//! The cockpit without a screen: sources and actuators around the one model, for verbs that run once.
//!
//! One rule: the model changes only through `cockpit::update`, exactly as on the screen.

use std::collections::BTreeSet;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::exit::Exit;
use super::print;
use crate::actuators::journal::replay;
use crate::actuators::lease::Keeper;
use crate::actuators::{Actor, Actuators, Journal};
use crate::clients::kube::{self as cluster, Kube};
use crate::cockpit::guards::guards;
use crate::cockpit::msg::{Answer, Hold, JournalState, Lease};
use crate::cockpit::update::update;
use crate::cockpit::{Effect, Envelope, Model, Msg};
use crate::config::{self, Config, Vault};
use crate::domain::{Kind, Now, SourceId, Trouble};
use crate::routers;
use crate::runtime::clock::wall;
use crate::runtime::signals::Signals;
use crate::runtime::{Clock, session};
use crate::shift::Plan;
use crate::shift::machine::APPLY_DEADLINE;
use crate::sources::{Handle, SourceSet};

/// Messages that may wait.
const INBOX: usize = 256;
/// Giving the lease back may take this long.
const FAREWELL: Duration = Duration::from_secs(2);

/// How a desk was left by a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    /// What was waited for came.
    Done,
    /// It did not in time.
    Late,
    /// The program was asked to end.
    Interrupted,
}

/// The model and what it is connected to.
pub struct Desk {
    clock: Clock,
    /// The state, as the screen would have it.
    pub model: Model,
    inbox: mpsc::Receiver<Msg>,
    to: mpsc::Sender<Msg>,
    sources: Option<Handle>,
    kube: Option<Kube>,
    actuators: Option<Actuators>,
    keeper: Option<Keeper>,
    tasks: JoinSet<Option<Answer>>,
    heard: BTreeSet<SourceId>,
    wake: Option<crate::domain::Mono>,
    signals: Option<Signals>,
    told: Vec<Trouble>,
}

impl Desk {
    /// A desk for a configuration; `armed` when this verb may write. Opens journal and connections; a cluster
    /// that does not answer is an error only for verbs that act.
    pub async fn open(clock: Clock, config: &Config, armed: bool, acts: bool) -> Result<Self, Exit> {
        let actor = Actor::from_env(|name| std::env::var(name).ok());
        let (vault, link) = connect(config).await;
        let built = config::targets(config, &vault);
        for (section, key) in &built.missing {
            print::err(format!("[{section}] is left out: the Kubernetes Secret {key} could not be read"));
        }
        let mut setup = session::setup(config, &built.targets, &actor, clock);
        setup.armed = armed;
        let (to, inbox) = mpsc::channel(INBOX);
        let mut desk = Self {
            clock,
            model: Model::new(setup),
            inbox,
            to,
            sources: None,
            kube: None,
            actuators: None,
            keeper: None,
            tasks: JoinSet::new(),
            heard: BTreeSet::new(),
            wake: None,
            signals: Signals::listen().ok(),
            told: Vec::new(),
        };
        let path = session::journal_path(config, &desk.model.setup.context, &desk.model.setup.namespace);
        match (acts, link) {
            (true, link) => desk.act(config, path, actor, link).await?,
            (false, link) => desk.look(&path, &actor, link),
        }
        desk.sources = Some(SourceSet::spawn(built.targets, &desk.to));
        Ok(desk)
    }

    /// Verbs that act need the journal and the cluster.
    async fn act(
        &mut self,
        config: &Config,
        path: PathBuf,
        actor: Actor,
        link: Result<Kube, Trouble>,
    ) -> Result<(), Exit> {
        let (state, journal) = Journal::open(path).and_then(|j| Ok((replay(&j)?, j))).map_err(|error| {
            print::err(error.to_string());
            Exit::Usage
        })?;
        self.say(Msg::Answer(Answer::Journal(state)));
        let kube = link.map_err(|trouble| {
            print::err(trouble.to_string());
            Exit::of(&trouble)
        })?;
        let mut actuators = Actuators::new(kube.client.clone(), &kube.namespace, journal, actor, wall)
            .watched_by(session::watchdog(config));
        actuators.known_as(session::reviewed(&kube.client).await);
        self.actuators = Some(actuators);
        self.kube = Some(kube);
        Ok(())
    }

    /// Verbs that look write nothing, not even an empty journal, and go on without a cluster.
    fn look(&mut self, path: &Path, actor: &Actor, link: Result<Kube, Trouble>) {
        let fresh = JournalState {
            path: path.display().to_string(),
            intact: true,
            next_op: 1,
            ..JournalState::default()
        };
        let state = if path.exists() { Journal::open(path).and_then(|j| replay(&j)) } else { Ok(fresh) };
        match state {
            Ok(state) => self.say(Msg::Answer(Answer::Journal(state))),
            Err(error) => print::err(error.to_string()),
        }
        match link {
            Ok(kube) => {
                self.keeper = Some(Keeper::new(kube.client.clone(), &kube.namespace, actor.identity()));
                self.kube = Some(kube);
            }
            Err(trouble) => self.tell(&trouble),
        }
    }

    /// Says what is wrong; a cause that many share is said once.
    pub fn tell(&mut self, trouble: &Trouble) {
        if !self.told.contains(trouble) {
            print::err(trouble.to_string());
            self.told.push(trouble.clone());
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// Tells the model something and carries out what it wishes.
    pub fn say(&mut self, msg: Msg) {
        if let Msg::Fact(id, _) = &msg {
            self.heard.insert(*id);
        }
        let now = self.now();
        let effects = update(&mut self.model, Envelope { now, msg });
        self.perform(effects);
    }

    /// Carries out effects; what belongs to a screen is left out.
    pub fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::PollNow(id) => {
                    if let Some(sources) = &self.sources {
                        sources.poll_now(id);
                    }
                }
                Effect::WakeAt(at) => self.wake = Some(self.wake.map_or(at, |w| w.min(at))),
                Effect::Bell | Effect::Repaint | Effect::Suspend | Effect::Quit(_) => {}
                effect => {
                    let evidence = match &effect {
                        Effect::Apply(plan) => evidence(&self.model, self.now(), plan.to),
                        _ => Vec::new(),
                    };
                    if let Some(actuators) = self.actuators.clone() {
                        self.tasks.spawn(actuators.perform(effect, evidence));
                    }
                }
            }
        }
    }

    /// One look at lease and hold; takes the lease when `take`.
    pub async fn lease(&mut self, take: bool) {
        let (lease, hold) = match (&self.actuators, &self.keeper) {
            (Some(actuators), _) => actuators.lease(take).await,
            (None, Some(keeper)) => match keeper.look(wall()).await {
                Ok(seen) => (seen.lease, Some(seen.hold)),
                Err(trouble) => (Lease::Failed(trouble), None),
            },
            (None, None) => return,
        };
        self.say(Msg::Answer(Answer::Lease(lease)));
        if let Some(hold) = hold {
            self.say(Msg::Answer(Answer::Hold(Ok(hold))));
        }
    }

    /// The server's word on a plan; `None` without a connection.
    pub async fn dry_run(&self, plan: &Plan) -> Option<Result<(), Trouble>> {
        let client = &self.kube.as_ref()?.client;
        let all = async {
            for patch in &plan.patches {
                routers::of(patch.router).dry_run(client, patch).await?;
            }
            Ok(())
        };
        let late = || Trouble::new(Kind::Timeout, "dry run", "the API server gave no answer in time");
        Some(tokio::time::timeout(APPLY_DEADLINE, all).await.unwrap_or_else(|_| Err(late())))
    }

    /// Sets the hold or takes it off; `None` without a connection.
    pub async fn hold(&self, on: bool) -> Option<Result<Option<Hold>, Trouble>> {
        Some(self.actuators.as_ref()?.hold(on).await)
    }

    /// Lets messages in until `done`, or until `limit` is over.
    pub async fn wait(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Waited {
        let end = self.now().mono.after(limit);
        while !done(self) {
            let now = self.now().mono;
            if now >= end {
                return Waited::Late;
            }
            let next = self.wake.map_or(end, |w| w.min(end));
            let signal = async {
                match &mut self.signals {
                    Some(signals) => signals.end().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = signal => return Waited::Interrupted,
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Some(answer)) => self.say(Msg::Answer(answer)),
                    Ok(None) => {}
                    Err(error) => {
                        let cause = crate::domain::text::clean(&error.to_string());
                        self.say(Msg::TaskDied { task: "actuators".into(), cause });
                    }
                },
                Some(msg) = self.inbox.recv() => self.say(msg),
                () = tokio::time::sleep_until(self.clock.instant(next)) => {
                    if self.wake.is_some_and(|w| w <= self.now().mono) {
                        self.wake = None;
                        self.say(Msg::Tick);
                    }
                }
            }
        }
        Waited::Done
    }

    /// Waits until each of `ids` that is configured has answered once, well or badly.
    pub async fn gather(&mut self, ids: &[SourceId], limit: Duration) -> Waited {
        let wanted: Vec<_> = ids.iter().copied().filter(|id| !self.model.setup.off.contains(id)).collect();
        self.wait(limit, |desk| wanted.iter().all(|id| desk.heard.contains(id))).await
    }

    /// Waits for journal lines and Events, says which of them was not taken, gives the lease back, and ends the
    /// sources.
    pub async fn close(mut self) {
        let last = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok(Some(Answer::Said(Err(trouble)))) = ended {
                    self.tell(&trouble);
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, last).await;
        if let Some(actuators) = &self.actuators
            && self.model.setup.armed
        {
            let _ = tokio::time::timeout(FAREWELL, actuators.release()).await;
        }
        if let Some(sources) = self.sources.take() {
            sources.shutdown().await;
        }
    }
}

/// What the operator could have seen, for the journal.
fn evidence(model: &Model, now: Now, to: crate::domain::Split) -> Vec<String> {
    let checks = guards(model, now, to).0;
    checks.iter().map(|c| format!("{}: {:?}: {}", c.label, c.verdict, c.evidence)).collect()
}

/// The cluster, and the Secrets that the configuration is in.
async fn connect(config: &Config) -> (Vault, Result<Kube, Trouble>) {
    let kube = match cluster::connect(&config::targets::kube(config)).await {
        Ok(kube) => kube,
        Err(trouble) => return (Vault::new(), Err(trouble)),
    };
    let keys = config.secrets();
    let (vault, troubles) = session::read_secrets(&kube.client, &kube.namespace, &keys).await;
    for trouble in troubles {
        print::err(trouble.to_string());
    }
    (vault, Ok(kube))
}
