//! The entrypoint: PostgreSQL and ClickHouse are brought to v3.29.0 before the port answers.

use sqlx::{PgPool, Row as _};

use super::super::LangfuseError;
use super::super::process::Context;
use super::super::stores::clickhouse::ClickHouse;
use crate::rehearsal::clock;
use crate::rehearsal::stores::clickhouse::clickhouse_schema;

/// golang-migrate's version of v3.29.0.
const NEWEST: i64 = 8;

/// What v3.0.0 to v3.29.0 change in v2's PostgreSQL (sheet 0). The effects are Langfuse's; the migration names
/// are this table's own, because one row here stands for several of Langfuse's.
const POSTGRES: &[(&str, &str)] = &[
    ("20241205000000_v3_prices", PRICES),
    ("20241205000001_v3_fill_prices", FILL_PRICES),
    (
        "20241209000000_v3_projects_deleted_at",
        "ALTER TABLE IF EXISTS projects ADD COLUMN IF NOT EXISTS deleted_at timestamp(3)",
    ),
    (
        "20250128000000_v3_drop_trace_session_fk",
        "ALTER TABLE IF EXISTS traces DROP CONSTRAINT IF EXISTS traces_session_id_project_id_fkey",
    ),
    ("20250214000000_v3_drop_events", "DROP TABLE IF EXISTS events"),
    (
        "20250220000000_v3_trace_sessions_environment",
        "ALTER TABLE IF EXISTS trace_sessions ADD COLUMN IF NOT EXISTS environment text NOT NULL DEFAULT 'default'",
    ),
];

/// v3 keeps prices per usage type: the table is made from the models' three columns.
const PRICES: &str = "CREATE TABLE IF NOT EXISTS prices (
    id text PRIMARY KEY DEFAULT gen_random_uuid()::text, model_id text NOT NULL, usage_type text NOT NULL,
    price numeric(65, 30) NOT NULL, created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, UNIQUE (model_id, usage_type))";
const FILL_PRICES: &str = "INSERT INTO prices (model_id, usage_type, price)
    SELECT m.id, p.usage_type, p.price FROM models m
    CROSS JOIN LATERAL (VALUES ('input', m.input_price), ('output', m.output_price), ('total', m.total_price))
        AS p (usage_type, price)
    WHERE p.price IS NOT NULL ON CONFLICT DO NOTHING";

/// Several web replicas start at once: the same lock as Prisma's migrate deploy.
const PRISMA_LOCK: i64 = 72_707_369;

/// Applies what is missing.
pub(super) async fn run(
    context: &Context,
    pool: &PgPool,
    clickhouse: &ClickHouse,
) -> Result<(), LangfuseError> {
    if context.settings.auto_postgres_migration {
        postgres(context, pool).await.inspect_err(|_| {
            context.log.error(
                "Applying database migrations failed. This is mostly caused by the database being unavailable.",
            );
        })?;
    }
    if context.settings.auto_clickhouse_migration {
        self::clickhouse(context, clickhouse).await.inspect_err(|_| {
            context.log.error(
                "Applying clickhouse migrations failed. This is mostly caused by the database being unavailable.",
            );
        })?;
    }
    Ok(())
}

async fn postgres(context: &Context, pool: &PgPool) -> Result<(), LangfuseError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(PRISMA_LOCK).execute(&mut *transaction).await?;
    let unfinished = sqlx::query(
        "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NULL AND rolled_back_at IS NULL",
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(row) = unfinished {
        let name: String = row.try_get(0)?;
        return Err(LangfuseError::refused(format!(
            "Error: P3009 migrate found failed migrations in the target database, new migrations will not be applied. \
             The `{name}` migration failed"
        )));
    }
    let mut applied = 0;
    for (name, sql) in POSTGRES {
        let known = sqlx::query("SELECT 1 FROM _prisma_migrations WHERE migration_name = $1")
            .bind(name)
            .fetch_optional(&mut *transaction)
            .await?;
        if known.is_none() {
            sqlx::query(*sql).execute(&mut *transaction).await?;
            record(&mut transaction, name).await?;
            applied += 1;
        }
    }
    transaction.commit().await?;
    context.log.info(if applied == 0 {
        "No pending migrations to apply."
    } else {
        "All migrations have been successfully applied."
    });
    Ok(())
}

async fn record(connection: &mut sqlx::PgConnection, name: &str) -> Result<(), LangfuseError> {
    sqlx::query(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at, finished_at, applied_steps_count) \
         VALUES ($1, md5($2), $2, now(), now(), 1)",
    )
    .bind(uuid::Uuid::new_v4().to_string())
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}

/// golang-migrate over HTTP: the real one speaks the native protocol at `CLICKHOUSE_MIGRATION_URL`.
///
/// The eight migrations of v3.29.0 are one step here; it leaves `dirty` behind when it is interrupted.
async fn clickhouse(context: &Context, server: &ClickHouse) -> Result<(), LangfuseError> {
    let statements: Vec<String> =
        clickhouse_schema().iter().map(|sql| for_topology(sql, server.clustered())).collect();
    for sql in statements.iter().filter(|sql| sql.contains("EXISTS schema_migrations")) {
        server.execute(sql, &[]).await?;
    }
    let (at, dirty) = version(server).await?;
    if dirty {
        return Err(LangfuseError::refused(format!(
            "error: Dirty database version {at}. Fix and force version."
        )));
    }
    if at > NEWEST {
        return Err(LangfuseError::refused(format!(
            "error: no migration found for version {at}: read down for version {at} .: file does not exist"
        )));
    }
    if at == NEWEST {
        context.log.info("no change");
        return Ok(());
    }
    mark(server, true).await?;
    for sql in &statements {
        server.execute(sql, &[]).await?;
    }
    mark(server, false).await?;
    context.log.info(&format!("{NEWEST}/u add_environments_column"));
    Ok(())
}

/// The newest row of `schema_migrations`: version, and whether it was interrupted.
async fn version(server: &ClickHouse) -> Result<(i64, bool), LangfuseError> {
    let sql = "SELECT version, dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1";
    let rows = server.select(sql, &[]).await?;
    let number = |key: &str| {
        let value = rows.first().and_then(|row| row.get(key));
        value.map_or(0, |n| n.as_i64().or_else(|| n.as_str()?.parse().ok()).unwrap_or(0))
    };
    Ok((number("version"), number("dirty") != 0))
}

async fn mark(server: &ClickHouse, dirty: bool) -> Result<(), LangfuseError> {
    let sequence = clock::now().as_nanosecond();
    let dirty = u8::from(dirty);
    let sql = format!(
        "INSERT INTO schema_migrations (version, dirty, sequence) VALUES ({NEWEST}, {dirty}, {sequence})"
    );
    server.execute(&sql, &[]).await
}

/// The statement as it is for one server, or as Langfuse writes it for a cluster named `default`.
fn for_topology(sql: &str, clustered: bool) -> String {
    if !clustered {
        return sql.to_owned();
    }
    sql.replacen(" (\n", " ON CLUSTER default (\n", 1)
        .replace("ENGINE = ReplacingMergeTree", "ENGINE = ReplicatedReplacingMergeTree")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_gets_other_engines() {
        let traces = for_topology(clickhouse_schema()[0], true);
        assert!(traces.contains("traces ON CLUSTER default (") && traces.contains("= ReplicatedReplacing"));
        assert_eq!(for_topology("SELECT 1", false), "SELECT 1");
    }
}
