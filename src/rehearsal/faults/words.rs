//! A fault from the words of a command line.
//!
//! One rule: whoever mistypes is told the fault's name, its arguments and an example, in our words and not in the
//! parser's.

use serde_json::{Map, Value};

use super::{FAULTS, Fault, StoreName};
use crate::domain::text::{likely, nearest};

/// What an argument takes: its name, the words for it, and whether a value is one.
type Takes = (&'static str, &'static str, fn(&Value) -> bool);

/// Every argument of every fault.
const ARGUMENTS: [Takes; 13] = [
    ("share", "a share from 0 to 1, like 0.2", is_share),
    ("conflicts", "a share from 0 to 1, like 0.2", is_share),
    ("throttled", "a share from 0 to 1, like 0.2", is_share),
    ("errors", "a share from 0 to 1, like 0.2", is_share),
    ("latency", "a length of time, like 500ms, 20s or 2m", is_period),
    ("every", "a length of time, like 500ms, 20s or 2m", is_period),
    ("close_watches", "a length of time, like 500ms, 20s or 2m", is_period),
    ("store", "postgres, clickhouse, redis or s3", is_store),
    ("maxmemory", "a number of bytes, like 1048576", Value::is_u64),
    ("weight", "a whole number from 0 to 100", is_weight),
    ("manager", "a name", Value::is_string),
    ("enabled", "true or false", Value::is_boolean),
    ("table", "a table of the backfill, like traces", Value::is_string),
];

fn is_share(value: &Value) -> bool {
    value.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share))
}

fn is_period(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse::<crate::rehearsal::period::Period>().is_ok())
}

fn is_store(value: &Value) -> bool {
    serde_json::from_value::<StoreName>(value.clone()).is_ok()
}

fn is_weight(value: &Value) -> bool {
    value.as_u64().is_some_and(|weight| weight <= 100)
}

/// Why a fault's words were not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// No fault of that name.
    #[error("there is no fault {name:?}{}; `cutover rehearse fault` lists them", nearest.map(|near| format!(", did you mean {near:?}?")).unwrap_or_default())]
    Unknown {
        /// What was asked for.
        name: String,
        /// The known name most like it.
        nearest: Option<&'static str>,
    },
    /// Arguments that the fault does not take, or not so.
    #[error("fault {name}: {why}; for example: cutover rehearse fault {}", example(name, arguments))]
    Arguments {
        /// The fault.
        name: &'static str,
        /// What is wrong, and what it takes.
        why: String,
        /// All its arguments with an example each.
        arguments: &'static str,
    },
}

fn example(name: &str, arguments: &str) -> String {
    format!("{name} {arguments}").trim_end().to_owned()
}

impl Fault {
    /// A fault from a name and `argument=value`.
    pub fn from_words(name: &str, arguments: &[String]) -> Result<Self, WordsError> {
        let (name, help) = known(name)?;
        let wrong = |why: String| WordsError::Arguments { name, why, arguments: help };
        let takes: Vec<&str> = help.split_whitespace().filter_map(|a| Some(a.split_once('=')?.0)).collect();
        let mut fields = Map::new();
        for argument in arguments {
            let (key, value) = field(argument, &takes).map_err(wrong)?;
            fields.insert(key, value);
        }
        for needed in needs(name) {
            if !fields.contains_key(*needed) {
                return Err(wrong(format!("it needs {needed}=…, which is {}", takes_what(needed))));
            }
        }
        let tagged = Value::from(Map::from_iter([(name.to_owned(), Value::from(fields))]));
        serde_json::from_value(tagged).map_err(|_| wrong("its arguments do not fit".into()))
    }

    /// What lifting means: the fault that was named, or, without its argument, every one of that name.
    pub fn to_lift(name: &str, arguments: &[String]) -> Result<Vec<Self>, WordsError> {
        let (known, help) = known(name)?;
        match known {
            "store-down" | "store-pause" if arguments.is_empty() => {
                let stores = ["postgres", "clickhouse", "redis", "s3"];
                stores.into_iter().map(|store| Self::from_words(known, &[format!("store={store}")])).collect()
            }
            "backfill" if arguments.is_empty() => Err(WordsError::Arguments {
                name: known,
                why: "it is a switch: turn it to enabled=true or enabled=false instead of lifting it".into(),
                arguments: help,
            }),
            _ => Self::from_words(known, arguments).map(|fault| vec![fault]),
        }
    }
}

fn known(name: &str) -> Result<(&'static str, &'static str), WordsError> {
    let row = FAULTS.iter().find(|(known, ..)| *known == name);
    row.map(|(known, help, _)| (*known, *help)).ok_or_else(|| {
        let names: Vec<&'static str> = FAULTS.iter().map(|(known, ..)| *known).collect();
        WordsError::Unknown { name: name.to_owned(), nearest: nearest(name, &names) }
    })
}

/// Arguments without a default.
const fn needs(name: &str) -> &'static [&'static str] {
    match name.as_bytes() {
        b"store-down" | b"store-pause" => &["store"],
        b"backfill" => &["enabled"],
        _ => &[],
    }
}

fn takes_what(argument: &str) -> &'static str {
    ARGUMENTS.iter().find(|(known, ..)| *known == argument).map_or("a value", |(_, what, _)| what)
}

/// One argument, or what is wrong with it.
fn field(argument: &str, takes: &[&str]) -> Result<(String, Value), String> {
    if takes.is_empty() {
        return Err(format!("it takes no arguments, and {argument:?} was given"));
    }
    let Some((key, text)) = argument.split_once('=') else {
        return Err(format!("{argument:?} is no argument, which are written name=value"));
    };
    if !takes.contains(&key) {
        return Err(format!("it has no argument {key:?}, {}", likely(key, takes, "one")));
    }
    let is_text = matches!(key, "manager" | "store" | "latency");
    let parsed = if is_text { None } else { serde_json::from_str(text).ok() };
    let value = parsed.unwrap_or_else(|| Value::from(text));
    match ARGUMENTS.iter().find(|(known, ..)| *known == key) {
        Some((_, what, fits)) if !fits(&value) => {
            Err(format!("{key}={text} cannot be used: {key} is {what}"))
        }
        _ => Ok((key.to_owned(), value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::period::Period;

    fn words(text: &str) -> Result<Fault, WordsError> {
        let mut words = text.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        Fault::from_words(&name, &words.collect::<Vec<_>>())
    }

    #[test]
    fn every_listed_fault_is_one_and_every_argument_is_explained() {
        for (name, arguments, _) in FAULTS {
            let text = format!("{name} {arguments}");
            let fault = words(text.trim()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(fault.name(), name);
            for argument in arguments.split_whitespace() {
                let key = argument.split_once('=').unwrap().0;
                assert!(ARGUMENTS.iter().any(|(known, ..)| *known == key), "{name} {key}");
            }
        }
    }

    #[test]
    fn defaults_and_arguments() {
        assert_eq!(words("v3-errors").unwrap(), Fault::V3Errors { share: 0.2, latency: Period::default() });
        let given = Fault::V3Errors { share: 0.5, latency: Period::seconds(2) };
        assert_eq!(words("v3-errors share=0.5 latency=2s").unwrap(), given);
    }

    #[rstest::rstest]
    #[case("v3-error", "there is no fault \"v3-error\", did you mean \"v3-errors\"?")]
    #[case(
        "v3-errors shares=1",
        "it has no argument \"shares\", did you mean share?; for example: cutover rehearse fault v3-errors share=0.2 latency=0s"
    )]
    #[case("v3-errors share", "\"share\" is no argument, which are written name=value")]
    #[case("v3-errors share=2", "share=2 cannot be used: share is a share from 0 to 1")]
    #[case("v3-errors latency=2", "latency=2 cannot be used: latency is a length of time")]
    #[case(
        "store-down store=mysql",
        "store=mysql cannot be used: store is postgres, clickhouse, redis or s3"
    )]
    #[case(
        "store-down",
        "it needs store=…, which is postgres, clickhouse, redis or s3; for example: cutover rehearse fault store-down store=clickhouse"
    )]
    #[case("weight-revert weight=250", "a whole number from 0 to 100")]
    #[case(
        "api-freeze for=2s",
        "it takes no arguments, and \"for=2s\" was given; for example: cutover rehearse fault api-freeze"
    )]
    #[case("backfill enabled=yes", "enabled is true or false")]
    fn mistakes_are_sentences(#[case] text: &str, #[case] said: &str) {
        let error = words(text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        for parsers in ["variant", "expected", "invalid", "field"] {
            assert!(!error.contains(parsers), "{error}");
        }
    }

    #[test]
    fn lifting_needs_no_argument() {
        assert_eq!(Fault::to_lift("store-down", &[]).unwrap().len(), 4);
        assert_eq!(Fault::to_lift("store-down", &["store=s3".into()]).unwrap().len(), 1);
        assert_eq!(Fault::to_lift("api-freeze", &[]).unwrap(), [Fault::ApiFreeze {}]);
        assert!(Fault::to_lift("backfill", &[]).unwrap_err().to_string().contains("enabled=false"));
    }
}
