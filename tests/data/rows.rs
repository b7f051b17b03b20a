//! What we would write, held against what the worker wrote.

use cutover::clients::work::Access;
use cutover::data::rows;
use cutover::data::tables::{Live, spec};
use cutover::domain::backfill::Table;

use crate::sides;

/// Cell for cell, JSON byte for byte.
#[tokio::test]
async fn a_converted_row_is_the_row_that_the_worker_wrote() {
    let rehearsal = sides::backfilled("600");
    let (postgres, clickhouse) = sides::open(&rehearsal, Access::Read).await;
    let mut session = postgres.session().await.unwrap();
    for table in Table::BACKFILLED {
        let mapping = Live::read(&clickhouse.ask, spec(table)).await.unwrap().map(spec(table));
        assert!(mapping.unknown.is_empty() && mapping.absent.is_empty(), "{mapping:?}");
        // The history; the load goes on writing while this is read.
        let ids: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT id FROM {} WHERE created_at < now() AT TIME ZONE 'UTC' - interval '1 hour' ORDER BY id",
            table.name()
        )))
        .fetch_all(&mut *session)
        .await
        .unwrap();
        assert!(ids.len() > 250, "{}", ids.len());
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let converted = rows::from_postgres(&postgres, &mut session, &mapping, &ids).await.unwrap();
        let written = rows::from_clickhouse(&clickhouse, &mapping, &ids).await.unwrap();
        assert_eq!((written.len(), converted.len()), (ids.len(), ids.len()));
        for row in converted {
            let row = row.unwrap();
            let worker = written.iter().find(|w| w.key == row.key).unwrap();
            for (at, mapped) in mapping.columns.iter().enumerate() {
                assert_eq!(row.cells[at], worker.cells[at], "{:?} {}", row.key, mapped.column.ch);
            }
        }
    }
}
