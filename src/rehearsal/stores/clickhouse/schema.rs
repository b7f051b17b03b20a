//! The tables that Langfuse v3.29.0 creates in ClickHouse.

/// One statement per entry, in order; running them again changes nothing.
///
/// The stand-in of v3's web runs them before it listens, as the real one runs golang-migrate.
pub fn clickhouse_schema() -> &'static [&'static str] {
    &[
        include_str!("../../../../assets/rehearsal/clickhouse/1_traces.sql"),
        include_str!("../../../../assets/rehearsal/clickhouse/2_observations.sql"),
        include_str!("../../../../assets/rehearsal/clickhouse/3_scores.sql"),
        include_str!("../../../../assets/rehearsal/clickhouse/4_event_log.sql"),
        include_str!("../../../../assets/rehearsal/clickhouse/5_schema_migrations.sql"),
        include_str!("../../../../assets/rehearsal/clickhouse/6_schema_version.sql"),
    ]
}
