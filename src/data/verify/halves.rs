//! PostgreSQL reads a table with one processor for one session: two of them read its halves at once.
//!
//! One rule: both read one snapshot of a table that nobody rewrites, so that a row that moves meanwhile is in one half and
//! not in both or none; where a server does not let them, or another server answers, one session reads the whole.

use std::sync::atomic::Ordering;

use sqlx::PgConnection;

use super::cost::Size;
use super::postgres::V2;
use super::range::Range;
use crate::clients::liveness::Session;
use crate::domain::{Kind, Trouble};

/// Fewer rows are read before a second session is there.
const WORTH: u64 = 200_000;
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The halves of a range as conditions on `t`, of which every row meets one, where it is large enough: by its time where it ends on both sides, as
/// there is an index for that, or by the place of its rows, as PostgreSQL can from 14 on ("TID Range Scan").
pub fn halves(size: &Size, time: &str, range: &Range) -> Vec<String> {
    match (range.from, range.to) {
        _ if size.about(range) < WORTH => vec![],
        (Some(from), Some(to)) => {
            let middle = Range { from: Some(from.midpoint(to)), to: None, project: None };
            let before = Range { from: None, to: middle.from, project: None };
            vec![before.pg(time, None), middle.pg(time, None)]
        }
        (None, None) if range.project.is_none() && size.by_place && !size.is_crowded(range) => {
            let middle = size.pages / 2;
            vec![format!("t.ctid < '({middle},0)'::tid"), format!("t.ctid >= '({middle},0)'::tid")]
        }
        _ => vec![],
    }
}

/// The id that the ids of a whole table are halved at, where that is worth it.
pub fn middle(size: &Size) -> Option<&str> {
    size.middle.as_deref().filter(|_| size.v2_rows >= WORTH)
}

impl V2 {
    /// Asks for two parts at once, or for the whole of them.
    ///
    /// # Errors
    /// The server cannot be reached, or what was asked fails.
    pub async fn halved<P: Sync, T>(
        &self,
        parts: &[P],
        whole: &P,
        ask: impl AsyncFn(&mut PgConnection, &P) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, Trouble> {
        self.ask(async |session| {
            if let [one, other] = parts
                && let Some(mut beside) = self.beside(session).await?
            {
                // Who is ready does not wait in a transaction for the other one.
                let half = async |session: &mut PgConnection, part: &P| {
                    let answer = ask(session, part).await?;
                    self.run(session, "COMMIT").await?;
                    Ok(answer)
                };
                let both = futures::try_join!(half(session, one), half(&mut beside, other));
                return both.map(|(one, other)| vec![one, other]).map_err(|trouble| self.once_more(trouble));
            }
            Ok(vec![ask(session, whole).await?])
        })
        .await
    }

    /// Another session that sees what this one does, both in a transaction; nothing where there cannot be one.
    async fn beside(&self, session: &mut PgConnection) -> Result<Option<Session>, Trouble> {
        if self.is_alone.load(Ordering::Relaxed) || self.from().contains(" JOIN ") {
            return Ok(None);
        }
        let joined = async {
            // Before the transaction: a pooler may let it wait.
            let mut beside = self.connect().await?;
            self.join(session, &mut beside).await?;
            Ok(beside)
        };
        match joined.await {
            Ok(beside) => Ok(Some(beside)),
            Err(trouble) => {
                self.alone(&trouble);
                self.run(session, "ROLLBACK").await?;
                Ok(None)
            }
        }
    }

    async fn join(&self, session: &mut PgConnection, other: &mut PgConnection) -> Result<(), Trouble> {
        // Locked before anything is seen of it: a table that is rewritten in between would look empty.
        let lock = format!("LOCK TABLE {} IN ACCESS SHARE MODE", self.table());
        self.run(session, &format!("{BEGIN}; {lock}")).await?;
        let exported =
            sqlx::query_scalar::<_, String>("SELECT pg_export_snapshot()").fetch_one(session).await;
        let snapshot = exported.map_err(|e| self.work.trouble(&e))?;
        let snapshot: String = snapshot.chars().filter(|c| c.is_ascii_hexdigit() || *c == '-').collect();
        self.run(other, &format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{snapshot}'; {lock}")).await
    }

    /// Two need twice the memory: what is refused to them is asked by one, which [`Self::ask`] does after a conflict.
    fn once_more(&self, trouble: Trouble) -> Trouble {
        if trouble.kind != Kind::Refused {
            return trouble;
        }
        self.alone(&trouble);
        Trouble { kind: Kind::Conflict, ..trouble }
    }

    /// From now on one session reads all.
    fn alone(&self, trouble: &Trouble) {
        tracing::info!(target: "verify", "one session reads PostgreSQL: {trouble}");
        self.is_alone.store(true, Ordering::Relaxed);
    }

    async fn run(&self, session: &mut PgConnection, sql: &str) -> Result<(), Trouble> {
        let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(session).await;
        done.map(drop).map_err(|e| self.work.trouble(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::verify::range::{DAY, HOUR};

    #[test]
    fn every_row_is_in_one_half() {
        let middle_id = Some("m".to_owned());
        let size = Size { v2_rows: WORTH, pages: 9, by_place: true, middle: middle_id, ..Size::default() };
        assert_eq!(middle(&size), Some("m"));
        assert_eq!(middle(&Size { v2_rows: WORTH - 1, ..size.clone() }), None);
        let whole = Range::default();
        assert_eq!(halves(&size, "x", &whole), ["t.ctid < '(4,0)'::tid", "t.ctid >= '(4,0)'::tid"]);
        let day = Range { from: Some(0), to: Some(DAY), project: Some("p".into()) };
        let size = Size { v2_rows: 31 * WORTH, ..size };
        let at = format!("('epoch'::timestamp + interval '{} milliseconds')", 12 * HOUR);
        assert_eq!(halves(&size, "x", &day), [format!("true AND x < {at}"), format!("true AND x >= {at}")]);
        // One statement: few rows, an older server, a range without an index or an end, as many hours as may be held.
        let crowded = Size { projects: 2_000, months: vec![(202_601, 9)], ..size.clone() };
        for (size, range) in [
            (crowded, &whole),
            (Size { v2_rows: WORTH - 1, ..size.clone() }, &whole),
            (Size { v2_rows: 30 * WORTH, ..size.clone() }, &day),
            (Size { by_place: false, ..size.clone() }, &whole),
            (size.clone(), &Range { project: Some("p".into()), ..whole.clone() }),
            (size.clone(), &Range { from: Some(0), ..whole.clone() }),
        ] {
            assert!(halves(&size, "x", range).is_empty());
        }
    }
}
