//! Run items of datasets whose items have versions: each is one row, with the newest version of its item.

use cutover::data::tables::spec;
use cutover::domain::backfill::Table;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, sql, waiting};

async fn joined(rehearsal: &Rehearsal, what: &str) -> String {
    ask(rehearsal, &format!("SELECT {what} FROM {}", spec(Table::DatasetRunItems).from)).await
}

#[tokio::test]
async fn versions_of_an_item_do_not_multiply_its_rows() {
    let rehearsal = waiting("60", &[]).await;
    let all = joined(&rehearsal, "count(*)::text").await;
    assert!(all.parse::<u32>().unwrap() > 1, "{all}");
    let item = joined(&rehearsal, "min(i.id)").await;
    let of_item = format!("count(*) FILTER (WHERE t.dataset_item_id = '{item}')::text");
    let its = joined(&rehearsal, &of_item).await;
    // As v3.140 and v3.141 change the table.
    sql(
        &rehearsal,
        &format!(
            "ALTER TABLE dataset_items ADD COLUMN valid_from timestamp(3) NOT NULL DEFAULT '2026-01-01', \
             ADD COLUMN valid_to timestamp(3), ADD COLUMN is_deleted boolean NOT NULL DEFAULT false; \
             ALTER TABLE dataset_items DROP CONSTRAINT dataset_items_pkey CASCADE; \
             ALTER TABLE dataset_items ADD PRIMARY KEY (id, project_id, valid_from); \
             CREATE TEMP TABLE newer AS SELECT * FROM dataset_items WHERE id = '{item}'; \
             UPDATE newer SET valid_from = '2026-02-01', input = '\"newer\"'; \
             INSERT INTO dataset_items SELECT * FROM newer"
        ),
    )
    .await;
    assert_eq!(joined(&rehearsal, "count(*)::text").await, all);
    let newest = format!("string_agg(DISTINCT i.input::text, ' ') FILTER (WHERE i.id = '{item}')");
    assert_eq!(joined(&rehearsal, &newest).await, "\"newer\"");
    sql(&rehearsal, "UPDATE dataset_items SET is_deleted = true WHERE valid_from = '2026-02-01'").await;
    assert_eq!(joined(&rehearsal, &of_item).await, "0", "of {its}");
}
