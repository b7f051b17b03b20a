//! `cutover watchdog --op N`: waits for a confirmation and takes the traffic back without one.
//!
//! One rule: nobody reads its output; what it did is in the journal.

use super::desk::connect;
use super::exit::Exit;
use super::start;
use crate::actuators::{Actor, Actuators, Journal};
use crate::config::Config;
use crate::runtime::clock::wall;
use crate::runtime::{Clock, session};
use crate::shift::OpId;

/// Between two tries to reach the API server.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(2);

/// Guards one operation to its end.
pub async fn run(clock: Clock, config: &Config, op: u64) -> Exit {
    let kube = loop {
        match connect(config).await.1 {
            Ok(kube) => break kube,
            Err(trouble) => tracing::warn!("{trouble}"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let actor = Actor::from_env(|name| std::env::var(name).ok());
    let setup = session::setup(config, &crate::clients::target::Targets::default(), &actor, clock);
    let path = session::journal_path(config, &setup.context, &setup.namespace);
    let Ok(journal) = Journal::open(path) else {
        return Exit::Usage;
    };
    let actuators = Actuators::new(kube.client, &kube.namespace, journal, actor, wall);
    match actuators
        .watched_by(start::watchdog_arguments(config))
        .guard(OpId(op))
        .await
    {
        Ok(_) => Exit::Fine,
        Err(trouble) => Exit::of(&trouble),
    }
}
