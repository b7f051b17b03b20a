//! The same SDKs through the gateway, before and after all traffic moved.

use std::time::Duration;

use crate::common::rehearsal::Rehearsal;
use crate::foreign;
use crate::python::{refused_by_v2, taken_by_v3};
use crate::sdk::send;
use crate::sides::{Side, Stores};
use crate::sitting::{Watching, finding};

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

    shift(&stores.rehearsal, "100");
    send(&stores, &python2, "sdk2.py", "public_url", "py2-after", Side::V3);
    send(&stores, &node, "sdk.mjs", "public_url", "js-after", Side::V3);
    // nginx's limit here is 5 MB.
    taken_by_v3(&stores, &python3, "public_url", "py3-after", 6_000_000);
}

fn v2(status: &serde_json::Value) -> &serde_json::Value {
    status["latency"].as_array().unwrap().iter().find(|it| it["endpoint"] == "v2").unwrap()
}

/// Once the guards have read what they ask for.
fn shift(rehearsal: &Rehearsal, percent: &str) {
    rehearsal
        .until(&["shift", "--to", percent, "--yes"], Duration::from_secs(120), |said| said.contains("done"));
}
