//! `cutover watchdog` (hidden): takes a move back unless it is confirmed; and `cutover confirm`.

use super::exit::Exit;
use super::print;
use crate::actuators::watchdog::Watched;
use crate::actuators::{Actor, Actuators, Journal};
use crate::clients::kube as cluster;
use crate::config::{self, Config};
use crate::runtime::clock::wall;
use crate::runtime::session;
use crate::shift::OpId;

/// Guards one operation to its end. It speaks only by its exit code, the journal and Events.
pub async fn run(config: &Config, op: u64) -> Exit {
    let actuators = match open(config).await {
        Ok(actuators) => actuators,
        Err(exit) => return exit,
    };
    match actuators.guard(OpId(op)).await {
        Ok(Watched::CalledOff | Watched::TakenBack) => Exit::Fine,
        Err(trouble) => {
            print::err(trouble.to_string());
            Exit::of(&trouble)
        }
    }
}

/// Lets the pending move stay.
pub async fn confirm(config: &Config) -> Exit {
    let (context, namespace) = session::place(&config::targets::kube(config));
    let path = session::journal_path(config, &context, &namespace);
    let state = Journal::open(path).and_then(|journal| crate::actuators::journal::replay(&journal));
    let pending = match state {
        Ok(state) => state.pending,
        Err(error) => {
            print::err(error.to_string());
            return Exit::Usage;
        }
    };
    let Some(pending) = pending else {
        print::out("no move waits for a confirmation");
        return Exit::Fine;
    };
    let actuators = match open(config).await {
        Ok(actuators) => actuators,
        Err(exit) => return exit,
    };
    match actuators.confirm(pending.op).await {
        Ok(()) => {
            print::out(format!("{} is confirmed and stays", pending.op));
            Exit::Fine
        }
        Err(trouble) => {
            print::err(trouble.to_string());
            Exit::of(&trouble)
        }
    }
}

async fn open(config: &Config) -> Result<Actuators, Exit> {
    let target = config::targets::kube(config);
    let kube = cluster::connect(&target).await.map_err(|trouble| {
        print::err(trouble.to_string());
        Exit::of(&trouble)
    })?;
    let (context, namespace) = session::place(&target);
    let journal = Journal::open(session::journal_path(config, &context, &namespace)).map_err(|error| {
        print::err(error.to_string());
        Exit::Usage
    })?;
    let actor = Actor::from_env(|name| std::env::var(name).ok());
    Ok(Actuators::new(kube.client, &kube.namespace, journal, actor, wall))
}
