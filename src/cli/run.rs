//! From the command line to a verb, and from a verb to an exit code.

use clap::Parser;

use super::args::{Cli, ConfigVerb, Verb};
use super::exit::Exit;
use super::{config, finish, init, journal, moves, print, restore, start, status};
use crate::config::Config;
use crate::runtime::{Clock, session};

/// Threads of the program besides the one that draws.
const THREADS: usize = 2;

/// Runs the program; gives its exit code. A mistake on the command line ends with 2, help with 0.
pub fn run(args: impl IntoIterator<Item = std::ffi::OsString>) -> u8 {
    let clock = Clock::start();
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            // Help goes to standard output, mistakes to standard error; a closed pipe is no error.
            let _ = error.print();
            return code;
        }
    };
    let inputs = start::inputs(&cli.global);
    match &cli.verb {
        Some(Verb::Keys(args)) => finish::keys(args.markdown).code(),
        Some(Verb::Completions { shell }) => finish::completions(*shell).code(),
        Some(Verb::Man) => finish::man().code(),
        Some(Verb::Config(ConfigVerb::Check)) => config::check(&inputs).code(),
        #[cfg(feature = "rehearsal")]
        Some(Verb::Rehearse(options)) => block_on(super::rehearse::run(clock, options, &inputs)),
        Some(Verb::Init(args)) => block_on(async { init::run(&inputs, &args.output).await.code() }),
        verb => match start::config(&inputs) {
            Ok(config) => connected(clock, &config, verb.as_ref(), &inputs.env),
            Err(exit) => exit.code(),
        },
    }
}

/// Verbs that need the configuration.
fn connected(
    clock: Clock,
    config: &Config,
    verb: Option<&Verb>,
    env: &std::collections::BTreeMap<String, String>,
) -> u8 {
    if let Some(Verb::Journal(args)) = verb {
        return journal::run(config, args).code();
    }
    block_on(async {
        match verb {
            Some(Verb::Status(args)) => Box::pin(status::run(clock, config, args)).await.code(),
            Some(Verb::Verify(args)) => Box::pin(super::verify::run(clock, config, args)).await.code(),
            Some(Verb::Plan(args)) => Box::pin(moves::plan(clock, config, args)).await.code(),
            Some(Verb::Shift(args)) => Box::pin(moves::shift(clock, config, args)).await.code(),
            Some(Verb::Rollback(args)) => Box::pin(moves::rollback(clock, config, args)).await.code(),
            Some(Verb::Restore(args)) => Box::pin(restore::run(clock, config, args)).await.code(),
            Some(Verb::Confirm) => super::watchdog::confirm(config).await.code(),
            Some(Verb::Watchdog { op }) => super::watchdog::run(config, *op).await.code(),
            Some(Verb::Census(args)) => Box::pin(super::census::run(clock, config, args)).await.code(),
            Some(Verb::Backfill(args)) => Box::pin(super::backfill::run(clock, config, args)).await.code(),
            Some(Verb::CatchUp(args)) => Box::pin(super::catch_up::run(clock, config, args)).await.code(),
            Some(Verb::Hold(args)) => Box::pin(moves::hold(clock, config, args.off)).await.code(),
            _ => Box::pin(cockpit(clock, config, env)).await,
        }
    })
}

/// The cockpit.
async fn cockpit(clock: Clock, config: &Config, env: &std::collections::BTreeMap<String, String>) -> u8 {
    let look = start::look(config, env);
    match Box::pin(session::run(clock, config, look, &|name| env.get(name).cloned())).await {
        Ok(code) => code,
        Err(error) => {
            print::err(error.to_string());
            Exit::Usage.code()
        }
    }
}

/// Runs a verb on threads of its own; tasks that hang do not keep the program.
fn block_on(verb: impl Future<Output = u8>) -> u8 {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    match built {
        Ok(runtime) => {
            let code = runtime.block_on(verb);
            runtime.shutdown_background();
            code
        }
        Err(error) => {
            print::err(format!("no threads could be started: {error}"));
            Exit::Unreachable.code()
        }
    }
}
