//! Scenarios: what a rehearsal is like and what happens to it, as TOML; unknown keys are errors.

use std::path::Path;

use serde::Deserialize;

use super::condition::Condition;
use super::faults::Fault;
use super::options::is_rate;
use super::period::Period;

/// The scenarios that come with the program.
pub const SCENARIOS: [(&str, &str); 11] = [
    ("happy", include_str!("../../assets/scenarios/happy.toml")),
    ("v3-errors", include_str!("../../assets/scenarios/v3-errors.toml")),
    ("stuck-cursor", include_str!("../../assets/scenarios/stuck-cursor.toml")),
    ("dead-worker", include_str!("../../assets/scenarios/dead-worker.toml")),
    ("failed-migration", include_str!("../../assets/scenarios/failed-migration.toml")),
    ("queue-stall", include_str!("../../assets/scenarios/queue-stall.toml")),
    ("clickhouse-down", include_str!("../../assets/scenarios/clickhouse-down.toml")),
    ("redis-full", include_str!("../../assets/scenarios/redis-full.toml")),
    ("gitops-revert", include_str!("../../assets/scenarios/gitops-revert.toml")),
    ("api-flaky", include_str!("../../assets/scenarios/api-flaky.toml")),
    ("late-writes", include_str!("../../assets/scenarios/late-writes.toml")),
];

/// One scenario.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What one sees, in a sentence or two.
    pub description: String,
    /// What the rehearsal is like from the start.
    #[serde(default)]
    pub settings: Settings,
    /// What happens to it.
    #[serde(default)]
    pub faults: Vec<Timed>,
}

/// When the backfill runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backfill {
    /// Off until the operator switches it on: Langfuse's zero-downtime order.
    #[default]
    Off,
    /// On from the worker's first start.
    FromStart,
}

/// What a rehearsal is like from the start; what the command line says goes before it.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// When the backfill runs.
    pub backfill: Backfill,
    /// First canary weight, 0..=100.
    pub weight: u8,
    /// Traces of the history.
    pub traces: Option<u64>,
    /// Events per second.
    pub rate: Option<f64>,
    /// How many of the oldest rows of each table share one `created_at`.
    pub tie_group: Option<u64>,
    /// `args.batchSize` of the backfills; absent is Langfuse's own default.
    pub batch_size: Option<u32>,
}

/// A fault and when it comes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Time after everything is up. Without it and without `when`: before Langfuse starts.
    pub at: Option<Period>,
    /// Or: as soon as this holds.
    pub when: Option<Condition>,
    /// How long it lasts; for good when absent.
    #[serde(rename = "for")]
    pub lasts: Option<Period>,
    /// What happens.
    #[serde(rename = "do")]
    pub fault: Fault,
}

impl Timed {
    /// Neither a time nor a condition: it is there before Langfuse starts.
    pub const fn from_start(&self) -> bool {
        self.at.is_none() && self.when.is_none()
    }
}

/// Why there is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither a known name nor a file.
    #[error("there is no scenario {0:?} and no such file; known are: {1}")]
    Unknown(String, String),
    /// The file could not be read.
    #[error("scenario {0}: {1}")]
    Read(String, std::io::Error),
    /// The text is not a scenario.
    #[error("scenario {0}: {1}")]
    Parse(String, Box<toml::de::Error>),
    /// A fault with both of `at` and `when`.
    #[error(
        "scenario {0}: fault {1} has both `at` and `when`: one of them, or neither for one that is there from the start"
    )]
    Trigger(String, String),
    /// A weight that is none.
    #[error("scenario {0}: weight {1} is not 0 to 100")]
    Weight(String, u8),
    /// A rate that is none.
    #[error("scenario {0}: rate {1} is neither 0 nor 0.001 to 100000 events a second")]
    Rate(String, f64),
}

impl Scenario {
    /// The scenario of a name, or of a file.
    pub fn load(name: &str) -> Result<Self, ScenarioError> {
        if let Some((_, text)) = SCENARIOS.iter().find(|(known, _)| *known == name) {
            return Self::parse(name, text);
        }
        if !Path::new(name).exists() {
            let known: Vec<&str> = SCENARIOS.iter().map(|(known, _)| *known).collect();
            return Err(ScenarioError::Unknown(name.to_owned(), known.join(", ")));
        }
        let text =
            std::fs::read_to_string(name).map_err(|error| ScenarioError::Read(name.to_owned(), error))?;
        Self::parse(name, &text)
    }

    fn parse(name: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::Parse(name.to_owned(), Box::new(error)))?;
        if let Some(wrong) = scenario.faults.iter().find(|timed| timed.at.is_some() && timed.when.is_some()) {
            return Err(ScenarioError::Trigger(name.to_owned(), wrong.fault.name()));
        }
        if scenario.settings.weight > 100 {
            return Err(ScenarioError::Weight(name.to_owned(), scenario.settings.weight));
        }
        if let Some(rate) = scenario.settings.rate.filter(|rate| !is_rate(*rate)) {
            return Err(ScenarioError::Rate(name.to_owned(), rate));
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_that_comes_along_is_one() {
        for (name, _) in SCENARIOS {
            let scenario = Scenario::load(name).unwrap_or_else(|error| panic!("{error}"));
            assert!(scenario.description.len() > 20, "{name}");
        }
    }

    #[test]
    fn files_of_the_folder_are_all_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/scenarios");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().file_name().to_string_lossy().trim_end_matches(".toml").to_owned())
            .collect();
        let mut listed: Vec<String> = SCENARIOS.iter().map(|(name, _)| (*name).to_owned()).collect();
        files.sort();
        listed.sort();
        assert_eq!(files, listed);
    }

    #[rstest::rstest]
    #[case("description = \"d\"\nwat = 1", "wat")]
    #[case("description = \"d\"\n[settings]\nbackfil = \"off\"", "backfil")]
    #[case(
        "description = \"d\"\n[[faults]]\nat = \"1s\"\nwhen = \"split > 1\"\ndo.v3-crash = {}",
        "both `at` and `when`"
    )]
    #[case("description = \"d\"\n[[faults]]\nat = \"1s\"\ndo.v3-errors = {shares = 1}", "shares")]
    #[case("description = \"d\"\n[[faults]]\nat = \"1h\"\ndo.v3-crash = {}", "length of time")]
    #[case("description = \"d\"\n[[faults]]\nwhen = \"moon > 1\"\ndo.v3-crash = {}", "moon")]
    #[case("description = \"d\"\n[settings]\nweight = 101", "101")]
    #[case("description = \"d\"\n[settings]\nrate = inf", "rate inf")]
    fn mistakes_are_named(#[case] text: &str, #[case] word: &str) {
        let error = Scenario::parse("x", text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }

    #[test]
    fn a_fault_without_a_moment_is_there_from_the_start() {
        let scenario = Scenario::parse("x", "description = \"d\"\n[[faults]]\ndo.v3-crash = {}").unwrap();
        assert!(scenario.faults[0].from_start());
    }

    #[test]
    fn a_name_that_is_none() {
        assert!(Scenario::load("hapy").unwrap_err().to_string().contains("happy"));
    }
}
