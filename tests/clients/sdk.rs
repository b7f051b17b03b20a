//! The tree that the scripts of Python SDK 2 and JS SDK 3 send, and what it must look like in a store.

use serde_json::{Value, json};

use crate::foreign::Foreign;
use crate::sides::{Side, Stores};

/// What a script is told: where, with which key, and the prefix of every id.
pub fn job(stores: &Stores, address: &str, run: &str) -> Value {
    json!({
        "host": stores.rehearsal.field(address), "run": run,
        "public_key": stores.told("probe", "public_key"), "secret_key": stores.told("probe", "secret_key"),
    })
}

/// Sends the tree to an address and looks for every part of it on `side`.
pub fn send(stores: &Stores, sdk: &Foreign, script: &str, address: &str, run: &str, side: Side) -> Value {
    let report = sdk.run(script, &job(stores, address, run));
    assert_eq!(report["auth"], true, "{report}");
    assert_eq!(report["sent"]["answers"], json!(["GET 200", "POST 207"]), "{report}");
    assert_eq!(report["bad_key"]["auth"], "401", "{report}");
    assert_eq!(report["bad_key"]["answers"], json!(["GET 401", "POST 401"]), "{report}");
    assert_eq!(report["too_large"]["answers"], json!(["POST 413"]), "{report}");
    assert_eq!(report["after"]["answers"], json!(["POST 207"]), "{report}");
    stores.find(side, |stores| check(stores, side, run));
    let refused = ["stranger", "large"].map(|name| format!("{run}-{name}"));
    assert!(stores.rows(side, "traces", &refused).is_empty(), "refused, and stored");
    let other = if side == Side::V2 { Side::V3 } else { Side::V2 };
    assert!(stores.rows(other, "traces", &[format!("{run}-t")]).is_empty(), "on the other side too");
    report
}

/// Reads the tree back by the SDK: the answers pass its own checks.
pub fn read_back(stores: &Stores, sdk: &Foreign, script: &str, address: &str, run: &str) {
    let mut job = job(stores, address, run);
    job["do"] = "read".into();
    let read = sdk.run(script, &job);
    let ids = |names: &[&str]| names.iter().map(|name| format!("{run}-{name}")).collect::<Vec<_>>();
    assert_eq!(read["name"], "chat", "{read}");
    assert_eq!(read["observations"], json!(ids(&["e", "g", "s"])), "{read}");
    assert_eq!(read["scores"], json!(ids(&["sc1", "sc2", "sc3"])), "{read}");
    assert_eq!(read["listed"], json!(ids(&["t"])), "{read}");
    assert_eq!(read["generations"], json!(ids(&["g"])), "{read}");
    assert!(read["latency"].is_number() && read["total_cost"].is_number(), "{read}");
}

/// Every row of the tree with every field that was sent, the changes included.
fn check(stores: &Stores, side: Side, run: &str) -> Result<(), String> {
    let id = |name: &str| format!("{run}-{name}");
    for (table, rows) in wanted(run) {
        for (name, wanted) in rows {
            let found = stores.rows(side, table, &[id(name)]);
            let [row] = found.as_slice() else {
                return Err(format!("{table} {}: {} rows", id(name), found.len()));
            };
            for (field, value) in wanted.as_object().unwrap() {
                if row.get(field) != Some(value) {
                    return Err(format!(
                        "{table} {}: {field} is {:?}, not {value}",
                        id(name),
                        row.get(field)
                    ));
                }
            }
            if name == "g" {
                usage(side, row)?;
            }
        }
    }
    match stores.rows(side, "traces", &[id("after")]).len() {
        1 => Ok(()),
        n => Err(format!("{n} traces {}", id("after"))),
    }
}

/// Tokens have columns of their own in v2, and a map in v3.
fn usage(side: Side, row: &serde_json::Map<String, Value>) -> Result<(), String> {
    let tokens = match side {
        Side::V2 => json!([row["prompt_tokens"], row["completion_tokens"], row["total_tokens"]]),
        Side::V3 => {
            let details = &row["usage_details"];
            let count = |key: &str| match &details[key] {
                Value::String(text) => text.parse::<u64>().map_or(Value::Null, Value::from),
                number => number.clone(),
            };
            json!([count("input"), count("output"), count("total")])
        }
    };
    if tokens == json!([11, 7, 18]) { Ok(()) } else { Err(format!("tokens {tokens}")) }
}

type Wanted = (&'static str, Vec<(&'static str, Value)>);

fn wanted(run: &str) -> [Wanted; 3] {
    let id = |name: &str| format!("{run}-{name}");
    let trace = json!({
        "name": "chat", "user_id": "ada", "session_id": id("session"), "tags": ["a", "b"],
        "metadata": {"run": run}, "input": {"question": "why?"}, "output": {"answer": "because"},
        "release": "r1", "version": "v1",
    });
    let span = json!({
        "type": "SPAN", "name": "retrieve", "trace_id": id("t"), "input": {"k": 3}, "output": ["one", "two"],
        "metadata": {"index": "docs", "hits": 2},
    });
    let generation = json!({
        "type": "GENERATION", "name": "answer", "trace_id": id("t"), "parent_observation_id": id("s"),
        "model": "gpt-4o", "model_parameters": {"max_tokens": 50}, "output": "because",
        "input": [{"role": "user", "content": "why?"}],
    });
    let event = json!({
        "type": "EVENT", "name": "hit", "trace_id": id("t"), "parent_observation_id": id("s"),
        "level": "WARNING", "status_message": "far", "metadata": {"score": 0.9},
    });
    let score = |name: &str, kind: &str, text: Value| json!({"name": name, "trace_id": id("t"), "data_type": kind, "string_value": text});
    let mut correct = score("correct", "NUMERIC", Value::Null);
    correct["value"] = 0.5.into();
    correct["comment"] = "half".into();
    let mut tone = score("tone", "CATEGORICAL", "friendly".into());
    tone["observation_id"] = id("g").into();
    [
        ("traces", vec![("t", trace)]),
        ("observations", vec![("s", span), ("g", generation), ("e", event)]),
        ("scores", vec![("sc1", correct), ("sc2", tone), ("sc3", score("seen", "BOOLEAN", "True".into()))]),
    ]
}
