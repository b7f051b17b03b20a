//! The command line of `cutover rehearse`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::cluster::Mode;
use super::period::Period;

/// `cutover rehearse`: a complete local migration to practise on.
#[derive(Debug, Clone, Default, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// What to do instead of starting one.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// A scenario by name, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "happy")]
    pub scenario: String,
    /// Traces of the history, with 2 observations and 0.5 scores each [default: 200000]
    #[arg(long, value_name = "N")]
    pub traces: Option<u64>,
    /// Events per second of the clients; 0 is none [default: 20]
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: Option<f64>,
    /// Projects, each with its own keys.
    #[arg(long, value_name = "P", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub projects: u32,
    /// Seed of history, load and gateway: the same gives the same.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Directory for everything; a fresh temporary one when absent.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Without the cockpit: prints one line of JSON when everything is up.
    #[arg(long)]
    pub no_tui: bool,
    /// Leaves the directory where it is when the rehearsal ends.
    #[arg(long)]
    pub keep: bool,
    /// embedded, or real: kube-apiserver and etcd of `$KUBEBUILDER_ASSETS` or PATH
    #[arg(long, value_enum, default_value_t = Mode::Embedded, hide_possible_values = true, value_name = "WHICH")]
    pub kube: Mode,
}

/// What else `cutover rehearse` does.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Fires a fault in a running rehearsal; without a name, lists them.
    Fault(FaultArgs),
}

/// `cutover rehearse fault`.
#[derive(Debug, Clone, Default, Args)]
pub struct FaultArgs {
    /// Name of the fault.
    pub name: Option<String>,
    /// Its arguments.
    #[arg(value_name = "ARGUMENT=VALUE")]
    pub arguments: Vec<String>,
    /// Takes the fault back instead.
    #[arg(long)]
    pub lift: bool,
    /// Takes it back by itself after so long (500ms, 20s, 2m).
    #[arg(long = "for", value_name = "TIME", conflicts_with = "lift")]
    pub lasts: Option<Period>,
    /// Directory of the rehearsal; the newest running one when absent.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Traces when neither the command line nor the scenario says.
pub const TRACES: u64 = 200_000;
/// Events per second when neither the command line nor the scenario says.
pub const RATE: f64 = 20.0;

/// Whether so many events a second can be sent: none at all, or one in a quarter of an hour up to 100 000.
pub fn is_rate(rate: f64) -> bool {
    (0.0..=100_000.0).contains(&rate) && (rate <= 0.0 || rate >= 0.001)
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| is_rate(*rate));
    rate.ok_or_else(|| "events a second are 0, or 0.001 to 100000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        Cli::try_parse_from(std::iter::once("rehearse").chain(line.split_whitespace())).map(|cli| cli.options)
    }

    #[test]
    fn defaults() {
        let options = parse("").unwrap();
        assert_eq!((options.scenario.as_str(), options.projects, options.seed), ("happy", 3, 1));
        assert!(options.traces.is_none() && options.command.is_none() && !options.no_tui);
    }

    #[test]
    fn a_fault_with_arguments() {
        let options = parse("fault v3-errors share=0.5 --for 20s").unwrap();
        let Some(Command::Fault(fault)) = options.command else { panic!("a fault") };
        assert_eq!(fault.name.as_deref(), Some("v3-errors"));
        assert_eq!((fault.arguments, fault.lasts), (vec!["share=0.5".to_owned()], Some(Period::seconds(20))));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse("--projects 0").is_err());
        assert!(parse("--rate 0").is_ok() && parse("--rate 0.5").is_ok());
        for rate in ["inf", "NaN", "-1", "1e-30", "1e12", "many"] {
            assert!(parse(&format!("--rate={rate}")).is_err(), "{rate}");
        }
        assert!(parse("fault x --lift --for 1s").is_err());
        assert!(parse("--kube minikube").is_err());
    }
}
