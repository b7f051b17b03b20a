//! BullMQ 5 and 6 on the rehearsal's Redis, step by step beside our reading of the same queues.

use std::time::{Duration, Instant};

use cutover::clients::target::{Address, RedisTarget, Targets, TlsOptions};
use cutover::domain::Fact;
use cutover::domain::queue::Queue;
use cutover::sources::Source as _;
use cutover::sources::queues::Queues;
use cutover::sources::shared::Shared;
use rstest::rstest;
use serde_json::{Value, json};

use crate::foreign::{self, Foreign, Talk};
use crate::sides::{Side, Stores};

/// A reading that does not agree by then never will.
const AGREED: Duration = Duration::from_secs(20);

/// What both must count: delayed, waiting (paused and prioritized among them), active, failed, whether paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    delayed: u64,
    waiting: u64,
    active: u64,
    failed: u64,
    paused: bool,
}

impl From<&Queue> for Seen {
    fn from(q: &Queue) -> Self {
        Self { delayed: q.delayed, waiting: q.waiting, active: q.active, failed: q.failed, paused: q.paused }
    }
}

/// `getJobCounts` and `isPaused`.
fn told(answer: &Value) -> Seen {
    let count = |key: &str| answer["counts"][key].as_u64().unwrap_or_else(|| panic!("no {key}: {answer}"));
    // 6.x has no such state any more: a paused queue's jobs wait.
    let paused = answer["counts"]["paused"].as_u64().unwrap_or(0);
    Seen {
        delayed: count("delayed"),
        waiting: count("waiting") + paused + count("prioritized"),
        active: count("active"),
        failed: count("failed"),
        paused: answer["paused"].as_bool().unwrap(),
    }
}

/// One queue as BullMQ and as we see it.
struct Both {
    talk: Talk,
    source: Queues,
    runtime: tokio::runtime::Runtime,
    name: &'static str,
}

impl Both {
    fn open(node: &Foreign, version: &str, redis: &str, name: &'static str, prefix: Option<&str>) -> Self {
        let mut talk = node.talk("bullmq.mjs", &[version, redis]);
        talk.ask(&json!({"do": "open", "name": name, "prefix": prefix}));
        let redis = RedisTarget {
            address: Address::url(redis),
            user: None,
            password: None,
            prefix: None,
            database: None,
            tls: TlsOptions::default(),
        };
        let shared = Shared::new(Targets { redis: Some(redis), ..Targets::default() });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        Self { talk, source: Queues::new(shared), runtime, name }
    }

    fn ours(&mut self) -> Option<Queue> {
        let Fact::Queues(fact) = self.runtime.block_on(self.source.poll()).unwrap() else { panic!("queues") };
        fact.queues.into_iter().find(|queue| queue.name == self.name)
    }

    /// Does something; then BullMQ and we must both see `wanted`.
    #[track_caller]
    fn step(&mut self, question: &Value, wanted: Seen) -> Value {
        let answer = self.talk.ask(question);
        assert_eq!(told(&answer), wanted, "BullMQ after {question}: {answer}");
        self.agree(&question.to_string(), wanted);
        answer["came"].clone()
    }

    /// Reads until ours is `wanted`: a queue is found by a scan, and not in every reading.
    #[track_caller]
    fn agree(&mut self, after: &str, wanted: Seen) -> Queue {
        let start = Instant::now();
        loop {
            let ours = self.ours();
            if let Some(queue) = ours.as_ref().filter(|queue| Seen::from(*queue) == wanted) {
                return queue.clone();
            }
            assert!(start.elapsed() < AGREED, "ours after {after}: {ours:?}, not {wanted:?}");
        }
    }

    #[track_caller]
    fn consumers(&mut self, wanted: u32) {
        let start = Instant::now();
        while self.ours().and_then(|queue| queue.consumers) != Some(wanted) {
            assert!(start.elapsed() < AGREED, "never {wanted} consumers: {:?}", self.ours());
        }
    }
}

/// The length of a list, by redis-cli's protocol and not by ours.
fn length(stores: &Stores, database: u8, key: &str) -> u64 {
    let url = format!("{}/{database}", stores.rehearsal.field("redis_url"));
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    redis::cmd("LLEN").arg(key).query(&mut connection).unwrap()
}

#[rstest]
#[case::five("bullmq5")]
#[case::six("bullmq6")]
fn bullmq_and_we_count_the_same_at_every_step(#[case] version: &str) {
    let Some(node) = foreign::node() else { return };
    let stores = Stores::start(&[]);
    // One instance, as Langfuse names the keys; then a cluster's layout, out of the first one's way.
    for (database, name, prefix) in
        [(0, "evaluation-execution-queue", None), (1, "ingestion-queue", Some("{ingestion-queue}"))]
    {
        let redis = format!("{}/{database}", stores.rehearsal.field("redis_url"));
        let base = format!("{}:{name}", prefix.unwrap_or("bull"));
        let mut both = Both::open(&node, version, &redis, name, prefix);
        let seen = Seen { delayed: 20, ..Seen::default() };
        both.step(&json!({"do": "add", "count": 20, "options": {"delay": 600_000}}), seen);
        let seen = Seen { waiting: 5, ..seen };
        both.step(&json!({"do": "add", "count": 5, "options": {"priority": 3}}), seen);
        let seen = Seen { waiting: 12, ..seen };
        both.step(&json!({"do": "add", "count": 7}), seen);

        both.step(&json!({"do": "pause"}), Seen { paused: true, ..seen });
        // The one difference between the two: where a paused queue keeps its jobs.
        let places = (
            length(&stores, database, &format!("{base}:wait")),
            length(&stores, database, &format!("{base}:paused")),
        );
        assert_eq!(places, if version == "bullmq5" { (0, 7) } else { (7, 0) }, "{version}");
        both.step(&json!({"do": "add", "count": 2}), Seen { paused: true, waiting: 14, ..seen });
        let seen = Seen { waiting: 14, ..seen };
        both.step(&json!({"do": "resume"}), seen);

        let seen = Seen { waiting: 0, failed: 14, ..seen };
        let came = both.step(&json!({"do": "work", "mode": "fail", "count": 14}), seen);
        assert_eq!(came["jobs"].as_array().unwrap().len(), 14, "{came}");
        both.consumers(1);
        both.step(&json!({"do": "stop"}), seen);
        both.consumers(0);
        let seen = Seen { waiting: 14, failed: 0, ..seen };
        both.step(&json!({"do": "retry"}), seen);
        both.step(&json!({"do": "work", "mode": "done", "count": 14}), Seen { waiting: 0, ..seen });
        let idle = Seen { delayed: 20, ..Seen::default() };
        both.step(&json!({"do": "stop"}), idle);

        killed(&node, version, &redis, &mut both, prefix);

        both.step(&json!({"do": "promote"}), Seen { waiting: 20, ..Seen::default() });
        both.step(&json!({"do": "work", "mode": "done", "count": 20}), Seen::default());
        both.step(&json!({"do": "stop"}), Seen::default());
        let queue = both.ours().unwrap();
        assert_eq!(queue.added, Some(38), "20 + 5 + 7 + 2 + 4 jobs were ever added");
        assert!(
            queue.version.as_deref().is_some_and(|it| it.starts_with(&format!("bullmq:{}", &version[6..]))),
            "{queue:?}"
        );
        both.step(&json!({"do": "clear"}), Seen::default());
    }
}

/// A worker of another process dies with four jobs in hand: they stay active until some worker looks for them.
fn killed(node: &Foreign, version: &str, redis: &str, both: &mut Both, prefix: Option<&str>) {
    let delayed = Seen { delayed: 20, ..Seen::default() };
    both.step(&json!({"do": "add", "count": 4}), Seen { waiting: 4, ..delayed });
    let mut other = node.talk("bullmq.mjs", &[version, redis]);
    other.ask(&json!({"do": "open", "name": both.name, "prefix": prefix}));
    let held = other.ask(&json!({"do": "work", "mode": "hold", "count": 4}));
    let active = Seen { active: 4, ..delayed };
    assert_eq!(told(&held), active);
    both.agree("four jobs in hand", active);
    both.consumers(1);
    other.kill();
    both.consumers(0);
    both.step(&json!({"do": "count"}), active);
    let came = both.step(&json!({"do": "work", "mode": "done", "count": 4}), delayed);
    assert_eq!(came["stalled"], 4, "{came}");
    both.step(&json!({"do": "stop"}), delayed);
}

/// Jobs of either side are worked by the other, events and failures included.
#[rstest]
#[case::five("bullmq5")]
#[case::six("bullmq6")]
fn jobs_pass_between_bullmq_and_the_rehearsal(#[case] version: &str) {
    let Some(node) = foreign::node() else { return };
    let stores = Stores::start(&[]);
    let redis = stores.rehearsal.field("redis_url");
    let mut both = Both::open(&node, version, redis, "ingestion-queue", None);

    // The rehearsal's worker does BullMQ's jobs, and says so in the stream of events.
    let nobody = json!({"payload": {
        "data": {"type": "trace-create", "eventBodyId": "nobody"},
        "authCheck": {"validKey": true, "scope": {"projectId": "nobody"}},
    }});
    let options = json!({"attempts": 1, "removeOnComplete": true, "removeOnFail": 10});
    let finish =
        |data: &Value| json!({"do": "finish", "name": "ingestion-job", "data": data, "options": options});
    let came = both.step(&finish(&nobody), Seen::default());
    assert_eq!(came["failed"], Value::Null, "{came}");
    let failed = Seen { failed: 1, ..Seen::default() };
    let came = both.step(&finish(&json!({})), failed);
    assert!(came["failed"].as_str().is_some_and(|why| why.contains("names no project")), "{came}");

    // And BullMQ's worker does v3 web's jobs, delayed as Langfuse delays them.
    stores.rehearsal.fault(&["queue-stall"]);
    let at = jiff::Timestamp::now().to_string();
    let event = json!({"id": "event", "type": "trace-create", "timestamp": at, "body": {"id": "passed", "name": "passed"}});
    stores.ingest("v3_url", &json!({"batch": [event]}));
    both.step(&json!({"do": "count"}), Seen { delayed: 1, ..failed });
    let came = both.step(&json!({"do": "work", "mode": "done", "count": 1}), failed);
    assert_eq!(came["jobs"][0]["name"], "ingestion-job", "{came}");
    assert_eq!(came["jobs"][0]["data"]["payload"]["data"]["eventBodyId"], "passed", "{came}");
    both.step(&json!({"do": "stop"}), failed);
    stores.rehearsal.fault(&["queue-stall", "--lift"]);
    assert!(stores.rows(Side::V3, "traces", &["passed".into()]).is_empty(), "BullMQ's worker wrote nothing");

    // Last, because its probes write to v3, and that is a job more.
    stores.rehearsal.until(&["status", "--json", "--wait", "3"], AGREED, |text| {
        let status: Value = serde_json::from_str(text).unwrap_or_default();
        let queues = status["queues"]["value"].as_array().cloned().unwrap_or_default();
        queues.iter().any(|queue| queue["name"] == "ingestion-queue" && queue["failed"] == 1)
    });
}
