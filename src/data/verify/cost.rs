//! What a comparison will read, and the way that reads least.
//!
//! One rule: sizes come from the servers' own catalogues, in milliseconds, before anything is read.

use std::collections::BTreeSet;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use sqlx::AssertSqlSafe;

use super::finding::{Against, table_name};
use super::ids;
use super::pace::Patience;
use super::postgres::V2;
use super::range::{DAY, Range};
use super::resolve::Cursor;
use crate::clients::work::ClickhouseWork;
use crate::data::tables::{Mapping, Tier, spec};
use crate::domain::Trouble;
use crate::domain::backfill::Table;

/// Below this share of all-visible pages an index-only scan reads the table anyway.
const VISIBLE: f64 = 0.8;
/// Rows that are compared in one statement; more go month by month.
const ONE_GO: u64 = 6_000_000;
/// Sums per project and hour that are held at once, about 75 bytes each on either side; more go month by month.
const SUMS: u64 = 1_000_000;
/// Hours of a month.
const MONTH: u64 = 31 * 24;
/// Bytes of a page of PostgreSQL.
const PAGE: f64 = 8192.0;
/// Rows of a page of the index of ids, at most: a short id's entry takes so much with its pointer.
const ENTRIES: u64 = 200;

/// How a table is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The hashes of all ids, from PostgreSQL's index.
    Ids,
    /// Sums per project and hour, one pass over each side.
    Buckets,
    /// The same, one month after the other.
    Months,
}

impl Strategy {
    /// "ids", "buckets", "buckets by month".
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Buckets => "buckets",
            Self::Months => "buckets by month",
        }
    }
}

/// What the catalogues say of one table.
#[derive(Debug, Clone, Default)]
pub struct Size {
    /// Rows of v2, as PostgreSQL estimates them.
    pub v2_rows: u64,
    /// Whether that is what its index of ids could hold: the table was never analysed, as after a restore.
    pub guessed: bool,
    /// Pages of its table.
    pub pages: u64,
    /// Share of its pages that an index-only scan need not read.
    pub visible: f64,
    /// Pages of its primary key.
    pub key_pages: u64,
    /// Whether PostgreSQL is a replica.
    pub replica: bool,
    /// Whether PostgreSQL reads a stretch of a table's pages by itself (14 and later).
    pub by_place: bool,
    /// Rows of v3, duplicates among them.
    pub v3_rows: u64,
    /// Months that v3 has, as `YYYYMM`, with their rows.
    pub months: Vec<(u32, u64)>,
    /// Months that v2 has, as far as its statistics name them.
    pub v2_months: Vec<u32>,
    /// Projects.
    pub projects: u64,
    /// An id in the middle of v2's, by its statistics.
    pub middle: Option<String>,
    /// Compressed bytes of each column of v3, once they were asked for: [`Self::weigh`].
    pub columns: Vec<(String, u64)>,
    /// How far the backfill has come.
    pub cursor: Cursor,
}

/// What PostgreSQL's statistics say.
#[derive(Default)]
struct Spread {
    projects: u64,
    months: Vec<u32>,
    middle: Option<String>,
}

#[derive(Row, Deserialize)]
struct Month {
    partition: String,
    rows: u64,
}

#[derive(Row, Deserialize)]
struct ColumnSize {
    column: String,
    bytes: u64,
}

/// Rows by the last `ANALYZE`, all-visible pages, pages of the table and of its primary key as they are now, replica, and
/// whether the table can be read by place.
type Catalogue = (f32, i32, i64, i64, bool, bool);

impl Size {
    /// Asks both servers.
    ///
    /// # Errors
    /// A server cannot be asked.
    pub async fn read(v2: &V2, ch: &ClickhouseWork, mapping: &Mapping) -> Result<Self, Trouble> {
        let spec = mapping.spec;
        let sql = format!(
            "SELECT c.reltuples, c.relallvisible, pg_relation_size(c.oid) / current_setting('block_size')::int, \
             coalesce((SELECT pg_relation_size(x.indexrelid) FROM pg_index x WHERE x.indrelid = c.oid \
             AND x.indisprimary), 0) / current_setting('block_size')::int, pg_is_in_recovery(), \
             current_setting('server_version_num')::int >= 140000 FROM pg_class c WHERE c.oid = '{}'::regclass",
            spec.pg()
        );
        let catalogue = v2.ask(async |session| {
            let query = sqlx::query_as::<_, Catalogue>(AssertSqlSafe(sql.as_str()));
            query.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
        });
        let sql = "SELECT (extract(epoch FROM (state->>'maxDate')::timestamptz) * 1000)::bigint \
                   FROM background_migrations WHERE name = $1 AND finished_at IS NULL";
        let cursor = v2.ask(async |session| {
            let query = sqlx::query_scalar::<_, Option<i64>>(sql).bind(spec.table.migration());
            query.fetch_optional(session).await.map_err(|e| v2.work.trouble(&e))
        });
        // What nobody may read, or nobody counted, is not known: then v3's months have to do.
        let spread = async { spread(v2, spec.pg()).await.unwrap_or_default() };
        let months = Patience::of(async || {
            let months = ch.ask.query(
                "SELECT partition, sum(rows) AS rows FROM system.parts WHERE database = currentDatabase() \
                 AND table = ? AND active GROUP BY partition ORDER BY partition",
            );
            ch.ask.all::<Month>(months.bind(spec.ch)).await
        });
        let (catalogue, cursor, spread, months) = futures::join!(catalogue, cursor, spread, months);
        let ((tuples, visible, pages, key_pages, replica, by_place), months) = (catalogue?, months?);
        let months: Vec<_> = months.into_iter().map(|m| (m.partition.parse().unwrap_or(0), m.rows)).collect();
        let pages = u64::try_from(pages).unwrap_or(0);
        let key_pages = u64::try_from(key_pages).unwrap_or(0);
        // -1 from PostgreSQL 14 on, 0 before: nobody has counted yet, which is not the same as no rows.
        let guessed = tuples <= 0.0 && pages > 0;
        Ok(Self {
            v2_rows: if guessed { key_pages * ENTRIES } else { f64::from(tuples).max(0.0) as u64 },
            guessed,
            pages,
            visible: if pages == 0 { 1.0 } else { f64::from(visible) / pages as f64 },
            key_pages,
            replica,
            by_place,
            v3_rows: months.iter().map(|m| m.1).sum(),
            months,
            projects: spread.projects,
            v2_months: spread.months,
            middle: spread.middle,
            columns: vec![],
            // An older v2 has no such table, and nobody copies.
            cursor: Cursor { open: cursor.ok().flatten().flatten() },
        })
    }

    /// Asks ClickHouse how large each column is.
    ///
    /// # Errors
    /// It cannot be asked.
    pub async fn weigh(&mut self, ch: &ClickhouseWork, table: &str) -> Result<(), Trouble> {
        let columns = ch.ask.query(
            "SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns \
             WHERE database = currentDatabase() AND table = ? AND active GROUP BY column",
        );
        let columns: Vec<ColumnSize> = ch.ask.all(columns.bind(table)).await?;
        self.columns = columns.into_iter().map(|c| (c.column, c.bytes)).collect();
        Ok(())
    }

    /// The way that reads least. Ids name what v3 lacks, and only count what v2 lacks of v3's own.
    pub fn strategy(&self, tier: Tier, against: Against, range: &Range) -> Strategy {
        let rows = self.v2_rows.max(self.v3_rows);
        if tier == Tier::Key
            && against == Against::V3
            && !self.guessed
            && rows <= ids::MOST
            && self.visible >= VISIBLE
            && range.is_whole()
        {
            return Strategy::Ids;
        }
        if rows > ONE_GO || self.sums(range) > SUMS { Strategy::Months } else { Strategy::Buckets }
    }

    /// Whether two halves, each with a row of every project and hour, are as much as may be held at once.
    pub fn is_crowded(&self, range: &Range) -> bool {
        self.sums(range) > SUMS / 2
    }

    /// The most sums that one pass over a range would hold: one a row, and one a project and hour.
    fn sums(&self, range: &Range) -> u64 {
        let projects = if range.project.is_some() { 1 } else { self.projects.max(1) };
        let ends = |at: &&i64| range.from.is_none_or(|from| from < (*at + 31) * DAY);
        let begins = |at: &&i64| range.to.is_none_or(|to| *at * DAY < to);
        let months = self.months().iter().filter(ends).filter(begins).count() as u64;
        projects.saturating_mul(months * MONTH).min(self.v2_rows.max(self.v3_rows))
    }

    /// About as many rows of v2 are in a range: all of them where it does not end on both sides.
    pub fn about(&self, range: &Range) -> u64 {
        let (Some(from), Some(to)) = (range.from, range.to) else { return self.v2_rows };
        let days = self.months().len().max(1) as f64 * 31.0;
        let share = to.saturating_sub(from).max(0) as f64 / DAY as f64 / days;
        (self.v2_rows as f64 * share.min(1.0)) as u64
    }

    /// The first day of each month of both sides.
    pub fn months(&self) -> Vec<i64> {
        let months: BTreeSet<u32> =
            self.months.iter().map(|(month, _)| *month).chain(self.v2_months.iter().copied()).collect();
        months.into_iter().filter_map(first_day).collect()
    }

    /// Megabytes that PostgreSQL reads, and that ClickHouse reads, both compressed as they lie there.
    pub fn megabytes(&self, strategy: Strategy, columns: &[&str]) -> (f64, f64) {
        let pages = if strategy == Strategy::Ids { self.key_pages } else { self.pages };
        let read = |name: &str| columns.contains(&name) || matches!(name, "event_ts" | "is_deleted");
        // Small parts are stored compactly, without a size for each column.
        let bytes: u64 = self.columns.iter().filter(|(name, _)| read(name)).map(|(_, bytes)| bytes).sum();
        (pages as f64 * PAGE / 1e6, bytes as f64 / 1e6)
    }
}

/// What a table would cost, before it is read.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The table.
    #[serde(serialize_with = "table_name")]
    pub table: Table,
    /// The way.
    pub strategy: &'static str,
    /// Why this way.
    pub why: String,
    /// Rows of v2, estimated.
    pub v2_rows: u64,
    /// Pages of 8 KiB that PostgreSQL reads.
    pub pages: u64,
    /// The same in megabytes.
    pub v2_megabytes: f64,
    /// Rows of v3, duplicates among them.
    pub v3_rows: u64,
    /// Compressed megabytes that ClickHouse reads.
    pub v3_megabytes: f64,
    /// Days that were found equal before and need not be read again.
    pub remembered_days: usize,
    /// Whether a run that is killed goes on where it was; otherwise this table begins anew.
    pub resumable: bool,
    /// What this way cannot see.
    pub unseen: Vec<&'static str>,
}

/// What a comparison of ids does not see.
const ONLY_IDS: &str = "ids alone do not say whose: a row that v3 has under another project counts as there";
/// What PostgreSQL's own hash of JSON does not see.
const ONLY_HASHED: &str = "PostgreSQL's hash of input and output does not see the sign of a number, nor where a nested list or object ends";

impl Size {
    /// What a comparison of these columns would read.
    pub fn plan(
        &self,
        table: Table,
        (tier, against): (Tier, Against),
        range: &Range,
        columns: &[&str],
    ) -> Plan {
        let strategy = self.strategy(tier, against, range);
        let (v2_megabytes, v3_megabytes) = self.megabytes(strategy, columns);
        let why = match strategy {
            Strategy::Ids => format!(
                "{:.0} % of the pages are all-visible: the index of ids is enough",
                self.visible * 100.0
            ),
            _ if self.guessed => format!(
                "never analysed, so its rows are guessed from its index: VACUUM ANALYZE {} tells",
                spec(table).pg()
            ),
            Strategy::Buckets => "one pass over each side, then the hours that differ".to_owned(),
            Strategy::Months => "more than is held at once: a pass for each month".to_owned(),
        };
        Plan {
            table,
            strategy: strategy.word(),
            why,
            v2_rows: self.v2_rows,
            pages: if strategy == Strategy::Ids { self.key_pages } else { self.pages },
            v2_megabytes,
            v3_rows: self.v3_rows,
            v3_megabytes,
            remembered_days: 0,
            resumable: false,
            unseen: match (strategy, tier) {
                (Strategy::Ids, _) => vec![ONLY_IDS],
                (_, Tier::All) => vec![ONLY_HASHED],
                _ => vec![],
            },
        }
    }
}

/// How many projects there are, and the months in which PostgreSQL's statistics have seen rows of a table.
async fn spread(v2: &V2, table: &str) -> Result<Spread, Trouble> {
    let column = v2.time.trim_start_matches("t.").trim_matches('"');
    let sql = "WITH of AS (SELECT s.attname, s.inherited, s.histogram_bounds::text AS bounds FROM pg_stats s \
               WHERE (s.schemaname, s.tablename) = (SELECT n.nspname, c.relname \
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1::regclass)) \
               SELECT (SELECT count(*) FROM projects), ARRAY(SELECT DISTINCT to_char(b, 'YYYYMM')::int \
               FROM of, unnest(bounds::timestamp[]) b WHERE attname = $2 AND isfinite(b) \
               AND b >= '1970-01-01' AND b < '10000-01-01'), \
               (SELECT ids[(cardinality(ids) + 1) / 2] FROM (SELECT bounds::text[] AS ids FROM of WHERE attname = 'id' \
               ORDER BY inherited DESC LIMIT 1) b)";
    let spread = v2.ask(async |session| {
        let query = sqlx::query_as::<_, (i64, Vec<i32>, Option<String>)>(sql).bind(table).bind(column);
        query.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))
    });
    let (projects, months, middle) = spread.await?;
    let months = months.into_iter().filter_map(|month| u32::try_from(month).ok()).collect();
    Ok(Spread { projects: u64::try_from(projects).unwrap_or(0), months, middle })
}

/// The first day of a month `YYYYMM`, in days since 1970.
pub(super) fn first_day(month: u32) -> Option<i64> {
    let year = i16::try_from(month / 100).ok()?;
    let date = jiff::civil::Date::new(year, i8::try_from(month % 100).ok()?, 1).ok()?;
    Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second().div_euclid(86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_begin_with_their_first_day() {
        let mut size = Size { months: vec![(202_601, 5), (202_602, 5), (0, 1)], ..Size::default() };
        assert_eq!(size.months(), [20_454, 20_485]);
        size.v2_months = vec![202_603, 202_601];
        assert_eq!(size.months(), [20_454, 20_485, 20_513]);
    }

    #[test]
    fn many_projects_are_compared_month_by_month() {
        let months: Vec<(u32, u64)> = (202_501..=202_512).map(|month| (month, 300_000)).collect();
        let size = Size { v2_rows: 4_000_000, v3_rows: 3_600_000, months, ..Size::default() };
        let way = |size: &Size, range: &Range| size.strategy(Tier::All, Against::V3, range);
        let with = |projects| Size { projects, ..size.clone() };
        let all = Range::default();
        assert_eq!(way(&with(0), &all), Strategy::Buckets, "nobody knows how many");
        assert_eq!(way(&with(100), &all), Strategy::Buckets);
        assert_eq!(way(&with(300), &all), Strategy::Months);
        let few = Size { v2_rows: 900_000, v3_rows: 900_000, ..with(300) };
        assert_eq!(way(&few, &all), Strategy::Buckets, "no more sums than rows");
        let one = Range { project: Some("p".into()), ..all.clone() };
        assert_eq!(way(&with(300), &one), Strategy::Buckets);
        let january = first_day(202_501).unwrap();
        assert_eq!(way(&with(300), &all.days(january, january + 60)), Strategy::Buckets);
        // Of what is not copied yet, v3 has no months.
        let v2_months = (202_401..=202_412).collect();
        let uncopied = Size { v2_months, months: vec![(202_512, 9)], v3_rows: 9, ..with(300) };
        assert_eq!((way(&uncopied, &all), uncopied.months().len()), (Strategy::Months, 13));
    }

    #[test]
    fn few_rows_of_a_vacuumed_table_are_compared_by_their_ids() {
        let mut size = Size { v2_rows: 1_000_000, visible: 1.0, ..Size::default() };
        let all = Range::default();
        assert_eq!(size.strategy(Tier::Key, Against::V3, &all), Strategy::Ids);
        assert_eq!(size.strategy(Tier::Scalar, Against::V3, &all), Strategy::Buckets);
        size.guessed = true;
        assert_eq!(
            size.strategy(Tier::Key, Against::V3, &all),
            Strategy::Buckets,
            "what nobody counted may be any number"
        );
        size.guessed = false;
        size.visible = 0.1;
        assert_eq!(size.strategy(Tier::Key, Against::V3, &all), Strategy::Buckets);
        size.v3_rows = 50_000_000;
        assert_eq!(size.strategy(Tier::Key, Against::V3, &all), Strategy::Months);
    }
}
