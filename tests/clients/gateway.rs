//! The same SDKs through the gateway, before and after all traffic moved.

use std::time::Duration;

use crate::common::sitting::{Watching, finding};
use crate::foreign::{self, Foreign};
use crate::python::{refused_by_v2, taken_by_v3};
use crate::sdk::{job, send};
use crate::sides::{Side, Stores};

#[test]
fn sdks_through_the_gateway_before_and_after_the_shift() {
    let (Some(python2), Some(python3), Some(node)) =
        (foreign::python("sdk2"), foreign::python("sdk3"), foreign::node())
    else {
        return;
    };
    let stores = Stores::start(&[]);
    let mut watching = Watching::start(&stores.rehearsal.config());
    // A counter says something by its second reading.
    let status = watching.until("the controller's counters", |status| v2(status)["otlp_refused"] == 0);
    assert!(finding(&status, "otlp-to-v2").is_none(), "{status:#}");

    send(&stores, &python2, "sdk2.py", "public_url", "py2-before", Side::V2);
    send(&stores, &node, "sdk.mjs", "public_url", "js-before", Side::V2);
    refused_by_v2(&stores, &python3, "public_url", "py3-before");
    let status = watching.until("refused OTLP", |status| v2(status)["otlp_refused"].as_u64() >= Some(3));
    let told = finding(&status, "otlp-to-v2").unwrap();
    assert!(told.contains("Python SDK 2"), "{told}");
    let exact = v2(&status)["otlp_refused"].as_u64();
    assert_eq!(exact, Some(3), "three exports were refused; nothing else is counted");
    drop(watching);

    shift(&stores, 50);
    halved(&stores, &python2);

    shift(&stores, 100);
    send(&stores, &python2, "sdk2.py", "public_url", "py2-after", Side::V3);
    send(&stores, &node, "sdk.mjs", "public_url", "js-after", Side::V3);
    // nginx's limit here is 5 MB.
    taken_by_v3(&stores, &python3, "public_url", "py3-after", 6_000_000);
}

/// Each request goes to one side, and nothing is on neither.
fn halved(stores: &Stores, python: &Foreign) {
    let mut job = job(stores, "public_url", "half");
    job["do"] = "many".into();
    job["count"] = 40.into();
    let report = python.run("sdk2.py", &job);
    assert_eq!(report["answers"], serde_json::json!(["POST 207"]), "{report}");
    let ids: Vec<String> = serde_json::from_value(report["ids"].clone()).unwrap();
    let on_v2 = stores.rows(Side::V2, "traces", &ids).len();
    assert!((1..40).contains(&on_v2), "half of 40 requests, and {on_v2} on v2");
    stores.find(Side::V3, |stores| match stores.rows(Side::V3, "traces", &ids).len() {
        n if n == 40 - on_v2 => Ok(()),
        n => Err(format!("{on_v2} of 40 on v2, {n} on v3")),
    });
}

fn v2(status: &serde_json::Value) -> &serde_json::Value {
    status["latency"].as_array().unwrap().iter().find(|it| it["endpoint"] == "v2").unwrap()
}

/// Once the guards have read what they ask for; then nginx's workers, which look once a second, act on it.
fn shift(stores: &Stores, percent: u8) {
    let to = percent.to_string();
    let said = |said: &str| said.contains("done");
    stores.rehearsal.until(&["shift", "--to", &to, "--unverified", "--yes"], Duration::from_secs(120), said);
    // At half, 20 in a row happen once in a million.
    let rows = if percent == 100 { 20 } else { 1 };
    stores.answered_by_v3(rows);
}
