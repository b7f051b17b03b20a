//! One sitting at the cockpit: the model from the configuration, connections behind it, the loop in front.
//!
//! One rule: the screen is there before the first answer of any server, and stays when there is none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::actuators::journal::replay;
use crate::actuators::verb::Verbs;
use crate::actuators::{Actor, Actuators, Journal, JournalError};
use crate::clients::kube::{self as cluster, Kube};
use crate::clients::target::{KubeTarget, Targets};
use crate::cockpit::guards::guards;
use crate::cockpit::model::{Setup, Strategy};
use crate::cockpit::msg::Answer;
use crate::cockpit::{Effect, Model, Msg};
use crate::config::{self, Config, Vault};
use crate::domain::latency::Endpoint;
use crate::domain::store::StoreKind;
use crate::domain::{Kind, SourceId, Trouble};
use crate::shift::Ladder;
use crate::shift::machine::ApplyError;
use crate::sources::{Handle, SourceSet};
use crate::ui::Look;

use super::clock::{Clock, wall};
use super::cockpit::{self, Task, Wiring};
use super::terminal::{Terminal, TerminalError};
use super::trace;

/// Messages that may wait for the loop.
const INBOX: usize = 256;
/// Between two tries to reach the API server at the start.
const PAUSE: Duration = Duration::from_secs(2);
/// Giving the lease back may take this long at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// Why there is no cockpit.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The terminal cannot be used.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// What is shared between the loop and the connections.
struct Shared {
    actuators: OnceLock<Actuators>,
    sources: Mutex<Option<Handle>>,
}

/// The journal of a configuration's cluster and namespace.
pub fn journal_path(config: &Config, context: &str, namespace: &str) -> PathBuf {
    let safe = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_");
    config.journal_dir.join(safe(context)).join(safe(namespace)).join("journal.jsonl")
}

/// Context and namespace as the kubeconfig has them where the configuration does not; empty when it cannot be
/// read: the connection will say why.
pub fn place(target: &KubeTarget) -> (String, String) {
    let read = match &target.kubeconfig {
        Some(path) => ::kube::config::Kubeconfig::read_from(path),
        None => ::kube::config::Kubeconfig::read(),
    };
    let kubeconfig = read.unwrap_or_default();
    let context = target.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
    let named = kubeconfig.contexts.iter().find(|c| c.name == context).and_then(|c| c.context.clone());
    let namespace = target.namespace.clone().or_else(|| named?.namespace);
    (context, namespace.unwrap_or_else(|| "default".into()))
}

/// The flags that start this program for the same cluster and journal.
pub fn flags(config: &Config) -> Vec<String> {
    let target = config::targets::kube(config);
    let (context, namespace) = place(&target);
    let kubeconfig = target.kubeconfig.map(|p| p.display().to_string());
    let file = config.file.as_ref().map(|p| p.display().to_string());
    let given = [
        ("--config", file),
        ("--kubeconfig", kubeconfig),
        ("--context", Some(context)),
        ("--namespace", Some(namespace)),
    ];
    let given = given
        .into_iter()
        .filter_map(|(flag, value)| value.filter(|v| !v.is_empty()).map(|v| [flag.to_owned(), v]));
    given.flatten().collect()
}

/// The arguments that start it as a watchdog.
pub fn watchdog(config: &Config) -> Vec<String> {
    let mut arguments = flags(config);
    arguments.push("watchdog".into());
    arguments
}

/// What the model is told at the start.
pub fn setup(config: &Config, targets: &Targets, actor: &Actor, clock: Clock) -> Setup {
    let (context, namespace) = place(&config::targets::kube(config));
    Setup {
        environment: config.environment.name.clone(),
        production: config.environment.production,
        context,
        namespace,
        strategy: if config.traffic.backfill_first { Strategy::BackfillFirst } else { Strategy::ShiftFirst },
        ladder: Ladder::new(&config.traffic.ladder).unwrap_or_default(),
        armed: config.environment.arm,
        operator: actor.name(),
        off: off(targets),
        started: clock.now(),
    }
}

/// Sources without an address.
fn off(targets: &Targets) -> Vec<SourceId> {
    let known = |id: &SourceId| match id {
        SourceId::Cluster | SourceId::Traffic => targets.kube.is_some(),
        SourceId::Migrations | SourceId::PostgresRows | SourceId::Store(StoreKind::Postgres) => {
            targets.postgres.is_some()
        }
        SourceId::ClickhouseRows | SourceId::Store(StoreKind::Clickhouse) => targets.clickhouse.is_some(),
        SourceId::Queues | SourceId::Store(StoreKind::Redis) => targets.redis.is_some(),
        SourceId::Store(StoreKind::S3) => targets.s3.is_some(),
        SourceId::Probe(Endpoint::V2) => targets.v2.is_some(),
        SourceId::Probe(Endpoint::V3) => targets.v3.is_some(),
        SourceId::Probe(Endpoint::Public) | SourceId::Share => targets.public.is_some(),
        SourceId::Controller => targets.controller.is_some(),
    };
    SourceId::ALL.into_iter().filter(|id| !known(id)).collect()
}

/// Opens the cockpit and runs it to its end; gives the exit code.
pub async fn run(
    clock: Clock,
    config: &Config,
    look: Look,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<u8, SessionError> {
    let actor = Actor::from_env(env);
    let built = config::targets(config, &Vault::new());
    let model = Model::new(setup(config, &built.targets, &actor, clock));
    let path = journal_path(config, &model.setup.context, &model.setup.namespace);
    let journal = Journal::open(path)?;
    let state = replay(&journal)?;
    let terminal = Terminal::take(env("TERM").as_deref())?;

    let (to, inbox) = mpsc::channel(INBOX);
    trace::start(to.clone(), env("CUTOVER_LOG").as_deref());
    let _ = to.try_send(Msg::Answer(Answer::Journal(state)));
    let shared = Arc::new(Shared { actuators: OnceLock::new(), sources: Mutex::new(None) });
    let mut background = JoinSet::new();
    let to_verbs = to.clone();
    let link = Link {
        config: config.clone(),
        actor,
        journal,
        armed: model.setup.armed,
        shared: Arc::clone(&shared),
        to,
    };
    let wiring = wire(inbox, &shared, Verbs::new(flags(config), to_verbs), clock);
    // The first frame does not share the processors with eleven connections.
    let begin = || drop(background.spawn(link.connect()));
    let ended = cockpit::run(clock, model, look, wiring, terminal, begin).await;
    // Also after a terminal that failed: the next operator must not wait for our lease.
    background.abort_all();
    if let Some(actuators) = shared.actuators.get() {
        let _ = tokio::time::timeout(FAREWELL, actuators.release()).await;
    }
    Ok(ended?)
}

/// What the cockpit's loop reads and asks for.
fn wire(inbox: mpsc::Receiver<Msg>, shared: &Arc<Shared>, verbs: Verbs, clock: Clock) -> Wiring {
    let for_polls = Arc::clone(shared);
    let for_tasks = Arc::clone(shared);
    Wiring {
        inbox,
        perform: Arc::new(move |effect, model| task(&for_tasks, &verbs, effect, model, clock)),
        poll_now: Box::new(move |id| {
            if let Ok(sources) = for_polls.sources.lock()
                && let Some(handle) = sources.as_ref()
            {
                handle.poll_now(id);
            }
        }),
    }
}

/// The task of an effect: the actuators', or the answer that there is no connection yet.
fn task(shared: &Shared, verbs: &Verbs, effect: Effect, model: &Model, clock: Clock) -> Task {
    match effect {
        Effect::PlanRemedy(remedy, asked) => {
            let answer = verbs.plan(remedy, asked);
            return Box::pin(async move { Some(answer.await) });
        }
        Effect::RunRemedy(remedy) => {
            let answer = verbs.run(remedy);
            return Box::pin(async move { Some(answer.await) });
        }
        Effect::StopRemedy => {
            verbs.stop();
            return Box::pin(async { None });
        }
        _ => {}
    }
    let Some(actuators) = shared.actuators.get().cloned() else {
        let answer = unconnected(&effect);
        return Box::pin(async move { answer });
    };
    let evidence = match &effect {
        Effect::Apply(plan) => {
            let checks = guards(model, clock.now(), plan.to).0;
            checks.iter().map(|c| format!("{}: {:?}: {}", c.label, c.verdict, c.evidence)).collect()
        }
        _ => vec![],
    };
    Box::pin(actuators.perform(effect, evidence))
}

fn unconnected(effect: &Effect) -> Option<Answer> {
    let trouble =
        Trouble::new(Kind::Unreachable, "Kubernetes", "there is no connection yet; nothing was sent");
    match effect {
        Effect::Apply(plan) => Some(Answer::Applied(plan.op, Err(ApplyError::Refused(trouble)))),
        effect => effect.unanswered(trouble),
    }
}

/// The connections' side of a session.
struct Link {
    config: Config,
    actor: Actor,
    journal: Journal,
    armed: bool,
    shared: Arc<Shared>,
    to: mpsc::Sender<Msg>,
}

impl Link {
    /// Sources start at once, unless their passwords are in the cluster; then the API server, however long it takes.
    async fn connect(self) {
        let secrets = self.config.secrets();
        if secrets.is_empty() {
            self.start_sources(&Vault::new());
        }
        let target = config::targets::kube(&self.config);
        let Kube { client, namespace, .. } = self.reach(&target).await;
        if !secrets.is_empty() {
            let vault = vault(&client, &namespace, &secrets, &self.to).await;
            self.start_sources(&vault);
        }
        let mut actuators =
            Actuators::new(client.clone(), &namespace, self.journal.clone(), self.actor.clone(), wall)
                .watched_by(watchdog(&self.config));
        actuators.known_as(reviewed(&client).await);
        let _ = self.shared.actuators.set(actuators.clone());
        actuators.keep_lease(self.armed, self.to).await;
    }

    fn start_sources(&self, vault: &Vault) {
        let built = config::targets(&self.config, vault);
        for (section, key) in built.missing {
            tracing::error!("[{section}] needs Kubernetes Secret {key}, which could not be read");
        }
        let handle = SourceSet::spawn(built.targets, &self.to);
        if let Ok(mut sources) = self.shared.sources.lock() {
            *sources = Some(handle);
        }
    }

    async fn reach(&self, target: &KubeTarget) -> Kube {
        let mut said = None;
        loop {
            match cluster::connect(target).await {
                Ok(kube) => return kube,
                Err(trouble) if said.as_ref() == Some(&trouble) => {}
                Err(trouble) => {
                    tracing::error!("{trouble}");
                    said = Some(trouble);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The name that the API server knows us by; `None` when it does not say.
pub async fn reviewed(client: &Client) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let (params, review) = (PostParams::default(), SelfSubjectReview::default());
    let asked = api.create(&params, &review);
    let review = tokio::time::timeout(FAREWELL, asked).await.ok()?.ok()?;
    Some(crate::domain::text::clean(&review.status?.user_info?.username?))
}

/// Reads the Secrets that the configuration refers to.
async fn vault(
    client: &Client,
    namespace: &str,
    keys: &[config::SecretKey],
    to: &mpsc::Sender<Msg>,
) -> Vault {
    let (found, troubles) = read_secrets(client, namespace, keys).await;
    for trouble in troubles {
        let _ = to.send(Msg::Answer(Answer::Said(Err(trouble)))).await;
    }
    found
}

/// The values of these keys, and what could not be read.
pub async fn read_secrets(
    client: &Client,
    namespace: &str,
    keys: &[config::SecretKey],
) -> (Vault, Vec<Trouble>) {
    use k8s_openapi::api::core::v1::Secret as KubeSecret;
    let api: Api<KubeSecret> = Api::namespaced(client.clone(), namespace);
    let (mut found, mut troubles) = (Vault::new(), Vec::new());
    for key in keys {
        let object = format!("Secret {namespace}/{}", key.name);
        let read =
            cluster::call(&object, &format!("get secrets {} in {namespace}", key.name), api.get(&key.name))
                .await;
        match read.map(|s| s.data.and_then(|mut d| d.remove(&key.key))) {
            Ok(Some(bytes)) => {
                let text = String::from_utf8_lossy(&bytes.0).trim_end().to_owned();
                found.insert(key.clone(), crate::domain::Secret::new(text));
            }
            Ok(None) => {
                troubles.push(Trouble::new(Kind::Missing, object, format!("it has no key {}", key.key)));
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    (found, troubles)
}
