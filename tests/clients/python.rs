//! Langfuse's Python SDK: 2.60 (ingestion API) and 3 (OTLP).

use serde_json::{Value, json};

use crate::foreign::{self, Foreign};
use crate::sdk::{job, read_back, send};
use crate::sides::{Side, Stores};

#[test]
fn python_sdk_2_on_v2_and_on_v3() {
    let Some(python) = foreign::python("sdk2") else { return };
    let stores = Stores::start(&[]);
    for (address, run, side) in [("v2_url", "py2-v2", Side::V2), ("v3_url", "py2-v3", Side::V3)] {
        let report = send(&stores, &python, "sdk2.py", address, run, side);
        assert_eq!(report["sdk"], "2.60.10");
        read_back(&stores, &python, "sdk2.py", address, run);
    }
}

#[test]
fn python_sdk_3_is_refused_by_v2_and_taken_by_v3() {
    let Some(python) = foreign::python("sdk3") else { return };
    let stores = Stores::start(&[]);
    refused_by_v2(&stores, &python, "v2_url", "py3-v2");
    // The body limit of v3's OTLP route is 16 MiB.
    taken_by_v3(&stores, &python, "v3_url", "py3-v3", 20_000_000);
}

/// v2 has no such route: the exporter is told 404, the traces are lost, and only the scores arrive.
pub fn refused_by_v2(stores: &Stores, python: &Foreign, address: &str, run: &str) {
    let report = python.run("sdk3.py", &job(stores, address, run));
    told_of_old_server(&report);
    for part in ["sent", "after", "bad_key"] {
        assert_eq!(exports(&report[part]), ["code: 404, reason: Not Found"], "{part}: {report}");
    }
    let trace = report["ids"]["trace"].as_str().unwrap();
    for side in [Side::V2, Side::V3] {
        assert!(stores.of_trace(side, "traces", trace).is_empty(), "{side:?} has {trace}");
    }
    assert_eq!(stores.of_trace(Side::V2, "scores", trace).len(), 2, "scores go by the ingestion API");
}

/// Everything of the tree is in ClickHouse, as v3.29 understands it.
pub fn taken_by_v3(stores: &Stores, python: &Foreign, address: &str, run: &str, large: u64) {
    let mut job = job(stores, address, run);
    job["large"] = large.into();
    let report = python.run("sdk3.py", &job);
    told_of_old_server(&report);
    assert_eq!(exports(&report["too_large"]).len(), 1, "{report}");
    assert!(exports(&report["too_large"])[0].contains("code: 413"), "{report}");
    assert!(exports(&report["bad_key"])[0].contains("code: 401"), "{report}");
    for part in ["sent", "after"] {
        assert_eq!(report[part]["complaints"], json!([]), "{part}: {report}");
    }
    let id = |name: &str| report["ids"][name].as_str().unwrap().to_owned();
    stores.find(Side::V3, |stores| check(stores, run, &report["ids"]));
    for name in ["large", "stranger"] {
        assert!(stores.of_trace(Side::V3, "traces", &id(name)).is_empty(), "{name} was refused, and stored");
    }
    assert!(stores.of_trace(Side::V2, "traces", &id("trace")).is_empty(), "in v2 too");
}

/// Its auth check wants fields that projects have only since v3.64: it fails on v2 and on v3.29 alike.
fn told_of_old_server(report: &Value) {
    assert_eq!(report["sdk"], "3.15.0");
    assert_eq!(report["auth"], "__root__.data.0.metadata", "{report}");
    assert_eq!(report["bad_key"]["auth"], "401", "{report}");
    assert_eq!(
        report["sent"]["answers"],
        json!(["GET /api/public/projects 200", "POST /api/public/ingestion 207"]),
        "{report}"
    );
}

/// What the exporter complained of, in short.
fn exports(part: &Value) -> Vec<String> {
    let lines = part["complaints"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
    lines.filter_map(|line| Some(line.split_once("Failed to export spans batch ")?.1.to_owned())).collect()
}

fn check(stores: &Stores, run: &str, ids: &Value) -> Result<(), String> {
    let id = |name: &str| ids[name].as_str().unwrap();
    let traces = stores.of_trace(Side::V3, "traces", id("trace"));
    let [trace] = traces.as_slice() else { return Err(format!("{} traces", traces.len())) };
    let observations = stores.of_trace(Side::V3, "observations", id("trace"));
    let scores = stores.of_trace(Side::V3, "scores", id("trace"));
    let after = stores.of_trace(Side::V3, "traces", id("after"));
    if (observations.len(), scores.len(), after.len()) != (3, 2, 1) {
        return Err(format!(
            "{} observations, {} scores, {} after",
            observations.len(),
            scores.len(),
            after.len()
        ));
    }
    let one = |name: &str| observations.iter().find(|row| row["id"] == id(name)).unwrap();
    let (root, generation) = (one("root"), one("generation"));
    let event = observations.iter().find(|row| row["name"] == "hit").unwrap();
    assert_eq!(trace["name"], format!("{run} chat"), "{trace:?}");
    assert_eq!((&trace["user_id"], &trace["session_id"]), (&json!("ada"), &json!(format!("{run}-session"))));
    assert_eq!(root["parent_observation_id"], Value::Null, "{root:?}");
    assert_eq!(
        (&generation["name"], &generation["parent_observation_id"]),
        (&json!("answer"), &json!(id("root")))
    );
    assert_eq!(event["parent_observation_id"], id("generation"), "{event:?}");
    // What the SDK says in attributes of its own is read since v3.63; before, it is metadata only.
    let told = &generation["metadata"]["attributes"];
    assert_eq!(told["langfuse.observation.model.name"], "gpt-4o", "{generation:?}");
    assert_eq!(told["langfuse.observation.type"], "generation", "{generation:?}");
    assert_eq!((&generation["type"], &generation["model"]), (&json!("SPAN"), &Value::Null), "{generation:?}");
    let of = |name: &str| scores.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!((&of("correct")["value"], &of("correct")["observation_id"]), (&json!(0.5), &Value::Null));
    assert_eq!(
        (&of("tone")["string_value"], &of("tone")["observation_id"]),
        (&json!("friendly"), &json!(id("generation")))
    );
    Ok(())
}
