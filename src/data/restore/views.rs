//! The two views that v2 reads and v3.29.1 drops (langfuse.md 9.4): nothing is stored in them, so they can be made
//! again.
//!
//! One rule: their SQL stands in `assets/langfuse`, once: the rehearsal's database is made with the same text.

use sqlx::{Connection as _, PgConnection, Row as _};

use super::schema::Schema;
use crate::clients::work::PostgresWork;
use crate::domain::Trouble;

/// Name and definition, in the order they are made.
pub const VIEWS: [(&str, &str); 2] = [
    ("traces_view", include_str!("../../../assets/langfuse/traces_view.sql")),
    ("observations_view", include_str!("../../../assets/langfuse/observations_view.sql")),
];

/// Those that are not there.
pub fn missing(schema: &Schema) -> Vec<(&'static str, &'static str)> {
    VIEWS.into_iter().filter(|(name, _)| !schema.has(name)).collect()
}

/// Makes those that are not there, in one transaction; they belong to the owner of `traces`, so that v2 may read them.
///
/// # Errors
/// The server refuses: this user may not create views, or a column that the view names is gone.
pub async fn create(work: &PostgresWork, session: &mut PgConnection) -> Result<Vec<&'static str>, Trouble> {
    let schema = Schema::read(work, session).await?;
    create_all(session, &missing(&schema)).await.map_err(|e| work.trouble(&e))
}

async fn create_all(
    session: &mut PgConnection,
    missing: &[(&'static str, &'static str)],
) -> Result<Vec<&'static str>, sqlx::Error> {
    let mut transaction = session.begin().await?;
    let owner = sqlx::query(
        "SELECT quote_ident(pg_get_userbyid(relowner)) AS name, pg_get_userbyid(relowner) <> current_user AS other \
         FROM pg_class WHERE oid = to_regclass('traces')",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let (owner, other): (String, bool) = (owner.try_get("name")?, owner.try_get("other")?);
    let mut made = vec![];
    for (name, sql) in missing {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        if other {
            let change = format!("ALTER VIEW {name} OWNER TO {owner}");
            sqlx::raw_sql(sqlx::AssertSqlSafe(change)).execute(&mut *transaction).await?;
        }
        made.push(*name);
    }
    transaction.commit().await?;
    Ok(made)
}
