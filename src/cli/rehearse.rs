//! `cutover rehearse`: stands a local migration up, opens the cockpit on it, and leaves nothing behind.

use std::collections::BTreeMap;

use super::exit::Exit;
use super::{print, start};
use crate::config::{Inputs, load};
use crate::rehearsal::{self, Command, ControlError, FaultArgs, Options, Rehearsal};
use crate::runtime::signals::Signals;
use crate::runtime::terminal::Terminal;
use crate::runtime::{Clock, session};

/// Runs the verb.
pub async fn run(clock: Clock, options: &Options, inputs: &Inputs) -> u8 {
    if let Some(Command::Fault(arguments)) = &options.command {
        return fault(arguments).await.code();
    }
    if !options.no_tui
        && let Err(error) = Terminal::check(inputs.env.get("TERM").map(String::as_str))
    {
        print::err(format!("{error}; nothing was started: `cutover rehearse --no-tui` needs no terminal"));
        return Exit::Usage.code();
    }
    let Ok(mut signals) = Signals::listen() else {
        print::err("signals cannot be listened to");
        return Exit::Unreachable.code();
    };
    let running = match stand_up(options, &mut signals).await {
        Ok(running) => running,
        Err(exit) => return exit.code(),
    };
    let code = if options.no_tui {
        print::out(serde_json::to_string(&running.info()).unwrap_or_default());
        signals.end().await;
        Exit::Fine.code()
    } else {
        drop(signals);
        cockpit(clock, &running, inputs).await
    };
    print::err("stopping the rehearsal...");
    match running.stop(|part| print::err(format!("  {part}"))).await {
        Ok(()) => code,
        Err(error) => {
            print::err(error.to_string());
            Exit::Findings.code()
        }
    }
}

/// `cutover rehearse fault`.
async fn fault(arguments: &FaultArgs) -> Exit {
    match rehearsal::fault(arguments).await {
        Ok(text) => {
            print::out(text);
            Exit::Fine
        }
        Err(error) => {
            print::err(error.to_string());
            match error {
                ControlError::Words(_) => Exit::Usage,
                ControlError::Nobody | ControlError::Socket { .. } => Exit::Unreachable,
                ControlError::Refused(_) => Exit::Refused,
            }
        }
    }
}

/// Starts everything, unless the program is asked to end before that is done.
async fn stand_up(options: &Options, signals: &mut Signals) -> Result<Rehearsal, Exit> {
    let starting = rehearsal::start(options, |line| print::err(line));
    tokio::select! {
        started = starting => started.map_err(|error| {
            print::err(error.to_string());
            if error.is_usage() { Exit::Usage } else { Exit::Unreachable }
        }),
        // What was started is dropped here, and children end with us.
        () = signals.end() => {
            print::err("stopping what was started of the rehearsal");
            Err(Exit::Fine)
        }
    }
}

/// The cockpit on the configuration that the rehearsal wrote; flags and environment still count.
async fn cockpit(clock: Clock, running: &Rehearsal, inputs: &Inputs) -> u8 {
    let inputs = Inputs { file: Some(running.info().config), ..inputs.clone() };
    let config = match load(&inputs) {
        Ok(config) => config,
        Err(problems) => {
            print::err(problems.to_string());
            return Exit::Usage.code();
        }
    };
    let env: &BTreeMap<String, String> = &inputs.env;
    match session::run(clock, &config, start::look(&config, env), &|name| env.get(name).cloned()).await {
        Ok(code) => code,
        Err(error) => {
            print::err(error.to_string());
            Exit::Usage.code()
        }
    }
}
