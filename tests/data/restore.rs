//! The way back: what v3 wrote is shown by v2, and v2's own rows stay.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use cutover::clients::work::{Access, ClickhouseWork, PostgresWork};
use cutover::data::restore::{self, Report, Sides, Wish};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::sides;

/// A rehearsal with both sides open.
struct Bench {
    rehearsal: Rehearsal,
    postgres: PostgresWork,
    clickhouse: ClickhouseWork,
    session: PgConnection,
    project: String,
    auth: String,
}

impl Bench {
    async fn start() -> Self {
        let rehearsal = sides::backfilled("300");
        let (postgres, clickhouse) = sides::open(&rehearsal, Access::Write).await;
        let mut session = postgres.session().await.unwrap();
        let config: toml::Table = std::fs::read_to_string(rehearsal.config()).unwrap().parse().unwrap();
        let key = |name: &str| config["probe"][name].as_str().unwrap().to_owned();
        let project = sqlx::query_scalar("SELECT project_id FROM api_keys WHERE public_key = $1")
            .bind(key("public_key"))
            .fetch_one(&mut session)
            .await
            .unwrap();
        use base64::Engine as _;
        let pair = format!("{}:{}", key("public_key"), key("secret_key"));
        let auth = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        Self { rehearsal, postgres, clickhouse, session, project, auth }
    }

    /// The public API of v2 or v3, in the canary project.
    async fn api(&self, url: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let address = format!("{}{path}", self.rehearsal.field(url));
        let client = reqwest::Client::new();
        let request = body.map_or_else(|| client.get(&address), |body| client.post(&address).json(&body));
        let answer = request.header("authorization", &self.auth).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// Rows into ClickHouse as v3's writer sends them, `updated_at` and `event_ts` now unless given.
    async fn v3_writes(&self, table: &str, rows: &[Value]) {
        for row in rows {
            let mut whole = json!({"project_id": self.project, "event_ts": "2026-11-22 10:00:00.000",
                "updated_at": "2026-11-22 10:00:00.000", "created_at": "2026-11-22 09:00:00.000", "is_deleted": 0});
            whole.as_object_mut().unwrap().extend(row.as_object().unwrap().clone());
            let time = if table == "observations" { "start_time" } else { "timestamp" };
            whole.as_object_mut().unwrap().entry(time).or_insert(json!("2026-11-22 09:00:00.000"));
            // The engine takes inserts as statements; `?` is a parameter to the client.
            let line = whole.to_string().replace('?', "??");
            let statement = format!("INSERT INTO {table} FORMAT JSONEachRow {line}");
            self.clickhouse.execute(self.clickhouse.query(&statement)).await.unwrap();
        }
    }

    async fn library(&self, write: bool, wish: Wish) -> Report {
        let sides = Sides {
            clickhouse: &self.clickhouse,
            postgres: &self.postgres,
            writer: write.then_some(&self.postgres),
        };
        let (report, ended) = restore::restore(sides, &wish, &mut |_| true).await;
        ended.unwrap();
        report
    }

    fn verb(&self, args: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.rehearsal.verb(&[&["restore"], args].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    async fn one<T>(&mut self, sql: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned())).fetch_one(&mut self.session).await.unwrap()
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut self.session).await.unwrap();
    }
}

/// Counts of the tables: inserts, updates, known, left.
fn counts(report: &Report) -> Vec<[u64; 4]> {
    let left = |t: &restore::TableReport| t.left.values().map(|n| n.count).sum();
    report.tables.iter().map(|t| [t.inserts.count, t.updates.count, t.known, left(t)]).collect()
}

#[tokio::test]
async fn what_v3_wrote_is_shown_by_v2() {
    let mut bench = Bench::start().await;
    // The load goes on with one event a second; it only ever writes to v2 here.
    let before = bench.library(false, Wish::default()).await;
    assert_eq!(before.rows(), 0, "{:?}", counts(&before));
    events_sent_to_v3(&mut bench).await;
    what_cannot_go_back_is_named(&mut bench).await;
    newer_rows_of_v2_stay(&mut bench).await;
    decisions_of_v3_are_v2_s_afterwards(&mut bench).await;
    views_and_enums(&mut bench).await;
    killed_and_resumed(&mut bench).await;
}

/// Real traffic: through v3's own API, queue and worker.
async fn events_sent_to_v3(bench: &mut Bench) {
    let now = "2026-11-22T09:00:00.000Z";
    let event =
        |id: &str, kind: &str, body: Value| json!({"id": id, "type": kind, "timestamp": now, "body": body});
    let batch = json!({"batch": [
        event("e1", "trace-create", json!({"id": "way-back", "name": "näme ?", "timestamp": now, "sessionId": "s-9", "userId": "u",
            "tags": ["b", "a\"\\"], "input": {"a": [1, 2.5]}, "output": "plain text", "public": true,
            "metadata": {"k": "v", "n": 5, "o": {"x": 1}, "pad": "007"}, "environment": "staging"})),
        event("e2", "generation-create", json!({"id": "way-back-g", "traceId": "way-back", "startTime": now, "model": "gpt-4",
            "usage": {"input": 10, "output": 5, "totalCost": 0.000_125}, "usageDetails": {"cached": 3}, "metadata": ["x"]})),
        event("e3", "score-create", json!({"id": "way-back-s", "traceId": "way-back", "name": "q", "value": 0.75})),
    ]});
    let (status, answer) = bench.api("v3_url", "/api/public/ingestion", Some(batch)).await;
    assert_eq!(status, 207, "{answer}");
    let begun = Instant::now();
    let dry = loop {
        let report = bench.library(false, Wish::default()).await;
        if report.rows() == 3 {
            break report;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", counts(&report));
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    assert!(!dry.written && dry.estimate_seconds.is_some());
    assert_eq!(bench.api("v2_url", "/api/public/traces/way-back", None).await.0, 404, "a dry run wrote");

    let (code, text, _) = bench.verb(&["--yes"]);
    assert_eq!(code, 0, "{text}");
    let (status, trace) = bench.api("v2_url", "/api/public/traces/way-back", None).await;
    assert_eq!(status, 200);
    assert_eq!(trace["metadata"], json!({"k": "v", "n": 5, "o": {"x": 1}, "pad": "007"}));
    assert_eq!((&trace["input"], &trace["output"]), (&json!({"a": [1, 2.5]}), &json!("plain text")));
    assert_eq!(
        (&trace["name"], &trace["tags"], &trace["public"]),
        (&json!("näme ?"), &json!(["a\"\\", "b"]), &json!(true))
    );
    assert_eq!((&trace["sessionId"], &trace["timestamp"]), (&json!("s-9"), &json!(now)));
    let generation = &trace["observations"][0];
    assert_eq!(
        (&generation["type"], &generation["model"], &generation["metadata"]),
        (&json!("GENERATION"), &json!("gpt-4"), &json!(["x"]))
    );
    assert_eq!((&generation["promptTokens"], &generation["completionTokens"]), (&json!(10), &json!(5)));
    assert_eq!(generation["calculatedTotalCost"], json!(0.000_125));
    assert_eq!((&trace["scores"][0]["value"], &trace["scores"][0]["source"]), (&json!(0.75), &json!("API")));
    assert_eq!(bench.one::<i64>("SELECT count(*) FROM trace_sessions WHERE id = 's-9'").await, 1);

    let again = bench.library(true, Wish::default()).await;
    assert_eq!(counts(&again), [[0, 0, 1, 0]; 3], "a second run writes nothing");
    let journal = bench.rehearsal.verb(&["journal"]);
    let journal = String::from_utf8(journal.stdout).unwrap();
    assert!(journal.contains("restore done") && journal.contains("1 traces inserted"), "{journal}");
}

async fn what_cannot_go_back_is_named(bench: &mut Bench) {
    let long = "x".repeat(10 << 20);
    bench
        .v3_writes(
            "traces",
            &[
                json!({"id": "nul", "name": "a\u{0}b"}),
                json!({"id": "nul-in-json", "input": "{\"a\":\"\\u0000\"}"}),
                json!({"id": "homeless", "project_id": "gone-project"}),
                json!({"id": "deleted", "is_deleted": 1}),
                json!({"id": "cutover-canary-1"}),
                json!({"id": "large", "output": long, "input": "1e400000"}),
                json!({"id": "it's ?/é😀", "input": "{\"n\": 12345678901234567890.123}"}),
            ],
        )
        .await;
    bench
        .v3_writes(
            "observations",
            &[
                json!({"id": "agent", "trace_id": "way-back", "type": "AGENT", "level": "DEFAULT"}),
                json!({"id": "tool", "trace_id": "way-back", "type": "TOOL", "provided_model_name": "m"}),
            ],
        )
        .await;
    bench.v3_writes("scores", &[
        json!({"id": "session-level", "name": "s", "source": "API", "data_type": "NUMERIC", "trace_id": ""}),
        json!({"id": "correction", "name": "s", "source": "API", "data_type": "CORRECTION", "trace_id": "way-back"}),
        json!({"id": "configless", "name": "s", "source": "EVAL", "data_type": "CATEGORICAL", "string_value": "good",
            "trace_id": "way-back", "config_id": "no-such"}),
    ]).await;
    // What JSON cannot say.
    for (id, name) in [("'not-utf8'", "unhex('ff')"), ("unhex('ff41')", "'n'")] {
        let row = format!(
            "INSERT INTO traces (id, project_id, name, timestamp, event_ts) \
             SELECT {id}, '{}', {name}, toDateTime64('2026-11-22 09:00:00', 3), toDateTime64('2026-11-22 10:00:00', 3)",
            bench.project
        );
        bench.clickhouse.execute(bench.clickhouse.query(&row)).await.unwrap();
    }
    // An id that v2 knows in another project.
    let theirs: String = bench.one("SELECT id FROM traces WHERE project_id != 'x' ORDER BY id LIMIT 1").await;
    let owner: String = bench.one(&format!("SELECT project_id FROM traces WHERE id = '{theirs}'")).await;
    assert_ne!(owner, bench.project);
    bench.v3_writes("traces", &[json!({"id": theirs, "name": "not yours"})]).await;

    let dry = bench.library(false, Wish::default()).await;
    let wet = bench.library(true, Wish::default()).await;
    assert_eq!(counts(&dry), counts(&wet), "a dry run says what will be");
    assert_eq!(counts(&wet), [[1, 0, 1, 7], [2, 0, 1, 0], [1, 0, 1, 2]], "{wet:#?}");
    assert_eq!(wet.tables[0].gone, 1);
    let report = serde_json::to_value(&wet).unwrap();
    let left = |table: usize, why: &str| report["tables"][table]["left"][why]["examples"].to_string();
    for id in [
        "/nul: name: the text holds NUL",
        "/nul-in-json: input:",
        "/large: ",
        "/not-utf8: name: the text is not UTF-8",
        "/FF41: ",
    ] {
        assert!(left(0, "refused").contains(id), "{id}: {}", left(0, "refused"));
    }
    assert!(left(0, "project_gone").contains("gone-project/homeless"));
    assert!(left(0, "other_project").contains(&theirs));
    assert!(left(2, "no_trace").contains("/session-level"));
    assert!(left(2, "refused").contains("CORRECTION"));
    assert!(report["tables"][1]["lost"]["observation_type"]["count"] == 2);
    assert!(report["tables"][2]["lost"]["score_config"]["count"] == 1);
    let kinds: Vec<String> = bench
        .one("SELECT array_agg(type::text ORDER BY id) FROM observations WHERE id IN ('agent', 'tool')")
        .await;
    assert_eq!(kinds, ["SPAN", "GENERATION"]);
    let number: String = bench.one("SELECT input ->> 'n' FROM traces WHERE id = 'it''s ?/é😀'").await;
    assert_eq!(number, "12345678901234567890.123", "numbers keep their precision");
    let name: Option<String> = bench.one(&format!("SELECT name FROM traces WHERE id = '{theirs}'")).await;
    assert_ne!(name.as_deref(), Some("not yours"));
    let (code, ..) = bench.verb(&["--table", "scores"]);
    assert_eq!(code, 1, "rows that stay behind are a finding");
}

/// v3 updated a copied row, and v2 updated another one since.
async fn newer_rows_of_v2_stay(bench: &mut Bench) {
    bench.run("UPDATE traces SET input = '{\"old\": 1}', metadata = '{\"a\": 1, \"b\": 2}', tags = '{x}', user_id = 'kept', \
        updated_at = '2030-01-01 11:00:00' WHERE id = 'way-back'").await;
    let row = |name: &str, at: &str| {
        json!({"id": "way-back", "name": name, "metadata": {"b": "3", "c": "{\"d\":[]}"}, "tags": ["y"],
        "updated_at": at, "event_ts": at})
    };
    bench.v3_writes("traces", &[row("older", "2030-01-01 10:59:59.999")]).await;
    let report = bench.library(true, Wish::default()).await;
    assert_eq!(report.rows(), 0, "{:?}", counts(&report));
    bench.v3_writes("traces", &[row("newer", "2030-01-01 11:00:00.001")]).await;
    let dry = bench.library(false, Wish { tables: vec![], project: Some("another".into()) }).await;
    assert_eq!(dry.rows(), 0, "another project's rows were asked for");
    let report = bench.library(true, Wish { tables: vec![], project: Some(bench.project.clone()) }).await;
    assert_eq!((report.tables[0].updates.count, report.rows()), (1, 1));
    let row: Value = bench.one("SELECT to_jsonb(t) FROM traces t WHERE id = 'way-back'").await;
    assert_eq!(
        (&row["name"], &row["user_id"], &row["input"]),
        (&json!("newer"), &json!("kept"), &json!({"old": 1}))
    );
    assert_eq!(row["metadata"], json!({"a": 1, "b": 3, "c": {"d": []}}));
    assert_eq!((&row["tags"], &row["public"]), (&json!(["x", "y"]), &json!(true)));
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
}

/// `false` of v3: a decision where its row has all that v2's has, and nobody's where it has not.
async fn decisions_of_v3_are_v2_s_afterwards(bench: &mut Bench) {
    let project = bench.project.clone();
    bench
        .run(&format!(
            "INSERT INTO traces (id, project_id, \"timestamp\", name, user_id, public, bookmarked, tags, created_at, updated_at) \
             SELECT id, '{project}', '2026-11-22 09:00:00', 'n', 'u', id <> 'flag-made-public', true, '{{a}}', \
             '2026-11-22 09:00:00', CASE id WHEN 'flag-v2-later' THEN '2026-11-22 11:00:00' ELSE '2026-11-22 09:30:00' END::timestamp \
             FROM unnest(ARRAY['flag-event', 'flag-screen', 'flag-partial', 'flag-partial-screen', 'flag-v2-later', 'flag-v2-renamed', \
             'flag-made-public', 'flag-copy']) AS ids(id)"
        ))
        .await;
    let whole = |id: &str, updated: &str, event: &str, more: Value| {
        let mut row = json!({"id": id, "name": "n", "user_id": "u", "public": false, "bookmarked": false, "tags": ["a"],
            "updated_at": updated, "event_ts": event});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let (before, after) = ("2026-11-22 09:30:00.000", "2026-11-22 10:00:00.000");
    bench
        .v3_writes(
            "traces",
            &[
                whole("flag-event", after, after, json!({})),
                // As v3's screens write: the whole row as it was, with another version.
                whole("flag-screen", before, after, json!({"tags": ["a", "b"]})),
                whole("flag-partial", after, after, json!({"user_id": null})),
                whole("flag-partial-screen", before, after, json!({"user_id": null})),
                whole("flag-v2-later", before, after, json!({})),
                whole("flag-v2-renamed", before, after, json!({})),
                whole("flag-made-public", before, after, json!({"public": true})),
                whole("flag-copy", before, "2026-11-22 09:00:00.000", json!({})),
            ],
        )
        .await;
    bench
        .run("UPDATE traces SET name = 'v2', updated_at = '2026-11-22 09:45:00' WHERE id = 'flag-v2-renamed'")
        .await;

    let dry = bench.library(false, Wish::default()).await;
    assert_eq!(
        bench.one::<i64>("SELECT count(*) FROM traces WHERE id LIKE 'flag-%' AND public").await,
        7,
        "a dry run wrote"
    );
    let wet = bench.library(true, Wish::default()).await;
    assert_eq!(counts(&dry), counts(&wet), "a dry run says what will be");
    // Event, screen, partial, renamed, made public.
    assert_eq!((wet.tables[0].updates.count, wet.rows()), (5, 5), "{:#?}", wet.tables[0]);
    for report in [&dry, &wet] {
        let kept = serde_json::to_value(report).unwrap()["tables"][0]["lost"]["undecided"].clone();
        assert_eq!(kept["count"], 2, "{kept}");
        assert!(kept["examples"].to_string().contains("/flag-partial-screen"), "{kept}");
    }
    let row = |id: &str| {
        format!(
            "SELECT name || ' ' || public || ' ' || bookmarked || ' ' || tags::text FROM traces WHERE id = '{id}'"
        )
    };
    for (id, wanted) in [
        ("flag-event", "n false false {a}"),
        ("flag-screen", "n false false {a,b}"),
        ("flag-partial", "n true true {a}"),
        ("flag-partial-screen", "n true true {a}"),
        ("flag-v2-later", "n true true {a}"),
        ("flag-v2-renamed", "v2 false false {a}"),
        ("flag-made-public", "n true false {a}"),
        ("flag-copy", "n true true {a}"),
    ] {
        assert_eq!(bench.one::<String>(&row(id)).await, wanted, "{id}");
    }
    let again = bench.library(true, Wish::default()).await;
    assert_eq!(again.rows(), 0, "a second run writes nothing: {:#?}", again.tables[0]);
    // Public again in v2 after the way back: that is newer than v3's word.
    bench
        .run("UPDATE traces SET public = true, updated_at = '2026-11-22 12:00:00' WHERE id = 'flag-screen'")
        .await;
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
    bench.run("DELETE FROM traces WHERE id LIKE 'flag-%'").await;
    let forget = "DELETE FROM traces WHERE id LIKE 'flag-%'";
    bench.clickhouse.execute(bench.clickhouse.query(forget)).await.unwrap();
}

async fn views_and_enums(bench: &mut Bench) {
    bench.run("DROP VIEW traces_view; DROP VIEW observations_view").await;
    assert_eq!(bench.api("v2_url", "/api/public/traces?limit=1", None).await.0, 500);
    let (code, _, words) = bench.verb(&["--yes"]);
    assert!(code == 4 && words.contains("view traces_view") && words.contains("--views"), "{code} {words}");
    let (code, sql, _) = bench.verb(&["--views"]);
    assert!(code == 1 && sql.contains("CREATE VIEW traces_view"), "{code} {sql}");
    let (code, made, words) = bench.verb(&["--views", "--yes"]);
    assert!(code == 0 && made.contains("traces_view, observations_view"), "{code} {made} {words}");
    assert_eq!(bench.api("v2_url", "/api/public/traces?limit=1", None).await.0, 200);
    assert_eq!(bench.api("v2_url", "/api/public/observations?limit=1", None).await.0, 200);
    assert_eq!(bench.verb(&["--views", "--yes"]).0, 0);

    bench.run("ALTER TYPE \"ScoreDataType\" RENAME TO \"ScoreConfigDataType\"").await;
    let (code, _, words) = bench.verb(&["--yes"]);
    assert!(code == 4 && words.contains("enum ScoreDataType") && words.contains("v3.143"), "{code} {words}");
    bench.run("ALTER TYPE \"ScoreConfigDataType\" RENAME TO \"ScoreDataType\"").await;
    bench.run("ALTER TABLE scores RENAME TO scores_gone").await;
    let (code, _, words) = bench.verb(&[]);
    assert!(code == 4 && words.contains("table scores") && words.contains("v4.0.0"), "{code} {words}");
    bench.run("ALTER TABLE scores_gone RENAME TO scores").await;
}

/// kill -9 in the middle of a write: what is there is whole batches, and the rest follows.
async fn killed_and_resumed(bench: &mut Bench) {
    const ROWS: i64 = 30_000;
    // Only PostgreSQL itself refuses it, and a dry run asks it about the first batches only.
    bench
        .v3_writes(
            "traces",
            &[json!({"id": "large", "is_deleted": 1, "event_ts": "2026-11-22 12:00:00.000"})],
        )
        .await;
    let many = format!(
        "INSERT INTO traces (id, project_id, timestamp, name, input, metadata, tags, public, bookmarked, created_at, updated_at, \
         event_ts, is_deleted) SELECT concat('many-', leftPad(toString(number), 6, '0')), '{}', \
         toDateTime64('2026-11-10 00:00:00', 3) + toIntervalMinute(number), 'm', repeat('{{\"a\":1}} ', 20), map('k', toString(number)), \
         ['t'], false, false, now64(3), now64(3), now64(3), 0 FROM numbers({ROWS})",
        bench.project
    );
    bench.clickhouse.execute(bench.clickhouse.query(&many)).await.unwrap();
    const COUNT: &str = "SELECT count(*) FROM traces WHERE id LIKE 'many-%'";
    // Four are killed, the last one is asked to end.
    for limit in [1, 2_500, 6_000, 11_000, 15_000] {
        let mut child = Command::new(CUTOVER)
            .arg("--config")
            .arg(bench.rehearsal.config())
            .args(["restore", "--yes"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while bench.one::<i64>(COUNT).await < limit {
            assert!(
                begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
                "too late to kill"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        if limit < 15_000 {
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            assert_eq!(child.wait().unwrap().code(), Some(75));
        }
    }
    let journal = bench.rehearsal.verb(&["journal"]);
    assert!(String::from_utf8(journal.stdout).unwrap().contains("all tables: interrupted, "));
    let begun = Instant::now();
    let written = loop {
        // A transaction that was on its way may still end, one way or the other.
        let busy: i64 = bench
            .one("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cutover restore'")
            .await;
        if busy == 0 {
            break bench.one::<i64>(COUNT).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(written > 0 && written < ROWS && written % 500 == 0, "{written} rows are no whole batches");
    let dry = bench.library(false, Wish::default()).await;
    assert_eq!(dry.tables[0].inserts.count, (ROWS - written) as u64);
    let (code, text, words) = bench.verb(&["--yes"]);
    assert_eq!(code, 1, "{text} {words}");
    assert_eq!(bench.one::<i64>(COUNT).await, ROWS);
    assert_eq!(bench.library(true, Wish::default()).await.rows(), 0);
}
