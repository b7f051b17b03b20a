//! v3.29.0's ClickHouse schema as its eight migrations, in golang-migrate's order (sheet 3.1).
//!
//! `{cluster}` and `{replicated}` are filled in as `CLICKHOUSE_CLUSTER_ENABLED` says.

/// One migration: its version and its statements.
pub struct Migration {
    /// golang-migrate's version, the number the file name starts with.
    pub version: i64,
    /// The statements, applied in order.
    pub statements: &'static [&'static str],
}

/// The migrations of v3.29.0, oldest first.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        statements: &[TRACES],
    },
    Migration {
        version: 2,
        statements: &[OBSERVATIONS],
    },
    Migration {
        version: 3,
        statements: &[SCORES],
    },
    Migration {
        version: 4,
        statements: &["ALTER TABLE observations {cluster} DROP INDEX IF EXISTS idx_project_id"],
    },
    Migration {
        version: 5,
        statements: &[
            "ALTER TABLE traces {cluster} ADD INDEX IF NOT EXISTS idx_session_id session_id TYPE bloom_filter() GRANULARITY 1",
        ],
    },
    Migration {
        version: 6,
        statements: &[
            "ALTER TABLE traces {cluster} ADD INDEX IF NOT EXISTS idx_user_id user_id TYPE bloom_filter() GRANULARITY 1",
        ],
    },
    Migration {
        version: 7,
        statements: &[EVENT_LOG],
    },
    Migration {
        version: 8,
        statements: &[
            "ALTER TABLE traces {cluster} ADD COLUMN IF NOT EXISTS environment LowCardinality(String) DEFAULT 'default' AFTER project_id",
            "ALTER TABLE observations {cluster} ADD COLUMN IF NOT EXISTS environment LowCardinality(String) DEFAULT 'default' AFTER project_id",
            "ALTER TABLE scores {cluster} ADD COLUMN IF NOT EXISTS environment LowCardinality(String) DEFAULT 'default' AFTER project_id",
        ],
    },
];

/// golang-migrate's own table.
pub const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations {cluster} \
    (version Int64, dirty UInt8, sequence UInt64) ENGINE = MergeTree ORDER BY sequence";

const TRACES: &str = "CREATE TABLE IF NOT EXISTS traces {cluster} (
    id String, timestamp DateTime64(3), name String, user_id Nullable(String),
    metadata Map(LowCardinality(String), String), release Nullable(String), version Nullable(String),
    project_id String, public Bool, bookmarked Bool, tags Array(String),
    input Nullable(String) CODEC(ZSTD(3)), output Nullable(String) CODEC(ZSTD(3)), session_id Nullable(String),
    created_at DateTime64(3) DEFAULT now(), updated_at DateTime64(3) DEFAULT now(),
    event_ts DateTime64(3), is_deleted UInt8,
    INDEX idx_id id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_res_metadata_key mapKeys(metadata) TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX idx_res_metadata_value mapValues(metadata) TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (project_id, toDate(timestamp)) ORDER BY (project_id, toDate(timestamp), id)";

const OBSERVATIONS: &str = "CREATE TABLE IF NOT EXISTS observations {cluster} (
    id String, trace_id String, project_id String, type LowCardinality(String),
    parent_observation_id Nullable(String), start_time DateTime64(3), end_time Nullable(DateTime64(3)),
    name String, metadata Map(LowCardinality(String), String), level LowCardinality(String),
    status_message Nullable(String), version Nullable(String),
    input Nullable(String) CODEC(ZSTD(3)), output Nullable(String) CODEC(ZSTD(3)),
    provided_model_name Nullable(String), internal_model_id Nullable(String), model_parameters Nullable(String),
    provided_usage_details Map(LowCardinality(String), UInt64), usage_details Map(LowCardinality(String), UInt64),
    provided_cost_details Map(LowCardinality(String), Decimal64(12)),
    cost_details Map(LowCardinality(String), Decimal64(12)), total_cost Nullable(Decimal64(12)),
    completion_start_time Nullable(DateTime64(3)), prompt_id Nullable(String), prompt_name Nullable(String),
    prompt_version Nullable(UInt16), created_at DateTime64(3) DEFAULT now(), updated_at DateTime64(3) DEFAULT now(),
    event_ts DateTime64(3), is_deleted UInt8,
    INDEX idx_id id TYPE bloom_filter() GRANULARITY 1,
    INDEX idx_trace_id trace_id TYPE bloom_filter() GRANULARITY 1,
    INDEX idx_project_id project_id TYPE bloom_filter() GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(start_time)
PRIMARY KEY (project_id, type, toDate(start_time)) ORDER BY (project_id, type, toDate(start_time), id)";

const SCORES: &str = "CREATE TABLE IF NOT EXISTS scores {cluster} (
    id String, timestamp DateTime64(3), project_id String, trace_id String, observation_id Nullable(String),
    name String, value Float64, source String, comment Nullable(String) CODEC(ZSTD(1)),
    author_user_id Nullable(String), config_id Nullable(String), data_type String, string_value Nullable(String),
    queue_id Nullable(String), created_at DateTime64(3) DEFAULT now(), updated_at DateTime64(3) DEFAULT now(),
    event_ts DateTime64(3), is_deleted UInt8,
    INDEX idx_id id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_project_trace_observation (project_id, trace_id, observation_id) TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = {replicated}ReplacingMergeTree(event_ts, is_deleted) PARTITION BY toYYYYMM(timestamp)
PRIMARY KEY (project_id, toDate(timestamp), name) ORDER BY (project_id, toDate(timestamp), name, id)";

/// Plain `MergeTree` also in a cluster: each replica keeps only its own rows.
const EVENT_LOG: &str = "CREATE TABLE IF NOT EXISTS event_log {cluster} (
    id String, project_id String, entity_type String, entity_id String, event_id Nullable(String),
    bucket_name String, bucket_path String,
    created_at DateTime64(3) DEFAULT now(), updated_at DateTime64(3) DEFAULT now()
) ENGINE = MergeTree ORDER BY (project_id, entity_type, entity_id)";

/// A statement for one server or for the cluster named `default`.
pub fn statement(template: &str, clustered: bool) -> String {
    let (cluster, replicated) = if clustered {
        ("ON CLUSTER default", "Replicated")
    } else {
        ("", "")
    };
    template
        .replace("{cluster}", cluster)
        .replace("{replicated}", replicated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_rise_and_templates_are_filled() {
        assert!(
            MIGRATIONS
                .windows(2)
                .all(|pair| pair[0].version + 1 == pair[1].version)
        );
        let one = statement(TRACES, false);
        assert!(one.contains("ENGINE = ReplacingMergeTree") && !one.contains('{'));
        assert!(statement(TRACES, true).contains("ON CLUSTER default"));
    }
}
