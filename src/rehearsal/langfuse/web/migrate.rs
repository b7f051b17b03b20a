//! The entrypoint: PostgreSQL and ClickHouse are brought to v3.29.0 before the port answers.

use sqlx::{PgPool, Row as _};

use super::super::LangfuseError;
use super::super::process::Context;
use super::super::stores::clickhouse::ClickHouse;
use super::schema;
use crate::rehearsal::clock;

/// What v3.0.0 to v3.29.0 change in v2's PostgreSQL (sheet 0). The effects are Langfuse's; the migration names
/// are this table's own, because one row here stands for several of Langfuse's.
const POSTGRES: &[(&str, &str)] = &[
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

/// Several web replicas start at once: the same lock as Prisma's migrate deploy.
const PRISMA_LOCK: i64 = 72_707_369;

/// Applies what is missing.
pub(super) async fn run(
    context: &Context,
    pool: &PgPool,
    clickhouse: &ClickHouse,
) -> Result<(), LangfuseError> {
    if context.settings.auto_postgres_migration {
        postgres(context, pool).await.map_err(|error| {
            context.log.error(
                "Applying database migrations failed. This is mostly caused by the database being unavailable.",
            );
            error
        })?;
    }
    if context.settings.auto_clickhouse_migration {
        self::clickhouse(context, clickhouse).await.map_err(|error| {
            context.log.error(
                "Applying clickhouse migrations failed. This is mostly caused by the database being unavailable.",
            );
            error
        })?;
    }
    Ok(())
}

async fn postgres(context: &Context, pool: &PgPool) -> Result<(), LangfuseError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(PRISMA_LOCK)
        .execute(&mut *transaction)
        .await?;
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
async fn clickhouse(context: &Context, server: &ClickHouse) -> Result<(), LangfuseError> {
    let clustered = server.clustered();
    server
        .execute(&schema::statement(schema::VERSIONS, clustered))
        .await?;
    let rows = server
        .select(
            "SELECT version, dirty FROM schema_migrations ORDER BY sequence DESC LIMIT 1",
            &[],
        )
        .await?;
    let number = |key: &str| {
        rows.first().and_then(|row| row.get(key)).map_or(0, |value| {
            value
                .as_i64()
                .or_else(|| value.as_str().and_then(|text| text.parse().ok()))
                .unwrap_or(0)
        })
    };
    let (at, dirty) = (number("version"), number("dirty"));
    if dirty != 0 {
        return Err(LangfuseError::refused(format!(
            "error: Dirty database version {at}. Fix and force version."
        )));
    }
    let newest = schema::MIGRATIONS.last().map_or(0, |migration| migration.version);
    if at > newest {
        return Err(LangfuseError::refused(format!(
            "error: no migration found for version {at}: read down for version {at} .: file does not exist"
        )));
    }
    if at == newest {
        context.log.info("no change");
    }
    for migration in schema::MIGRATIONS
        .iter()
        .filter(|migration| migration.version > at)
    {
        mark(server, migration.version, true).await?;
        for template in migration.statements {
            server.execute(&schema::statement(template, clustered)).await?;
        }
        mark(server, migration.version, false).await?;
        context.log.info(&format!("{}/u", migration.version));
    }
    Ok(())
}

async fn mark(server: &ClickHouse, version: i64, dirty: bool) -> Result<(), LangfuseError> {
    let sequence = clock::now().as_nanosecond();
    let dirty = u8::from(dirty);
    server
        .execute(&format!(
            "INSERT INTO schema_migrations (version, dirty, sequence) VALUES ({version}, {dirty}, {sequence})"
        ))
        .await
}
