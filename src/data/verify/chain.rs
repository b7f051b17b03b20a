//! The hash of a row, twice: as an SQL expression for PostgreSQL and as Rust over ClickHouse's `RowBinary`.
//!
//! One rule: both follow from the [`Rule`] of the table description, next to each other, so that adding a column is
//! still one row there. Each column's hash is the seed of the next; a salt of its own keeps columns apart where a
//! function of PostgreSQL gives its seed back (zero, an empty container).

use std::sync::Arc;

use super::json_hash::{hash_null, hash_text};
use super::json_text::{self, Kinds};
use super::lookup3::{hash_array, hashfloat8, hashint4, hashint8, hashtext};
use crate::data::cell::rowbinary::{self, RowError, eight, read_length, take, take_bytes};
use crate::data::cell::{ChType, SCALE};
use crate::data::rows::Row;
use crate::data::tables::{Compare, Mapped, Mapping, Rule, Tier};

/// Changes whenever the hash of a row would: remembered results of another version are not used.
pub const VERSION: u32 = 2;
/// Stands for NULL where the column can be NULL, so that NULL is not the empty text.
const NULL_TEXT: &[u8] = b"\x02";
const NULL_AMOUNT: f64 = -1e300;
/// Milliseconds between 1970 and 2000, where PostgreSQL's timestamps begin.
const EPOCH_2000: i64 = 946_684_800_000;
const PARTS: [&[u8]; 3] = [b"input", b"output", b"total"];

/// One column of the chain.
#[derive(Debug, Clone)]
struct Step {
    name: &'static str,
    pg: &'static [&'static str],
    rule: Rule,
    kind: ChType,
    salt: u64,
}

/// The columns that are compared, in the order in which they are hashed.
#[derive(Debug, Clone)]
pub struct Chain {
    steps: Vec<Step>,
    /// What the values of metadata are.
    kinds: Arc<Kinds>,
}

/// What the chain read of a row on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hashed<'a> {
    /// The id's bytes.
    pub id: &'a [u8],
    /// The project's bytes.
    pub project: &'a [u8],
    /// The hash of all columns of the chain.
    pub hash: u64,
}

impl Chain {
    /// The columns of a mapping that this tier compares.
    pub fn new(mapping: &Mapping, tier: Tier) -> Self {
        let wanted = mapping.columns.iter().filter(|m| !matches!(m.column.compare, Compare::Not(_)));
        let wanted = wanted.filter(|m| m.column.tier() <= tier);
        let mut steps: Vec<_> = wanted
            .map(|m| Step {
                name: m.column.ch,
                pg: m.column.pg,
                rule: m.column.rule,
                kind: m.kind.clone(),
                salt: 0,
            })
            .collect();
        // An empty array forgets the seed, so arrays stand at the beginning.
        steps.sort_by_key(|step| step.rule != Rule::Tags);
        for (at, step) in steps.iter_mut().enumerate() {
            step.salt = at as u64 + 1;
        }
        Self { steps, kinds: Arc::default() }
    }

    /// The column of PostgreSQL whose entries are learned, where the chain has it.
    pub fn metadata(&self) -> Option<&'static str> {
        self.steps.iter().find(|s| s.rule == Rule::Metadata).and_then(|s| s.pg.first()).copied()
    }

    /// With what was learned of metadata.
    #[must_use]
    pub fn knowing(self, kinds: Kinds) -> Self {
        Self { kinds: Arc::new(kinds), ..self }
    }

    /// The same without the columns for which PostgreSQL and the copy may honestly differ: what the self test reads.
    #[must_use]
    pub fn exact(&self) -> Self {
        let soft = |rule| matches!(rule, Rule::Json | Rule::Metadata | Rule::Cost | Rule::Costs);
        Self { steps: self.steps.iter().filter(|s| !soft(s.rule)).cloned().collect(), ..self.clone() }
    }

    /// Names of the columns, in the order of the chain.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.steps.iter().map(|s| s.name)
    }

    /// The columns as a list for ClickHouse's `SELECT`.
    pub fn ch(&self) -> String {
        self.steps.iter().map(|s| format!("`{}`", s.name)).collect::<Vec<_>>().join(", ")
    }

    /// The hash as an expression of PostgreSQL, a `bigint`.
    pub fn pg(&self) -> String {
        self.steps
            .iter()
            .fold("0::bigint".to_owned(), |seed, step| step.sql(&format!("{seed} # {}", step.salt)))
    }

    /// The columns of a mapping that the chain hashes, in the mapping's order.
    #[must_use]
    pub fn mapping(&self, mapping: &Mapping) -> Mapping {
        let hashed = |m: &&Mapped| self.steps.iter().any(|s| s.name == m.column.ch);
        Mapping { columns: mapping.columns.iter().filter(hashed).cloned().collect(), ..mapping.clone() }
    }

    /// The hash of a row that was read from PostgreSQL, as it would be stored; nothing where it cannot be stored.
    pub fn hash_row(&self, mapping: &Mapping, row: &Row) -> Option<u64> {
        let mut bytes = vec![];
        for step in &self.steps {
            rowbinary::write(&mut bytes, row.get(mapping, step.name), &step.kind).ok()?;
        }
        Some(self.hash(&mut bytes.as_slice()).ok()?.hash)
    }

    /// Hashes the columns of one row and moves `from` past them.
    ///
    /// # Errors
    /// [`RowError::Short`] when more bytes are needed.
    pub fn hash<'a>(&self, from: &mut &'a [u8]) -> Result<Hashed<'a>, RowError> {
        let mut row = Hashed { id: &[], project: &[], hash: 0 };
        for step in &self.steps {
            let before = *from;
            row.hash = step.hash(from, row.hash ^ step.salt, &self.kinds)?;
            match step.name {
                "id" => row.id = take_bytes(&mut &*before)?,
                "project_id" => row.project = take_bytes(&mut &*before)?,
                _ => {}
            }
        }
        Ok(row)
    }
}

impl Step {
    /// The column's hash in PostgreSQL, with this seed.
    fn sql(&self, seed: &str) -> String {
        let nullable = self.kind.is_nullable();
        let x = self.pg.first().copied().unwrap_or("NULL");
        let null = |with: &'static str, without: &'static str| if nullable { with } else { without };
        match self.rule {
            Rule::Time => {
                let null = null("'-infinity'::timestamp", "'epoch'::timestamp");
                format!("timestamp_hash_extended(coalesce({x}, {null}), {seed})")
            }
            Rule::Bool => format!("hashint4extended(coalesce({x}, false)::int, {seed})"),
            Rule::Tags => format!("hash_array_extended(coalesce({x}, '{{}}') COLLATE \"C\", {seed})"),
            // Lists of nothing but empty lists forget the seed, too, and with it every column before.
            Rule::Json => {
                format!("hashint8extended(jsonb_hash_extended({}, {}), {seed})", truthy(x), self.salt)
            }
            Rule::Metadata => format!("hashtextextended({}, {seed})", json_text::sql(x)),
            Rule::Counts => self.pg.iter().fold(seed.to_owned(), |seed, x| {
                format!("hashint8extended(greatest(coalesce({x}, 0), 0)::bigint, {seed})")
            }),
            Rule::Costs => self.pg.iter().fold(seed.to_owned(), |seed, x| {
                format!("hashfloat8extended(coalesce({}, 1), {seed})", amount_sql(x))
            }),
            Rule::Cost => format!("hashfloat8extended(coalesce({}, -1e300::float8), {seed})", amount_sql(x)),
            Rule::Float => format!("hashfloat8extended(coalesce({x}, 0), {seed})"),
            Rule::Wrapping => format!("hashint8extended(coalesce(({x} & 65535)::bigint, -1), {seed})"),
            Rule::Text | Rule::EmptyMap | Rule::Fixed(_) | Rule::Version | Rule::Alive => {
                let null = null("E'\\x02'", "''");
                format!("hashtextextended(coalesce({x}, {null}) COLLATE \"C\", {seed})")
            }
        }
    }

    /// The column's hash of what ClickHouse stores, with this seed.
    fn hash(&self, from: &mut &[u8], seed: u64, kinds: &Kinds) -> Result<u64, RowError> {
        let is_null = self.kind.is_nullable() && take(from, 1)?[0] != 0;
        Ok(match self.rule {
            Rule::Time if is_null => hashint8(i64::MIN, seed),
            Rule::Time => {
                let millis = i64::from_le_bytes(eight(from)?);
                hashint8(millis.wrapping_sub(EPOCH_2000).wrapping_mul(1000), seed)
            }
            Rule::Bool => hashint4(take(from, 1)?[0].into(), seed),
            Rule::Tags => {
                let count = read_length(from)?;
                let items: Vec<_> = (0..count).map(|_| take_bytes(from)).collect::<Result<_, _>>()?;
                hash_array(items.into_iter(), seed)
            }
            Rule::Json if is_null => hashint8(hash_null(self.salt) as i64, seed),
            Rule::Json => hashint8(hash_text(take_bytes(from)?, self.salt) as i64, seed),
            Rule::Metadata => {
                let count = read_length(from)?;
                let entries = (0..count).map(|_| Ok((take_bytes(from)?, take_bytes(from)?)));
                kinds.hash(entries.collect::<Result<_, RowError>>()?, seed)
            }
            Rule::Counts => parts(from, 0, i64::from_le_bytes, seed, hashint8)?,
            Rule::Costs => parts(from, 1.0, |bytes| amount(i64::from_le_bytes(bytes)), seed, hashfloat8)?,
            Rule::Cost if is_null => hashfloat8(NULL_AMOUNT, seed),
            Rule::Cost => hashfloat8(amount(i64::from_le_bytes(eight(from)?)), seed),
            Rule::Float => hashfloat8(f64::from_le_bytes(eight(from)?), seed),
            Rule::Wrapping if is_null => hashint8(-1, seed),
            Rule::Wrapping => {
                hashint8(u16::from_le_bytes([take(from, 1)?[0], take(from, 1)?[0]]).into(), seed)
            }
            Rule::Text | Rule::EmptyMap | Rule::Fixed(_) | Rule::Version | Rule::Alive => {
                hashtext(if is_null { NULL_TEXT } else { take_bytes(from)? }, seed)
            }
        })
    }
}

/// What JavaScript calls falsy is NULL in ClickHouse, and NULL hashes as `null`. The size is looked at first, so that
/// large values are not read to be compared with small ones.
fn truthy(x: &str) -> String {
    format!(
        "CASE WHEN {x} IS NULL OR (pg_column_size({x}) < 24 AND {x} IN ('null', '0', 'false', '\"\"')) \
         THEN 'null'::jsonb ELSE {x} END"
    )
}

/// An amount in units of 1e-12, cut as ClickHouse cuts it, plus one: zero would give the seed back. The hundredth
/// takes the error of the multiplication; where it does not, the row is looked at closely and found equal.
fn amount_sql(x: &str) -> String {
    format!("floor({x} * 1e12::float8 + 0.01::float8) + 1")
}

fn amount(stored: i64) -> f64 {
    debug_assert_eq!(SCALE, 1_000_000_000_000);
    stored as f64 + 1.0
}

/// Input, output and total of a map; another key makes another hash.
fn parts<T: Copy>(
    from: &mut &[u8],
    absent: T,
    read: impl Fn([u8; 8]) -> T,
    seed: u64,
    hash: impl Fn(T, u64) -> u64,
) -> Result<u64, RowError> {
    let mut values = [absent; 3];
    let mut others = 0;
    for _ in 0..read_length(from)? {
        let key = take_bytes(from)?;
        let value = read(eight(from)?);
        match PARTS.iter().position(|p| *p == key) {
            Some(at) => values[at] = value,
            None => others ^= hashtext(key, 1),
        }
    }
    Ok(values.into_iter().fold(seed, |seed, value| hash(value, seed)) ^ others)
}
