//! The layers put over each other: flags, environment, file, defaults.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::file::{self, Entry};
use super::keys;
use super::origin::Origin;
use super::problem::{Problem, Problems};
use super::value::{Around, Raw, Value, check};
use super::{Config, rules};
use crate::domain::text::nearest;

/// Largest configuration file read, in bytes.
const LARGEST: u64 = 1024 * 1024;
/// The file's name where none is given.
pub const FILE: &str = "cutover.toml";
/// Variables of ours that are no keys: the file, and what is logged.
const RESERVED: [&str; 2] = ["CUTOVER_CONFIG", "CUTOVER_LOG"];

/// What the process was started with.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Flags: dotted key, text, name of the flag.
    pub flags: Vec<(&'static str, String, &'static str)>,
    /// The current folder.
    pub here: PathBuf,
    /// Whether only `file` may be read: no other is looked for.
    pub named_only: bool,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced {
    /// The value.
    pub value: Value,
    /// Its layer.
    pub origin: Origin,
}

/// All keys that have a value.
pub type Values = BTreeMap<String, Sourced>;

/// Reads and checks everything. The error has every mistake that was found.
pub fn load(inputs: &Inputs) -> Result<Config, Problems> {
    let mut problems = Vec::new();
    let file = match find_file(inputs) {
        Some((path, asked_by)) => match read(&path, asked_by) {
            Ok(text) => Some((path, text)),
            Err(problem) => return Err(Problems(vec![problem])),
        },
        None => None,
    };
    let (entries, base) = match &file {
        Some((path, text)) => {
            let (entries, found) = file::parse(text, |line| Origin::File(path.clone(), line));
            problems.extend(found);
            (entries, path.parent().map_or_else(|| inputs.here.clone(), |p| inputs.here.join(p)))
        }
        None => (Vec::new(), inputs.here.clone()),
    };
    let path = file.map(|(path, _)| path);
    let values = merge(inputs, path.as_deref(), entries, &base, &mut problems);
    problems.extend(rules::errors(&values));
    if problems.is_empty() {
        let mut config = Config::of(values, path, &inputs.env);
        config.stray = stray(&inputs.env);
        Ok(config)
    } else {
        Err(Problems(problems))
    }
}

/// The file: `--config`, `CUTOVER_CONFIG`, the current folder, the user's configuration folder.
fn find_file(inputs: &Inputs) -> Option<(PathBuf, Option<Origin>)> {
    if let Some(path) = &inputs.file {
        return Some((path.clone(), Some(Origin::Flag("--config"))));
    }
    if inputs.named_only {
        return None;
    }
    if let Some(path) = inputs.env.get("CUTOVER_CONFIG").filter(|p| !p.is_empty()) {
        return Some((path.into(), Some(Origin::Environment("CUTOVER_CONFIG".into()))));
    }
    let home = || inputs.env.get("HOME").map(|h| Path::new(h).join(".config"));
    let folder = inputs.env.get("XDG_CONFIG_HOME").filter(|p| !p.is_empty()).map(PathBuf::from).or_else(home);
    let here = inputs.here.join(FILE);
    let user = folder.map(|f| f.join("cutover").join(FILE));
    [Some(here), user].into_iter().flatten().find(|p| p.exists()).map(|p| (p, None))
}

fn read(path: &Path, asked_by: Option<Origin>) -> Result<String, Problem> {
    let origin = asked_by.or_else(|| Some(Origin::File(path.to_owned(), 0)));
    let shown = path.display();
    let bad = |why: String| Problem::new(origin.clone(), "", why);
    let meta = std::fs::metadata(path).map_err(|e| {
        bad(format!("{shown} cannot be read ({e}); name another file, or let `cutover init` write one"))
    })?;
    if meta.is_dir() {
        return Err(bad(format!("{shown} is a folder; name the file in it")));
    }
    if meta.len() > LARGEST {
        return Err(bad(format!("{shown} is larger than 1 MiB: it is not a configuration of cutover")));
    }
    let bytes = std::fs::read(path).map_err(|e| bad(format!("{shown} cannot be read ({e})")))?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = 1 + String::from_utf8_lossy(&e.as_bytes()[..at]).matches('\n').count();
        bad(format!("{shown} is not UTF-8 text from line {line} on; save it as UTF-8"))
    })
}

fn merge(
    inputs: &Inputs,
    path: Option<&Path>,
    entries: Vec<Entry>,
    base: &Path,
    problems: &mut Vec<Problem>,
) -> Values {
    let mut file: BTreeMap<_, _> = entries.into_iter().map(|e| (e.path.clone(), e)).collect();
    let mut values = Values::new();
    for (key, row) in keys::all() {
        let in_file = file.remove(&key);
        let Some((raw, origin)) = winner(inputs, path, &key, in_file, row.default) else {
            continue;
        };
        let base = if matches!(origin, Origin::File(..)) { base } else { &inputs.here };
        match check(row.kind, raw, Around { base, env: &inputs.env }) {
            Ok(value) => drop(values.insert(key, Sourced { value, origin })),
            Err(message) => problems.push(Problem::new(Some(origin), key, message)),
        }
    }
    values
}

/// The layer that speaks last. An empty environment variable counts as unset.
fn winner(
    inputs: &Inputs,
    path: Option<&Path>,
    key: &str,
    in_file: Option<Entry>,
    default: Option<&str>,
) -> Option<(Raw, Origin)> {
    if let Some((_, text, flag)) = inputs.flags.iter().find(|(k, ..)| *k == key) {
        return Some((Raw::Text(text.clone()), Origin::Flag(flag)));
    }
    let variable = keys::variable(key);
    if let Some(text) = inputs.env.get(&variable).filter(|t| !t.is_empty()) {
        return Some((Raw::Text(text.clone()), Origin::Environment(variable)));
    }
    if let Some(entry) = in_file {
        return Some((entry.raw, Origin::File(path.unwrap_or(Path::new(FILE)).to_owned(), entry.line)));
    }
    default.map(|text| (Raw::Text(text.to_owned()), Origin::Default))
}

/// Variables that look like ours and are not.
fn stray(env: &BTreeMap<String, String>) -> Vec<Problem> {
    let known: Vec<String> = keys::all().map(|(key, _)| keys::variable(&key)).collect();
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    env.keys()
        .filter(|n| {
            n.starts_with("CUTOVER_") && !names.contains(&n.as_str()) && !RESERVED.contains(&n.as_str())
        })
        .map(|name| {
            let message = match nearest_variable(name, &names) {
                Some(near) => format!("no key has this variable; did you mean {near}?"),
                None => "no key has this variable; it is ignored".into(),
            };
            Problem::new(Some(Origin::Environment(name.clone())), "", message)
        })
        .collect()
}

fn nearest_variable<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = nearest(name, names).or_else(|| {
        let best = names.iter().copied().min_by_key(|n| strsim::damerau_levenshtein(name, n))?;
        Some(best)
    })?;
    (strsim::damerau_levenshtein(name, near) <= 3).then_some(near)
}
