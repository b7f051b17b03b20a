//! `verify` on a copied history that nobody writes to: what it finds ([`planted`]), what it need not read again
//! ([`remembered`]), and what happens when it cannot read ([`faults`]).

mod faults;
mod planted;
mod remembered;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover::clients::work::ClickhouseWork;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ch, document, sql};

/// A copied history that nobody writes to: not even `status` with its canaries.
async fn still(traces: &str) -> Rehearsal {
    let rehearsal =
        Rehearsal::start(&["--traces", traces, "--rate", "0", "--seed", "7", "--scenario", "happy"]);
    let mut session = PgConnection::connect(rehearsal.field("postgres_url")).await.unwrap();
    let open = "SELECT count(*) FROM background_migrations WHERE finished_at IS NULL";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(open).fetch_one(&mut session).await.unwrap() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(100), "the backfill is not over");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    rehearsal
}

/// Copies traces into ClickHouse as they are there, with other values for some columns.
async fn again(work: &ClickhouseWork, id: &str, replace: &str) {
    ch(work, &format!("INSERT INTO traces SELECT * REPLACE ({replace}) FROM traces FINAL WHERE id = '{id}'"))
        .await;
}

fn verify(rehearsal: &Rehearsal, args: &[&str]) -> Value {
    told(rehearsal, &[&["--grace", "0"], args].concat())
}

fn told(rehearsal: &Rehearsal, args: &[&str]) -> Value {
    let output = rehearsal.verb(&[&["verify", "--json"], args].concat());
    let told = document(&output);
    assert_eq!(output.status.code(), Some(i32::from(told["wrong"] != 0)), "{told:#}");
    told
}

/// Id to difference and columns.
fn findings(told: &Value) -> BTreeMap<String, (String, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |f: &Value| {
        let columns = f["columns"].as_array().unwrap().iter().map(|c| text(&c["column"])).collect();
        (text(&f["id"]), (text(&f["difference"]), columns))
    };
    told["findings"].as_array().unwrap().iter().map(one).collect()
}

/// Rows with ids, values and JSON of every kind, in both databases, and no difference between them.
const ODD: &str = r#"
    CREATE TEMP TABLE p AS SELECT id FROM projects ORDER BY id LIMIT 1;
    INSERT INTO traces (id, project_id, "timestamp", name, user_id, metadata, input, output, tags, public, created_at, updated_at)
    SELECT v.id, p.id, '2026-05-04 03:02:01.123', v.name, v.user_id, v.metadata::jsonb, v.input::jsonb, v.output::jsonb, v.tags::text[],
           true, '2026-05-04 03:02:02', '2026-05-04 03:02:03' FROM p, (VALUES
      ('clh8m0xq30000qz8k1v5t2a9b', NULL, NULL, NULL, NULL, NULL, '{}'),
      ('CLH8M0XQ30000QZ8K1V5T2A9B', '', '', '{}', '[]', '{}', '{a,"b c"}'),
      ('4bf92f3577b34da6a3ce929d0e0e4736', 'x', NULL, '"text"', '1.0', '0', '{"b","a"}'),
      ('🙂 it''s "a/b" \', 'é', 'É', '[1, 2.50]', '{"bb": 1, "a": 1.50, "10": true, "9": null}', 'false', '{}'),
      ('json-spelling', 'n', 'u', '{"n": 1.0, "s": "{\"x\": 1}", "o": {"y": [1.50, null], "x": "é"}, "z": null, "t": true}', '"\u00e9\n\t\""', '""', '{}'),
      ('numbers', 'n', 'u', '{"big": 1e25, "small": 1e-9}', '[1e25, 0.0000001, -0.0, 123456.789, 1e2]', 'null', '{}')
    ) AS v(id, name, user_id, metadata, input, output, tags);
"#;
