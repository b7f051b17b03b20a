//! One batch, one transaction.
//!
//! One rule: a batch is written whole or not at all; a row that the server refuses is found by halving and named, and
//! the others go on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::entity::Entity;
use super::target::Target;
use crate::clients::liveness::Session;
use crate::clients::work::PostgresWork;
use crate::data::convert::back::Loss;
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Tries of a batch that met a lock, a deadlock or a serialisation failure.
const TRIES: u32 = 5;
/// Before the second try; then twice, three times as long.
const PAUSE: Duration = Duration::from_millis(300);

/// What became of one entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Inserted,
    Updated,
    /// v2 wrote a row as new or newer meanwhile.
    Newer,
    /// In the server's words.
    Refused(String),
}

/// Whether a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// In a transaction that is committed.
    Write,
    /// Sent and cast by the server, and not written.
    Rehearse,
}

/// What a batch writes of its entities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// All of them.
    Rows,
    /// What v3's screens decided about them; never inserted.
    Flags,
}

/// Writes batches of one table over one session.
pub(super) struct Writer<'a> {
    pub(super) work: &'a PostgresWork,
    pub(super) session: Session,
    pub(super) table: Table,
    pub(super) target: Target,
    pub(super) mode: Mode,
}

impl Writer<'_> {
    /// The batch's outcomes, in its order.
    ///
    /// # Errors
    /// The server went away, or does not let this user write. What was committed before stays.
    pub(super) async fn batch(
        &mut self,
        what: What,
        entities: &mut [Entity],
    ) -> Result<Vec<Outcome>, Trouble> {
        if self.table == Table::Scores {
            self.settle_configs(entities).await?;
        }
        let mut outcomes = vec![Outcome::Newer; entities.len()];
        let whole = 0..entities.len();
        let mut parts = vec![whole];
        while let Some(part) = parts.pop() {
            let refused = match self.tried(what, &entities[part.clone()]).await? {
                Ok(written) => {
                    for (outcome, entity) in outcomes[part.clone()].iter_mut().zip(&entities[part]) {
                        *outcome = match (what, self.mode, written.get(&entity.key.id)) {
                            (What::Rows, Mode::Rehearse, _) | (_, _, Some(true)) => Outcome::Inserted,
                            (_, _, Some(false)) => Outcome::Updated,
                            (_, _, None) => Outcome::Newer,
                        };
                    }
                    continue;
                }
                Err(words) => words,
            };
            if part.len() == 1 {
                outcomes[part.start] = Outcome::Refused(refused);
                continue;
            }
            let middle = part.start + part.len() / 2;
            parts.extend([middle..part.end, part.start..middle]);
        }
        Ok(outcomes)
    }

    /// One transaction, again when another one was in the way. `Err` inside: the server refuses a value.
    async fn tried(
        &mut self,
        what: What,
        part: &[Entity],
    ) -> Result<Result<HashMap<String, bool>, String>, Trouble> {
        for again in 1.. {
            let done = match what {
                What::Rows => self.transaction(part).await,
                What::Flags => self.flags(part).await,
            };
            let error = match done {
                Ok(written) => return Ok(Ok(written)),
                Err(error) => error,
            };
            match code(&error) {
                _ if is_refusal(&error) => {
                    return Ok(Err(crate::domain::text::clean(&error.to_string())));
                }
                Some("40001" | "40P01" | "55P03") if again < TRIES => tokio::time::sleep(PAUSE * again).await,
                _ => return Err(self.work.trouble(&error)),
            }
        }
        Ok(Ok(HashMap::new()))
    }

    async fn transaction(&mut self, part: &[Entity]) -> Result<HashMap<String, bool>, sqlx::Error> {
        if self.mode == Mode::Rehearse {
            let query = bound(sqlx::query(sqlx::AssertSqlSafe(self.target.rehearse())), &self.target, part);
            return query.fetch_one(&mut *self.session).await.map(|_| HashMap::new());
        }
        let mut transaction = self.session.begin().await?;
        if self.table == Table::Traces {
            upsert_sessions(&mut transaction, &self.target, part).await?;
        }
        let mut query = bound(sqlx::query(sqlx::AssertSqlSafe(self.target.insert())), &self.target, part);
        if self.target.has_entries() {
            query = query.bind(spelt(part));
        }
        let rows = query.fetch_all(&mut *transaction).await?;
        let written = rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("inserted")?)));
        let written = written.collect::<Result<_, sqlx::Error>>()?;
        transaction.commit().await?;
        Ok(written)
    }

    /// One statement is a transaction of its own.
    async fn flags(&mut self, part: &[Entity]) -> Result<HashMap<String, bool>, sqlx::Error> {
        let statement = match self.mode {
            Mode::Rehearse => self.target.rehearse_flags(),
            Mode::Write => self.target.flags(),
        };
        let ids = self.touched(statement, part).await?;
        Ok(ids.into_iter().map(|id| (id, false)).collect())
    }

    /// Which of these stay public or bookmarked in v2, since v3's `false` may be nobody's decision.
    ///
    /// # Errors
    /// The server cannot be asked.
    pub(super) async fn undecided(&mut self, part: &[Entity]) -> Result<HashSet<String>, Trouble> {
        if !self.target.has_flags() || part.is_empty() {
            return Ok(HashSet::new());
        }
        let (mut found, mut parts) = (HashSet::new(), vec![part]);
        while let Some(part) = parts.pop() {
            match self.touched(self.target.undecided(), part).await {
                Ok(ids) => found.extend(ids),
                Err(error) if !is_refusal(&error) => return Err(self.work.trouble(&error)),
                // The write names its row.
                Err(_) if part.len() == 1 => {}
                Err(_) => parts.extend(<[&[Entity]; 2]>::from(part.split_at(part.len() / 2))),
            }
        }
        Ok(found)
    }

    async fn touched(&mut self, statement: String, part: &[Entity]) -> Result<Vec<String>, sqlx::Error> {
        let query = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(statement));
        let query = (0..self.target.fields.len()).fold(query, |query, at| query.bind(texts(part, at)));
        let moments: Vec<i64> = part.iter().map(|e| e.touched).collect();
        query.bind(moments).fetch_all(&mut *self.session).await
    }

    /// A score whose configuration is gone goes back without it, as v2 itself would leave it (ON DELETE SET NULL).
    async fn settle_configs(&mut self, entities: &mut [Entity]) -> Result<(), Trouble> {
        let named: BTreeSet<&str> =
            entities.iter().filter_map(|e| e.get(&self.target, "config_id")).collect();
        let named: Vec<&str> = named.into_iter().collect();
        if named.is_empty() {
            return Ok(());
        }
        let known = sqlx::query_scalar::<_, String>("SELECT id FROM score_configs WHERE id = ANY($1)");
        let known = known.bind(&named).fetch_all(&mut *self.session).await;
        let known: BTreeSet<String> = known.map_err(|e| self.work.trouble(&e))?.into_iter().collect();
        for entity in entities {
            if entity.get(&self.target, "config_id").is_some_and(|config| !known.contains(config)) {
                entity.set(&self.target, "config_id", None);
                entity.losses.push(Loss::ScoreConfig);
            }
        }
        Ok(())
    }
}

/// One array of texts for each field.
fn bound<'q>(
    query: sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    target: &Target,
    part: &'q [Entity],
) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments> {
    (0..target.fields.len()).fold(query, |query, at| query.bind(texts(part, at)))
}

fn texts(part: &[Entity], at: usize) -> Vec<Option<&str>> {
    part.iter().map(|e| e.values.get(at)?.as_deref()).collect()
}

/// The sessions that traces name, since v2's traces refer to them: made at the time of their first trace here.
async fn upsert_sessions(
    session: &mut PgConnection,
    target: &Target,
    part: &[Entity],
) -> Result<(), sqlx::Error> {
    let mut sessions: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for entity in part {
        let (Some(id), Some(at)) = (entity.get(target, "session_id"), entity.get(target, "timestamp")) else {
            continue;
        };
        let first = sessions.entry((id, &entity.key.project)).or_insert(at);
        *first = at.min(*first);
    }
    if sessions.is_empty() {
        return Ok(());
    }
    let column =
        |of: fn(&(&(&str, &str), &&str)) -> String| sessions.iter().map(|e| of(&e)).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO trace_sessions (id, project_id, created_at, updated_at) \
         SELECT id, project, at::timestamp(3), at::timestamp(3) \
         FROM unnest($1::text[], $2::text[], $3::text[]) AS v(id, project, at) \
         ON CONFLICT (id, project_id) DO NOTHING",
    )
    .bind(column(|e| e.0.0.to_owned()))
    .bind(column(|e| e.0.1.to_owned()))
    .bind(column(|e| (*e.1).to_owned()))
    .execute(session)
    .await
    .map(drop)
}

/// What the entities' metadata says in v3, by id: one JSON object. Written once: it may be many megabytes.
fn spelt(part: &[Entity]) -> String {
    let size: usize = part.iter().filter_map(|e| Some(e.key.id.len() + e.spelt.as_ref()?.len() + 4)).sum();
    let mut object = String::with_capacity(size + 2);
    object.push('{');
    for (id, texts) in part.iter().filter_map(|e| Some((&e.key.id, e.spelt.as_ref()?))) {
        if object.len() > 1 {
            object.push(',');
        }
        object.push_str(&serde_json::Value::from(id.as_str()).to_string());
        object.push(':');
        object.push_str(texts);
    }
    object.push('}');
    object
}

/// Whether the server refuses a value: data exceptions, integrity violations, one row named twice, limits of one value.
fn is_refusal(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| ["22", "23", "21", "54"].iter().any(|class| code.starts_with(class)))
}

fn code(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(e) => Some(e.try_downcast_ref::<PgDatabaseError>()?.code()),
        _ => None,
    }
}
