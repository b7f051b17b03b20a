//! Whether a migration may start: credentials, and the target table, which web may still be making.

use std::time::Duration;

use super::super::LangfuseError;
use super::{Script, Tools};

/// How often the table is looked for again, and how long apart.
const RETRIES: u32 = 5;
const PAUSE: Duration = Duration::from_secs(10);

/// `Ok(Err(reason))` when the migration must not run; an error when ClickHouse cannot be asked.
pub(super) async fn validate(tools: &Tools, script: Script) -> Result<Result<(), String>, LangfuseError> {
    let Script::Copy(source) = script else {
        return Ok(Ok(()));
    };
    if !tools.credentials {
        return Ok(Err("Clickhouse credentials must be configured to perform migration".into()));
    }
    for attempt in 0..=RETRIES {
        let tables = tools.clickhouse.select("SHOW TABLES", &[]).await?;
        if tables.iter().any(|row| row.get("name").and_then(|name| name.as_str()) == Some(source.table)) {
            return Ok(Ok(()));
        }
        if attempt < RETRIES {
            let table = source.table;
            tools.log.info(&format!("ClickHouse {table} table does not exist. Retrying in 10s..."));
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(Err(format!("ClickHouse {} table does not exist", source.table)))
}
