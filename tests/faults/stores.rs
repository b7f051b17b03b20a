//! A store is gone, full, or hangs; everything else goes on.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::sitting::{Watching, finding, flat, read, rehearse, section, sit_down, zoom};

/// Sources that have nothing to do with ClickHouse.
const OTHERS: [&str; 6] = ["traffic", "cluster", "queues", "migrations", "rows-pg", "postgres"];

/// Whether these sources are read as they mean to be.
fn fresh(status: &Value, sources: &[&str]) -> bool {
    sources
        .iter()
        .all(|s| section(status, s)["freshness"] == "fresh" && section(status, s)["failure"].is_null())
}

/// A key is answered within a second or so, whatever does not answer.
fn keys_answer(person: &mut crate::common::person::Person) {
    let asked = Instant::now();
    person.press("?");
    person.see("Plan the next step");
    person.press("\x1b");
    person.wait("help to close", |screen| !screen.contains("Plan the next step"));
    assert!(asked.elapsed() < Duration::from_secs(3), "keys are answered after {:?}", asked.elapsed());
}

/// ClickHouse is killed for a while.
#[test]
fn clickhouse_down_is_told_while_the_rest_stays_fresh_and_it_comes_back() {
    let rehearsal = rehearse("clickhouse-down");
    let mut watching = Watching::start(&rehearsal.config());
    let mut person = sit_down(&rehearsal);
    let status = watching.until("ClickHouse down, the rest fresh", |status| {
        finding(status, "store-down").is_some() && fresh(status, &OTHERS)
    });
    let told = finding(&status, "store-down").unwrap();
    assert!(told.contains("ClickHouse cannot be reached: unreachable"), "{told}");
    assert!(!section(&status, "rows-ch")["failure"].is_null(), "{status:#}");
    zoom(&mut person, '5');
    person.wait("ClickHouse's line", |screen| screen.contains("✗ ClickHouse"));
    read(&mut person, "check the address and the port, and that the server runs");
    keys_answer(&mut person);
    watching.until("ClickHouse back", |status| {
        finding(status, "store-down").is_none() && fresh(status, &["clickhouse", "rows-ch"])
    });
    person.wait("ClickHouse's line", |screen| screen.contains("✓ ClickHouse"));
}

/// Redis refuses writes: v3 answers 500 to every ingestion.
#[test]
fn a_full_redis_is_told_and_is_over_when_it_has_room_again() {
    let rehearsal = rehearse("redis-full");
    let mut watching = Watching::start(&rehearsal.config());
    let mut person = sit_down(&rehearsal);
    zoom(&mut person, '6');
    let told = watching.finding("store-full");
    assert!(told.starts_with("critical | Redis"), "{told}");
    read(&mut person, "Redis has no memory left");
    // Told by real requests where v3 gets any, by probes else.
    let errors = |status: &_| finding(status, "request-errors").or_else(|| finding(status, "probe-errors"));
    let status = watching.until("v3's errors", |status| errors(status).is_some());
    assert!(errors(&status).unwrap().contains("v3"), "{status:#}");
    watching.until("room again", |status| finding(status, "store-full").is_none());
}

/// Connections stay open and nothing answers: each store in turn.
#[test]
fn a_store_that_hangs_is_a_timeout_and_delays_nothing_else() {
    let rehearsal = rehearse("happy");
    let mut watching = Watching::start(&rehearsal.config());
    let mut person = sit_down(&rehearsal);
    person.see("trace-upsert");
    for (store, source, name) in
        [("redis", "queues", "Redis"), ("s3", "s3", "S3"), ("postgres", "migrations", "PostgreSQL")]
    {
        let argument = format!("store={store}");
        rehearsal.fault(&["store-pause", &argument]);
        let status = watching.until("the timeout", |status| {
            section(status, store)["failure"]["kind"] == "timeout" && fresh(status, &["traffic", "cluster"])
        });
        assert_ne!(section(&status, source)["failure"], Value::Null, "{source}");
        keys_answer(&mut person);
        zoom(&mut person, '5');
        person.wait("the store's line", |screen| flat(screen).contains(&format!("✗ {name}")));
        zoom(&mut person, '5');
        rehearsal.fault(&["store-pause", "--lift"]);
        watching.until("the store back", |status| fresh(status, &[store, source]));
    }
}
