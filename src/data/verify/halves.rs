//! PostgreSQL reads a table with one processor for one session: two of them read its halves at once.
//!
//! One rule: both read one snapshot, so that a row that moves meanwhile is in one half and not in both or none; where a
//! server does not let a second session in, or another server answers it, the first reads both halves.

use sqlx::PgConnection;

use super::cost::Size;
use super::postgres::V2;
use super::range::Range;
use crate::clients::liveness::Session;
use crate::domain::Trouble;

/// Fewer rows are read before a second session is there.
const WORTH: u64 = 200_000;
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// The halves of a range as conditions on `t`, of which every row meets one: by its time where it ends on both sides, as
/// there is an index for that, or by the place of its rows, as PostgreSQL can from 14 on ("TID Range Scan").
pub fn halves(size: &Size, time: &str, range: &Range) -> Vec<String> {
    let whole = vec!["true".to_owned()];
    match (range.from, range.to) {
        _ if size.about(range) < WORTH => whole,
        (Some(from), Some(to)) => {
            let middle = Range { from: Some(from.midpoint(to)), to: None, project: None };
            let before = Range { from: None, to: middle.from, project: None };
            vec![before.pg(time, None), middle.pg(time, None)]
        }
        (None, None) if range.project.is_none() && size.by_place && !size.is_crowded(range) => {
            let middle = size.pages / 2;
            vec![format!("t.ctid < '({middle},0)'::tid"), format!("t.ctid >= '({middle},0)'::tid")]
        }
        _ => whole,
    }
}

/// The id that the ids of a whole table are halved at, where that is worth it.
pub fn middle(size: &Size) -> Option<&str> {
    size.middle.as_deref().filter(|_| size.v2_rows >= WORTH)
}

impl V2 {
    /// Asks for each part, two of them at once.
    ///
    /// # Errors
    /// The server cannot be reached, or what was asked fails.
    pub async fn halved<P: Sync, T>(
        &self,
        parts: &[P],
        ask: impl AsyncFn(&mut PgConnection, &P) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, Trouble> {
        self.ask(async |session| match parts {
            [one] => Ok(vec![ask(session, one).await?]),
            [one, other] => {
                self.run(session, BEGIN).await?;
                let mut beside = self.beside(session).await;
                let Some(beside) = beside.as_deref_mut() else {
                    // What was refused may have ended the transaction.
                    self.run(session, "ROLLBACK").await?;
                    self.run(session, BEGIN).await?;
                    let both = vec![ask(session, one).await?, ask(session, other).await?];
                    self.run(session, "COMMIT").await?;
                    return Ok(both);
                };
                // Who is ready does not wait in a transaction for the other one.
                let half = async |session: &mut PgConnection, part: &P| {
                    let answer = ask(session, part).await?;
                    self.run(session, "COMMIT").await?;
                    Ok(answer)
                };
                let (one, other) = futures::try_join!(half(session, one), half(beside, other))?;
                Ok(vec![one, other])
            }
            more => {
                let mut answers = Vec::with_capacity(more.len());
                for part in more {
                    answers.push(ask(session, part).await?);
                }
                Ok(answers)
            }
        })
        .await
    }

    /// Another session that sees what the transaction of this one does; nothing where there cannot be one.
    async fn beside(&self, session: &mut PgConnection) -> Option<Session> {
        let asked = sqlx::query_scalar::<_, String>("SELECT pg_export_snapshot()").fetch_one(session).await;
        let beside = async {
            let snapshot = asked.map_err(|e| self.work.trouble(&e))?;
            let snapshot: String = snapshot.chars().filter(|c| c.is_ascii_hexdigit() || *c == '-').collect();
            let mut beside = self.connect().await?;
            self.run(&mut beside, &format!("{BEGIN}; SET TRANSACTION SNAPSHOT '{snapshot}'")).await?;
            Ok::<_, Trouble>(beside)
        };
        let beside = beside.await;
        beside
            .inspect_err(|trouble| tracing::info!(target: "verify", "one session reads all: {trouble}"))
            .ok()
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
            assert_eq!(halves(&size, "x", range), ["true"]);
        }
    }
}
