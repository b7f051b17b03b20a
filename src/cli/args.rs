//! The command line, as data. Man page, completions and every `--help` come from here.
//!
//! One rule: no default of a configuration key stands here; its table has them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::civil::Date;

use crate::domain::Split;
use crate::domain::backfill::Table;

/// What the help of the program ends with.
const AFTER: &str = "\
Exit codes: 0 fine, 1 findings, 2 usage or configuration, 3 unreachable, 4 refused, 75 unknown.
Example:
  cutover --config cutover.toml --arm    open the cockpit with the right to write";

/// Watch, shift and take back the traffic of a Langfuse v2 to v3 migration; without a verb, the cockpit.
#[derive(Debug, Parser)]
#[command(name = "cutover", version, after_help = AFTER, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do; the cockpit without one.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// Flags of every verb. Environment variables and the file are read by the configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The configuration [CUTOVER_CONFIG; ./cutover.toml; ~/.config/cutover/]
    #[expect(clippy::doc_markdown, reason = "the help shows it as it stands")]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The kubeconfig [KUBECONFIG; ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// The kubeconfig's context
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Langfuse's namespace
    #[arg(long, short, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The environment's name in header and journal
    #[arg(long, global = true, value_name = "NAME")]
    pub env: Option<String>,
    /// Allow writes; without it everything is read-only
    #[arg(long, global = true)]
    pub arm: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say where the migration stands
    #[command(
        after_help = "Example:\n  cutover status --json | jq '.split, .findings'\n\nExits with 1 when there are warnings, with 3 when the cluster cannot be reached.\nThe JSON's schema is assets/status.schema.json."
    )]
    Status(StatusArgs),
    /// Show what a shift would send, and the server's word on it; writes nothing
    #[command(after_help = "Example:\n  cutover plan --to 25\n\nExits with 4 when a guard is in the way.")]
    Plan(PlanArgs),
    /// Move traffic: journalled, conditional, read back
    #[command(
        after_help = "Example:\n  cutover shift --to 25 --yes\n\n--yes stands for --arm and for the dialog. Waits until v3 was probed five times, 40 s at most. Exits with 4 when a guard is in the way or steps of the ladder would be skipped (--skip-steps), or, with backfill-first, when 100 comes without a fresh `cutover verify` (--unverified); with 75 when the outcome is not known."
    )]
    Shift(ShiftArgs),
    /// Freeze the split where it is, or take the hold off
    #[command(
        after_help = "Example:\n  cutover hold --arm\n  cutover hold --off --arm\n\nWithout --arm (or arm = true in the configuration) nothing is written."
    )]
    Hold(HoldArgs),
    /// Take traffic back to the last safe split, whatever the guards say
    #[command(
        after_help = "Example:\n  cutover rollback --yes          to the last safe split\n  cutover rollback --all --yes    all traffic to v2"
    )]
    Rollback(RollbackArgs),
    /// Write what only v3 has back into PostgreSQL, for v2 to show after a rollback
    #[command(
        after_help = "Example:\n  cutover restore            counts, examples and an estimate; writes nothing\n  cutover restore --yes      again after an interruption: only the rest is written\n  cutover restore --views --yes\n\nNever over a newer row of v2. Exits with 1 when rows stay behind, with 4 when v3 removed what v2 needs."
    )]
    Restore(RestoreArgs),
    /// Let a move with a deadline stay
    #[command(after_help = "Example:\n  cutover shift --to 25 --confirm-within 10 --yes\n  cutover confirm")]
    Confirm,
    /// Count what each side has, by table, project and day
    #[command(
        after_help = "Example:\n  cutover census --table traces --days\n\nReads both databases and writes to neither. Exits with 1 when rows are missing in ClickHouse or stranded (written by v2 after the backfill began).\nThe JSON's schema is assets/census.schema.json."
    )]
    Census(CensusArgs),
    /// Compare v2's rows with v3's and name each one that differs
    #[command(after_help = super::verify::AFTER)]
    Verify(super::verify::VerifyArgs),
    /// Copy v2's history to v3, in the place of Langfuse's worker and by its protocol
    #[command(after_help = super::backfill::AFTER)]
    Backfill(super::backfill::BackfillArgs),
    /// Copy what the backfill left behind: late, changed since, overwritten by v3
    #[command(after_help = super::catch_up::AFTER)]
    CatchUp(super::catch_up::CatchUpArgs),
    /// Print the journal, or check its chain
    #[command(after_help = "Example:\n  cutover journal --verify\n\nExits with 1 when the chain is broken.")]
    Journal(JournalArgs),
    /// Print the cockpit's keys
    #[command(after_help = "Example:\n  cutover keys --markdown")]
    Keys(KeysArgs),
    /// Print completions for a shell
    #[command(
        after_help = "Example:\n  cutover completions bash > ~/.local/share/bash-completion/completions/cutover"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    #[command(after_help = "Example:\n  cutover man | man -l -")]
    Man,
    /// Look at the configuration
    #[command(subcommand, after_help = "Example:\n  cutover config check --config cutover.toml")]
    Config(ConfigVerb),
    /// Write cutover.toml by looking at a namespace
    #[command(
        after_help = "Example:\n  cutover init --namespace langfuse\n\nReads workloads, ConfigMaps, Services and Ingresses; of Secrets only their names. Never overwrites."
    )]
    Init(InitArgs),
    /// Stand up a complete local migration to practise on, and open the cockpit on it
    #[cfg(feature = "rehearsal")]
    #[command(
        mut_subcommand("fault", |fault| fault.after_help("Example:\n  cutover rehearse fault v3-errors --for 30s")),
        after_help = "Example:\n  cutover rehearse\n  cutover rehearse --no-tui --scenario gitops-revert --traces 2000\n  cutover rehearse fault v3-errors --for 30s"
    )]
    Rehearse(crate::rehearsal::Options),
    /// Take a move back unless it is confirmed; started by a shift with a deadline
    #[command(hide = true, after_help = "Example:\n  cutover watchdog --op 7")]
    Watchdog {
        /// The operation
        #[arg(long)]
        op: u64,
    },
}

/// `cutover config …`
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Say each value, where it came from, and what is wrong
    #[command(
        after_help = "Example:\n  cutover config check\n\nWhat nobody gave is marked \"default\"; secrets are not shown. Exits with 1 when there are findings, with 2 when there are mistakes."
    )]
    Check,
}

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// As JSON, one document
    #[arg(long)]
    pub json: bool,
    /// Again every few seconds, until Ctrl-C; with --json one document a line
    #[arg(long)]
    pub watch: bool,
    /// Draw the cockpit's screen (120x36) into an SVG file instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "watch"])]
    pub picture: Option<PathBuf>,
    /// Wait this many seconds for the sources
    #[arg(long, value_name = "SECONDS", default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub wait: u64,
}

/// Flags of `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The share of v3 to end in, per cent
    #[arg(long, value_parser = split, value_name = "PERCENT")]
    pub to: Split,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `shift`.
#[derive(Debug, Clone, Args)]
pub struct ShiftArgs {
    /// The share of v3 to end in, per cent
    #[arg(long, value_parser = split, value_name = "PERCENT")]
    pub to: Split,
    /// Take it back after this many minutes unless `cutover confirm` or the cockpit's key confirms it
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub confirm_within: Option<u64>,
    /// Skip steps of the ladder; without it that is refused
    #[arg(long)]
    pub skip_steps: bool,
    /// With backfill-first: to 100 without a `cutover verify` of the last 24 hours; without it that is refused
    #[arg(long)]
    pub unverified: bool,
    /// Really do it
    #[arg(long)]
    pub yes: bool,
}

/// Flags of `hold`.
#[derive(Debug, Clone, Args)]
pub struct HoldArgs {
    /// Take the hold off
    #[arg(long)]
    pub off: bool,
}

/// Flags of `rollback`.
#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// All the way to v2, not only to the last safe split
    #[arg(long)]
    pub all: bool,
    /// Take the right to write from its holder, by the name that the refusal says
    #[arg(long, value_name = "HOLDER")]
    pub take_over: Option<String>,
    /// Really do it
    #[arg(long)]
    pub yes: bool,
}

/// Which rows a count or a comparison is about.
#[derive(Debug, Clone, Default, Args)]
pub struct Rows {
    /// Only this project's id
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// First day, UTC: of created_at for a census, of the rows' own time for a comparison
    #[arg(long, value_name = "DATE")]
    pub from: Option<Date>,
    /// Last day, included
    #[arg(long, value_name = "DATE")]
    pub to: Option<Date>,
}

/// Flags of `census`.
#[derive(Debug, Clone, Default, Args)]
pub struct CensusArgs {
    /// As JSON, one document
    #[arg(long)]
    pub json: bool,
    /// Only this table: traces, observations, scores, dataset_run_items
    #[arg(long, value_name = "TABLE", value_parser = table)]
    pub table: Option<Table>,
    /// Which rows, by their `created_at`.
    #[command(flatten)]
    pub rows: Rows,
    /// List the days that differ
    #[arg(long)]
    pub days: bool,
    /// Count again what was counted before
    #[arg(long)]
    pub fresh: bool,
}

/// Flags of `restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// Only this table: traces, observations or scores
    #[arg(long, value_parser = history, value_name = "TABLE")]
    pub table: Option<Table>,
    /// Only this project's rows
    #[arg(long, value_name = "ID")]
    pub project: Option<String>,
    /// Make the two views that v3.29.1 drops again, and nothing else
    #[arg(long, conflicts_with_all = ["table", "project"])]
    pub views: bool,
    /// Really do it
    #[arg(long)]
    pub yes: bool,
    /// As JSON, one document
    #[arg(long)]
    pub json: bool,
}

/// Flags of `journal`.
#[derive(Debug, Clone, Args)]
pub struct JournalArgs {
    /// Check the chain of hashes
    #[arg(long)]
    pub verify: bool,
    /// The lines as they are
    #[arg(long)]
    pub json: bool,
    /// Another journal than the configuration's
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Flags of `keys`.
#[derive(Debug, Clone, Args)]
pub struct KeysArgs {
    /// As a Markdown table
    #[arg(long)]
    pub markdown: bool,
}

/// Flags of `init`.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Where to write; - is standard output
    #[arg(long, short, value_name = "FILE", default_value = "cutover.toml")]
    pub output: PathBuf,
}

/// Reads a table's name, for every verb of the data engine.
pub fn table(text: &str) -> Result<Table, String> {
    let names = Table::ALL.map(Table::name).join(", ");
    Table::ALL.into_iter().find(|t| t.name() == text).ok_or_else(|| format!("one of {names}"))
}

/// Reads the name of a table that goes back.
fn history(text: &str) -> Result<Table, String> {
    let found = Table::BACKFILLED.into_iter().find(|t| t.name() == text);
    found.ok_or_else(|| "traces, observations or scores".into())
}

/// Reads a split as an operator types it.
fn split(text: &str) -> Result<Split, String> {
    Split::parse(text).ok_or_else(|| "a whole number from 0 to 100".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_fits_a_screen_and_every_verb_has_an_example() {
        let mut root = Cli::command();
        root.build();
        let mut todo = vec![(vec![root.get_name().to_owned()], root)];
        while let Some((path, command)) = todo.pop() {
            let typed = path.iter().map(String::as_str).chain(["--help"]);
            let answer = Cli::command().term_width(100).try_get_matches_from(typed).unwrap_err();
            let help = answer.to_string();
            // The list of verbs is as long as there are verbs.
            let most = if path.len() == 1 { 40 } else { 36 };
            assert!(help.lines().count() <= most, "{path:?}: {} lines\n{help}", help.lines().count());
            assert!(help.contains("Example"), "{path:?} has no example");
            for below in command.get_subcommands() {
                todo.push(([&path[..], &[below.get_name().to_owned()]].concat(), below.clone()));
            }
        }
    }

    #[test]
    fn splits_are_whole_numbers() {
        for wrong in ["101", "-1", "2.5", "v3"] {
            assert!(Cli::try_parse_from(["cutover", "plan", "--to", wrong]).is_err(), "{wrong}");
        }
        assert!(Cli::try_parse_from(["cutover", "shift", "--to", "25%", "--yes"]).is_ok());
    }
}
