//! The loop of the three copies: newest `created_at` first, `<=` the cursor, no mark on the rows.
//!
//! What follows from it and is played, not repaired: rows newer than T0 are never copied, rows updated behind the
//! cursor go stale, and a tie group as big as a batch stops the cursor for ever.

use serde_json::{Value, json};
use sqlx::Row as _;

use super::super::stores::clickhouse::Row;
use super::super::{LangfuseError, js};
use super::rows::Source;
use super::{Args, Tools, manager};
use crate::rehearsal::clock;

/// Copies one table.
pub(super) async fn run(tools: &Tools, source: &'static Source, args: &Value) -> Result<(), LangfuseError> {
    let (started, log, noun) = (clock::mono(), &tools.log, source.table);
    log.info(&format!("Migrating {noun} from postgres to clickhouse with {args}"));
    let args = Args(args);
    let key = source.state_key(args.state_suffix());
    let (max_rows, batch_size) = (args.max_rows(), args.batch_size());
    let begun = read_state(tools, source, &key).await?;
    let first = begun.or_else(|| args.max_date().map(str::to_owned)).and_then(|date| js::millis(&date));
    write_state(tools, source, &key, first.unwrap_or_else(clock::now_ms)).await?;

    let (mut processed, mut finished) = (0_f64, false);
    while !tools.is_aborted() && !finished && processed < max_rows {
        tools.faults.thawed().await;
        let count = batch(tools, source, &key, batch_size).await?;
        finished = i64::try_from(count).is_ok_and(|count| count < batch_size);
        processed += count as f64;
    }
    if tools.is_aborted() {
        log.info(&format!(
            "Migration of {noun} from Postgres to Clickhouse aborted after processing {processed} rows. Skipping cleanup."
        ));
    } else {
        let took = clock::since(started).as_millis();
        log.info(&format!("Finished migration of {noun} from Postgres to Clickhouse in {took}ms"));
    }
    Ok(())
}

/// Copies one batch below the cursor and moves the cursor; gives its rows.
async fn batch(tools: &Tools, source: &Source, key: &str, size: i64) -> Result<usize, LangfuseError> {
    let (fetched, log, noun) = (clock::mono(), &tools.log, source.table);
    let cursor = read_state(tools, source, key).await?.and_then(|date| js::millis(&date));
    let cursor = cursor.ok_or_else(|| LangfuseError::refused("Invalid time value"))?;
    if tools.faults.take_conflict(source.table) {
        return Err(manager::write_conflict());
    }
    let rows = sqlx::query(source.select).bind(js::iso(cursor)).bind(size).fetch_all(&tools.pool).await?;
    let Some(last) = rows.last() else {
        log.info(&format!("No more {noun} to migrate. Exiting..."));
        return Ok(0);
    };
    let oldest: i64 = last.try_get("created_at")?;
    let count = rows.len();
    log.info(&format!("Got {count} records from Postgres in {}ms", clock::since(fetched).as_millis()));

    let inserting = clock::mono();
    let converted: Vec<Row> = rows.iter().map(source.convert).collect::<Result<_, _>>()?;
    drop(rows);
    tools.clickhouse.insert(source.table, &converted).await?;
    let took = clock::since(inserting).as_millis();
    log.info(&format!("Inserted {count} {noun} into Clickhouse in {took}ms"));
    if tools.faults.take_death_in_batch(source.table) {
        tools.crew.die(1, "Error").await;
    }

    write_state(tools, source, key, oldest).await?;
    if i64::try_from(count).is_ok_and(|count| count < size) {
        log.info(&format!("No more {noun} to migrate. Exiting..."));
    }
    let took = clock::since(fetched).as_millis();
    log.info(&format!("Processed batch in {took}ms. Oldest record in batch: {}", js::iso(oldest)));
    Ok(count)
}

async fn read_state(tools: &Tools, source: &Source, key: &str) -> Result<Option<String>, LangfuseError> {
    let row = sqlx::query("SELECT state ->> $2 AS cursor FROM background_migrations WHERE id = $1")
        .bind(source.migration)
        .bind(key)
        .fetch_one(&tools.pool)
        .await?;
    Ok(row.try_get("cursor")?)
}

/// Observations keep several cursors in one state, so they read and write it in one SERIALIZABLE transaction:
/// the same row the heartbeat updates, hence the write conflicts of real life.
async fn write_state(tools: &Tools, source: &Source, key: &str, ms: i64) -> Result<(), LangfuseError> {
    let state = json!({key: js::iso(ms)});
    if !source.shares_state {
        sqlx::query("UPDATE background_migrations SET state = $2 WHERE id = $1")
            .bind(source.migration)
            .bind(state)
            .execute(&tools.pool)
            .await?;
        return Ok(());
    }
    let mut transaction = tools.pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    sqlx::query("SELECT state FROM background_migrations WHERE id = $1")
        .bind(source.migration)
        .fetch_one(&mut *transaction)
        .await?;
    sqlx::query("UPDATE background_migrations SET state = state || $2 WHERE id = $1")
        .bind(source.migration)
        .bind(state)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(())
}
