//! PostgreSQL with Langfuse v2's schema and a small history; a kill and a pause.

use std::time::Duration;

use sqlx::{PgConnection, query_scalar};

use super::{present, stage};
use crate::rehearsal::{
    clock,
    history::{self, Counts, History, Options},
    stores::{Endpoints, postgres},
};

fn only_postgres(url: String) -> Endpoints {
    let empty = String::new;
    Endpoints {
        postgres_url: url,
        redis_url: empty(),
        clickhouse_url: empty(),
        clickhouse_user: empty(),
        clickhouse_password: empty(),
        clickhouse_reader: empty(),
        clickhouse_reader_password: empty(),
        clickhouse_database: empty(),
        s3_url: empty(),
        s3_bucket: empty(),
        s3_region: empty(),
        s3_access_key: empty(),
        s3_secret_key: empty(),
    }
}

async fn number(connection: &mut PgConnection, sql: &'static str) -> i64 {
    query_scalar(sql).fetch_one(connection).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal}"))
}

/// What is asked of 2 000 traces, 100 of them of one moment, and what the answer is.
const ANSWERS: [(&str, i64); 12] = [
    ("SELECT count(*) FROM traces", 2_000),
    ("SELECT count(*) FROM traces_view WHERE duration > 0", 2_000),
    (
        "SELECT count(*) FROM observations_view WHERE model_id IS NOT NULL AND calculated_total_cost > 0",
        2_000,
    ),
    ("SELECT count(*) FROM scores WHERE (value IS NULL) = (data_type = 'CATEGORICAL')", 1_000),
    (
        "SELECT count(*) FROM observations o JOIN traces t ON t.id = o.trace_id AND t.project_id = o.project_id",
        4_000,
    ),
    ("SELECT count(*) FROM observations WHERE prompt_id NOT IN (SELECT id FROM prompts)", 0),
    ("SELECT count(*) FROM traces WHERE created_at < \"timestamp\" AND created_at > now()", 0),
    ("SELECT max(n) FROM (SELECT count(*) AS n FROM traces GROUP BY created_at) groups", 100),
    ("SELECT count(*) FROM background_migrations WHERE finished_at IS NULL AND state = '{}'", 4),
    ("SELECT count(*) FROM projects JOIN api_keys ON project_id = projects.id", 6),
    ("SELECT count(*) FROM pg_indexes WHERE tablename = 'observations'", 13),
    ("SELECT count(*) FROM pg_class WHERE relname = 'traces' AND relallvisible = relpages", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_holds_langfuse_v2() {
    let stage = stage().await;
    let Some(store) = present(postgres::start(&stage).await) else {
        return;
    };
    let endpoints = only_postgres(store.server().url());
    let options = Options { traces: 2_000, tie_group: 100, ..Options::default() };
    let begun = clock::mono();
    let history = history::load(&endpoints, &options).await.unwrap();
    eprintln!("2 000 traces in {:?}", clock::since(begun));
    let mut connection = postgres::connect(&endpoints.postgres_url).await.unwrap();
    the_rows_are_as_counted(&mut connection, history.counts).await;
    the_projects_are_known_by_their_keys(&mut connection, &history, &options.salt).await;
    assert_eq!(query_scalar::<_, String>("SHOW timezone").fetch_one(&mut connection).await.unwrap(), "UTC");

    store.kill().await;
    assert!(postgres::connect(&endpoints.postgres_url).await.is_err());
    store.start().await.unwrap();
    let mut connection = postgres::connect(&endpoints.postgres_url).await.unwrap();
    assert_eq!(number(&mut connection, "SELECT count(*) FROM traces").await, 2_000, "after a kill");
    store.pause().await;
    let frozen =
        tokio::time::timeout(Duration::from_millis(300), number(&mut connection, "SELECT 1::bigint"));
    assert!(frozen.await.is_err(), "an open session of a paused server answers nothing");
    store.resume().await;
    store.stop().await;
    stage.close().await.unwrap();
}

async fn the_rows_are_as_counted(connection: &mut PgConnection, counts: Counts) {
    assert_eq!((counts.traces, counts.observations, counts.scores), (2_000, 4_000, 1_000));
    for (sql, expected) in ANSWERS {
        assert_eq!(number(connection, sql).await, expected, "{sql}");
    }
    assert_eq!(
        counts.dataset_run_items.cast_signed(),
        number(connection, "SELECT count(*) FROM dataset_run_items").await
    );
    assert_eq!(
        counts.sessions.cast_signed(),
        number(connection, "SELECT count(*) FROM trace_sessions").await
    );
}

async fn the_projects_are_known_by_their_keys(connection: &mut PgConnection, history: &History, salt: &str) {
    let project = &history.projects[0];
    let found: String =
        query_scalar("SELECT project_id FROM api_keys WHERE public_key = $1 AND fast_hashed_secret_key = $2")
            .bind(&project.public_key)
            .bind(history::fast_hash(&project.secret_key, salt))
            .fetch_one(connection)
            .await
            .unwrap();
    assert_eq!(found, project.id);
    assert_eq!(history.canary().unwrap().name, history::CANARY_PROJECT);
}
