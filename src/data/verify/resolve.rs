//! From a row whose hash differs to what is wrong with it: both rows are read by id and held against each other.
//!
//! One rule: nothing is reported that was not seen in the rows themselves, and what is still moving is looked at
//! again after a pause.

use std::collections::{BTreeMap, HashSet};

use sqlx::PgConnection;

use super::clickhouse::V3;
use super::compare::{lost_digits, same, text};
use super::finding::{Difference, Finding, Values};
use super::pace::Patience;
use super::postgres::V2;
use super::range::{DAY, HOUR};
use crate::data::catch_up::merge::{Verdict, judge};
use crate::data::cell::Cell;
use crate::data::copied::is_copy;
use crate::data::deleted::{Notes, Noting};
use crate::data::rows::{self, Key, Rejected, Row};
use crate::data::tables::{Compare, Mapping, Rule, Tier};
use crate::domain::Trouble;
use crate::domain::latency::CANARY;

/// How far the backfill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// Rows created up to this millisecond are not copied yet; nothing when the backfill is over or unknown.
    pub open: Option<i64>,
}

/// Looks at rows by id.
#[derive(Debug)]
pub struct Resolver<'a> {
    /// v2's side.
    pub v2: &'a V2,
    /// v3's side.
    pub v3: &'a V3,
    /// The columns that are read: see [`narrow`].
    pub mapping: &'a Mapping,
    /// How far the backfill has come.
    pub cursor: Cursor,
    /// Whether findings carry both values.
    pub values: bool,
    /// Where v3 notes what its users delete.
    pub noting: &'a Noting,
    /// Rows touched after this millisecond may still be on their way.
    pub young: i64,
}

/// What a look at some rows found.
#[derive(Debug, Default)]
pub struct Seen {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Rows that differ and were touched just now: to be looked at once more.
    pub moving: Vec<String>,
    /// The days of those.
    pub days: Vec<i64>,
}

/// The columns that a comparison of this tier looks at, and those that say what happened to a row.
pub fn narrow(mapping: &Mapping, tier: Tier) -> Mapping {
    let wanted = |m: &&crate::data::tables::Mapped| {
        let column = m.column;
        let says = ["event_ts", "created_at", "updated_at", "trace_id", mapping.spec.time]
            .contains(&column.ch)
            || mapping.spec.sorted_by.contains(&column.ch);
        let joined = column.pg.iter().any(|pg| !pg.starts_with("t."));
        let compared = !matches!(column.compare, Compare::Not(_)) && column.tier() <= tier;
        (says && !joined) || compared
    };
    Mapping { columns: mapping.columns.iter().filter(wanted).cloned().collect(), ..mapping.clone() }
}

impl Resolver<'_> {
    /// Looks at these ids, a page at most.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn look(&self, ids: &[String]) -> Result<Seen, Trouble> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let (v2, (v3, deleted)) = futures::try_join!(
            self.postgres(&ids),
            Patience::of(async || self.v3.by_id(self.mapping, &ids).await)
        )?;
        let mut all: BTreeMap<Key, Both> = BTreeMap::new();
        for row in v2 {
            let key = row.as_ref().map_or_else(|why| why.key.clone(), |row| row.key.clone());
            all.entry(key).or_default().0 = Some(row);
        }
        for row in v3 {
            all.entry(row.key.clone()).or_default().1.push(row);
        }
        let noted = self.noted(&all).await?;
        let mut seen = Seen::default();
        let mut alike = vec![];
        for (key, (v2, v3)) in &all {
            let deleted = (v3.is_empty() && deleted.contains(key)) || noted.contains(key);
            let mut finding = self.classify(key, v2.as_ref(), v3, deleted);
            if let Some(finding) = &mut finding {
                if key.id.starts_with(CANARY) {
                    finding.difference = Difference::Probe;
                }
                let ours = v2.as_ref().and_then(|row| row.as_ref().ok());
                let times =
                    ours.into_iter().chain(v3).filter_map(|row| self.millis(row, self.mapping.spec.time));
                finding.hours = times.map(|at| at.div_euclid(HOUR)).collect();
            }
            match finding {
                Some(finding) if self.is_moving(v2.as_ref(), v3) => {
                    seen.days.extend(finding.days());
                    seen.moving.push(finding.id);
                }
                Some(finding) => seen.findings.push(finding),
                None => alike.extend(v3.first()),
            }
        }
        seen.findings.extend(self.precision(&alike).await?);
        Ok(seen)
    }

    /// Rows of v2 that users of v3 deleted, by themselves or with their project, where v3 has nothing of them or only what
    /// it heard of since.
    async fn noted(&self, all: &BTreeMap<Key, Both>) -> Result<HashSet<Key>, Trouble> {
        let by_v3 = |v3: &[Row]| v3.iter().all(|row| !is_copy(self.mapping, row));
        let mine: Vec<(&Key, &Result<Row, Rejected>)> = all
            .iter()
            .filter(|(_, (_, v3))| by_v3(v3))
            .filter_map(|(k, (v2, _))| Some((k, v2.as_ref()?)))
            .collect();
        if mine.is_empty() {
            return Ok(HashSet::new());
        }
        let rows: Vec<&Row> = mine.iter().filter_map(|(_, row)| row.as_ref().ok()).collect();
        let notes = async |session: &mut PgConnection| {
            let work = &self.v2.work;
            let notes = Notes::read(work, session, self.noting, self.mapping, &rows).await?;
            Ok((notes, self.noting.gone(work, session, mine.iter().map(|(key, _)| &*key.project)).await?))
        };
        let (notes, gone) = self.v2.ask(notes).await?;
        let took = |row: &Result<Row, Rejected>| row.as_ref().is_ok_and(|row| notes.took(self.mapping, row));
        let deleted = mine.iter().filter(|(key, row)| gone.contains(&key.project) || took(row));
        Ok(deleted.map(|(key, _)| (*key).clone()).collect())
    }

    async fn postgres(&self, ids: &[&str]) -> Result<Vec<Result<Row, Rejected>>, Trouble> {
        self.v2
            .ask(async |session| rows::from_postgres(&self.v2.work, session, self.mapping, ids).await)
            .await
    }

    fn finding(&self, key: &Key, difference: Difference, note: String) -> Finding {
        let Key { project, id } = key.clone();
        Finding {
            table: self.mapping.spec.table,
            difference,
            project,
            id,
            columns: vec![],
            note,
            hours: vec![],
        }
    }

    fn millis(&self, row: &Row, ch: &str) -> Option<i64> {
        match row.get(self.mapping, ch) {
            Cell::Millis(at) => Some(*at),
            _ => None,
        }
    }

    fn is_moving(&self, v2: Option<&Result<Row, Rejected>>, v3: &[Row]) -> bool {
        let v2 = v2.and_then(|row| row.as_ref().ok());
        let touched = v2.into_iter().chain(v3);
        let touched = touched
            .flat_map(|row| ["created_at", "updated_at"].into_iter().filter_map(|ch| self.millis(row, ch)));
        // The version of a copy is the client's own time, which may lie in the future.
        let own = v3.iter().filter(|row| self.is_own(row)).filter_map(|row| self.millis(row, "event_ts"));
        touched.chain(own).max().is_some_and(|at| at > self.young)
    }

    /// One entity; nothing when both sides mean the same.
    fn classify(
        &self,
        key: &Key,
        v2: Option<&Result<Row, Rejected>>,
        v3: &[Row],
        is_deleted: bool,
    ) -> Option<Finding> {
        let winner = v3.iter().max_by_key(|row| self.millis(row, "event_ts"));
        let found = |kind| Some(self.finding(key, kind, String::new()));
        match (v2, winner) {
            (None, None) => None,
            (None, Some(row)) if self.is_own(row) => found(Difference::V3Only),
            (None, Some(_)) => found(Difference::Extra),
            (Some(_), None) if is_deleted => found(Difference::Deleted),
            (Some(Err(rejected)), None) => {
                Some(self.finding(key, Difference::Missing, format!("cannot be copied: {}", rejected.why)))
            }
            (Some(Err(rejected)), Some(_)) => {
                Some(self.finding(key, Difference::Changed, format!("cannot be compared: {}", rejected.why)))
            }
            (Some(Ok(row)), None) => {
                let created = self.millis(row, "created_at");
                let pending = self.cursor.open.zip(created).is_some_and(|(open, created)| created <= open);
                found(if pending { Difference::Pending } else { Difference::Missing })
            }
            (Some(Ok(row)), Some(winner)) => {
                let found = self.both(key, row, winner, v3);
                let deleted = |found| Finding { difference: Difference::Deleted, ..found };
                if is_deleted { found.map(deleted) } else { found }
            }
        }
    }

    /// Whether v3 wrote the row itself.
    fn is_own(&self, row: &Row) -> bool {
        !is_copy(self.mapping, row)
    }

    /// An entity that both sides have; `v3` has every sorting key of it, the winner among them.
    fn both(&self, key: &Key, v2: &Row, winner: &Row, v3: &[Row]) -> Option<Finding> {
        let time = self.mapping.spec.time;
        let columns = self.columns(v2, winner);
        let lost = |v: &Differing<'_>| !v.v2.is_nothing() && v.v3.is_nothing();
        let day = |row: &Row| self.millis(row, time).map(|at| at.div_euclid(DAY));
        let sorted = |row: &Row| -> Vec<String> {
            self.mapping.spec.sorted_by.iter().map(|ch| text(row.get(self.mapping, ch))).collect()
        };
        let elsewhere = day(v2) != day(winner) || sorted(v2) != sorted(winner) || v3.len() > 1;
        let kind = if self.is_own(winner) && columns.iter().any(lost) {
            Difference::Overwritten
        } else if elsewhere {
            Difference::Moved
        } else if columns.is_empty() {
            return None;
        } else if self.is_own(winner) {
            self.by_v3(v2, winner, &columns)
        } else if self.is_newer(v2, winner) {
            Difference::Stale
        } else {
            Difference::Changed
        };
        let at = |row: &Row| text(row.get(self.mapping, time));
        let note = match kind {
            Difference::Moved => {
                let there: Vec<_> = v3.iter().map(at).collect();
                format!("v2 at {}, v3 at {}", at(v2), there.join(" and "))
            }
            _ => String::new(),
        };
        let mut finding = self.finding(key, kind, note);
        finding.columns = columns.iter().map(|c| c.values(self.values)).collect();
        Some(finding)
    }

    fn is_newer(&self, v2: &Row, v3: &Row) -> bool {
        self.millis(v2, "updated_at") > self.millis(v3, "updated_at")
    }

    /// A row that v3 wrote, or that catch-up did for it: whether v3's values are the newer ones and lack nothing is what
    /// catch-up itself would say.
    fn by_v3(&self, v2: &Row, winner: &Row, columns: &[Differing<'_>]) -> Difference {
        let lacks = match judge(self.mapping, v2, Some(winner)) {
            Verdict::Refresh(_, lacks) | Verdict::Merge(_, lacks) => lacks,
            Verdict::Fine | Verdict::Deleted | Verdict::Insert => vec![],
        };
        let lacks = columns.iter().any(|differs| lacks.contains(&differs.column));
        match (lacks, self.is_newer(v2, winner)) {
            (false, _) => Difference::V3Updated,
            (true, true) => Difference::Stale,
            (true, false) => Difference::Overwritten,
        }
    }

    fn columns<'r>(&self, v2: &'r Row, v3: &'r Row) -> Vec<Differing<'r>> {
        let cells = self.mapping.columns.iter().zip(v2.cells.iter().zip(&v3.cells));
        let differing = cells.filter(|(m, (v2, v3))| !same(m.column, v2, v3));
        differing.map(|(m, (v2, v3))| Differing { column: m.column.ch, v2, v3 }).collect()
    }

    /// Of rows that mean the same, those whose JSON in PostgreSQL has more digits than v3 kept.
    async fn precision(&self, alike: &[&Row]) -> Result<Vec<Finding>, Trouble> {
        let json = self.mapping.columns.iter();
        let json: Vec<_> = json.filter(|m| matches!(m.column.rule, Rule::Json | Rule::Metadata)).collect();
        if json.is_empty() || alike.is_empty() {
            return Ok(vec![]);
        }
        let list: Vec<String> = json.iter().map(|m| format!("{}::text", m.column.pg[0])).collect();
        let sql = format!(
            "SELECT t.id, ARRAY[{}] FROM {} WHERE t.id = ANY($1)",
            list.join(", "),
            self.mapping.spec.from
        );
        let ids: Vec<&str> = alike.iter().map(|row| row.key.id.as_str()).collect();
        let raw: Vec<(String, Vec<Option<String>>)> = self
            .v2
            .ask(async |session| {
                let query = sqlx::query_as(sqlx::AssertSqlSafe(sql.clone())).bind(&ids);
                query.fetch_all(session).await.map_err(|e| self.v2.work.trouble(&e))
            })
            .await?;
        let raw: BTreeMap<_, _> = raw.into_iter().collect();
        let mut findings = vec![];
        for row in alike {
            let Some(texts) = raw.get(&row.key.id) else { continue };
            let lost = json.iter().zip(texts).filter_map(|(m, raw)| {
                let (raw, v3) = (raw.as_deref()?, row.get(self.mapping, m.column.ch));
                lost_digits(raw, v3).then(|| Values {
                    column: m.column.ch,
                    v2: self.values.then(|| raw.to_owned()),
                    v3: self.values.then(|| text(v3)),
                })
            });
            let mut finding = self.finding(&row.key, Difference::Precision, String::new());
            finding.columns = lost.collect();
            findings.extend((!finding.columns.is_empty()).then_some(finding));
        }
        Ok(findings)
    }
}

/// An entity on both sides: what v2 has, and every version that v3 has.
type Both = (Option<Result<Row, Rejected>>, Vec<Row>);

struct Differing<'r> {
    column: &'static str,
    v2: &'r Cell,
    v3: &'r Cell,
}

impl Differing<'_> {
    fn values(&self, with: bool) -> Values {
        Values { column: self.column, v2: with.then(|| text(self.v2)), v3: with.then(|| text(self.v3)) }
    }
}
