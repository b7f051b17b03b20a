//! v2's ids in the order of their index, as hashes: a page is one row of arrays, and now and then an id stands
//! beside its hash, so that any hash can be named later by reading some entries of the index.
//!
//! One rule: a page goes on where the last named id of the page before stands; what came after that is read again.

use sqlx::{AssertSqlSafe, PgConnection};

use super::super::lookup3::hashtext;
use super::super::pace::Rest;
use super::super::postgres::{ID_HASH, V2};
use crate::domain::{Kind, Trouble};

/// Rows of a page: 6 MB in PostgreSQL and here.
const PAGE: i64 = 500_000;
/// An id is sent whole where its hash ends in so many zero bits: one in 64.
const NAMED: u64 = 0x3f;

/// A stretch of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// The first id that may be in it.
    from: Option<String>,
    /// The first id after it.
    below: Option<String>,
}

impl Stretch {
    /// The ids before an id, and from it on.
    pub fn cut(middle: Option<&str>) -> Vec<Self> {
        let Some(middle) = middle.map(str::to_owned) else { return vec![] };
        vec![Self { from: None, below: Some(middle.clone()) }, Self { from: Some(middle), below: None }]
    }
}

/// The ids of PostgreSQL, in the order of its index.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    /// `hashtextextended(id, 0)` of each.
    pub(super) all: Vec<u64>,
    /// Some of them by place, and the last one.
    named: Vec<(usize, String)>,
}

impl Hashes {
    /// Reads them all, with a rest after each page; two stretches at once.
    ///
    /// # Errors
    /// A statement fails, or its answer is not in the index's order.
    pub(super) async fn read(v2: &V2, stretches: &[Stretch], rest: &Rest<'_>) -> Result<Self, Trouble> {
        let read = async |session: &mut PgConnection, stretch: &Stretch| {
            Self::stretch(v2, session, stretch, rest).await
        };
        let parts = v2.halved(stretches, &Stretch::default(), read).await?;
        Ok(parts.into_iter().reduce(Self::and).unwrap_or_default())
    }

    async fn stretch(
        v2: &V2,
        session: &mut PgConnection,
        stretch: &Stretch,
        rest: &Rest<'_>,
    ) -> Result<Self, Trouble> {
        let (mut hashes, mut limit) = (Self::default(), rest.step.min(PAGE));
        loop {
            let begun = rest.begin();
            let (all, named) = page(v2, &mut *session, stretch, hashes.last(), limit).await?;
            rest.after(begun).await;
            let whole = all.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let begun = hashes.all.len();
            hashes.take(all, named, whole).ok_or_else(|| {
                let text = "the ids did not come in the order of their index".to_owned();
                Trouble::new(Kind::Unexpected, &v2.work.object, text)
            })?;
            if whole {
                break;
            }
            if hashes.all.len() == begun {
                limit = limit.saturating_mul(8); // no id of the page was named
            }
        }
        hashes.close(v2, session, stretch).await?;
        Ok(hashes)
    }

    /// Those of the next stretch as well.
    fn and(mut self, next: Self) -> Self {
        let begun = self.all.len();
        self.all.extend(next.all);
        self.named.extend(next.named.into_iter().map(|(at, id)| (begun + at, id)));
        self
    }

    fn last(&self) -> Option<&str> {
        self.named.last().map(|(_, id)| id.as_str())
    }

    /// Takes a page: up to the last id that has a name, or all of it.
    fn take(&mut self, all: Vec<u64>, named: Vec<String>, whole: bool) -> Option<()> {
        let begun = self.all.len();
        let places = all.iter().enumerate().filter(|(_, hash)| *hash & NAMED == 0);
        let mut named = named.into_iter();
        for (at, hash) in places {
            let id = named.next().filter(|id| hashtext(id.as_bytes(), 0) == *hash)?;
            self.named.push((begun + at, id));
        }
        let end = self.named.last().map_or(begun, |(at, _)| at + 1).max(begun);
        self.all.extend(all);
        if !whole {
            self.all.truncate(end);
        }
        named.next().is_none().then_some(())
    }

    /// Names the last id, where rows come after the last that has a name.
    async fn close(&mut self, v2: &V2, session: &mut PgConnection, stretch: &Stretch) -> Result<(), Trouble> {
        let below = if stretch.below.is_some() { "t.id < $1" } else { "$1::text IS NULL" };
        let sql = format!("SELECT t.id FROM {} WHERE {below} ORDER BY t.id DESC LIMIT 1", v2.from());
        let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(&stretch.below);
        let last = query.fetch_optional(session).await.map_err(|e| v2.work.trouble(&e))?;
        // It stands at the last place, or came since.
        self.named.extend(last.map(|id| (self.all.len().saturating_sub(1), id)));
        Ok(())
    }

    /// The ids at these places, which are in order. One that was deleted since has no name any more.
    ///
    /// # Errors
    /// The statement fails.
    pub(super) async fn names(&self, v2: &V2, places: &[u32]) -> Result<Vec<String>, Trouble> {
        let (low, high): (Vec<&str>, Vec<&str>) = self.stretches(places).into_iter().unzip();
        if low.is_empty() {
            return Ok(vec![]);
        }
        let hashes = places.iter().filter_map(|at| self.all.get(*at as usize));
        let hashes: Vec<i64> = hashes.map(|hash| hash.cast_signed()).collect();
        let mut found: Vec<String> = v2
            .ask(async |session| {
                let sql = format!(
                    "SELECT t.id FROM unnest($1::text[], $2::text[]) AS s(low, high) CROSS JOIN LATERAL \
                     (SELECT t.id FROM {} WHERE t.id >= s.low AND t.id <= s.high OFFSET 0) t \
                     WHERE {ID_HASH} IN (SELECT unnest($3::bigint[]))",
                    v2.from()
                );
                let query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(&low).bind(&high).bind(&hashes);
                query.fetch_all(session).await.map_err(|e| v2.work.trouble(&e))
            })
            .await?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// First and last id of the stretches between named ids that hold these places.
    fn stretches(&self, places: &[u32]) -> Vec<(&str, &str)> {
        let mut bounds: Vec<(usize, usize)> = vec![];
        for place in places {
            let after = self.named.partition_point(|(at, _)| *at < *place as usize);
            match bounds.last_mut() {
                Some((_, last)) if *last + 1 >= after => *last = after,
                _ => bounds.push((after, after)),
            }
        }
        let id = |at: usize| self.named.get(at).map(|(_, id)| id.as_str());
        // No text comes before the empty one, in any collation.
        let before = |at: usize| at.checked_sub(1).and_then(id).unwrap_or_default();
        bounds.into_iter().filter_map(|(first, last)| Some((before(first), id(last)?))).collect()
    }
}

/// The hashes of the next ids, and those ids that are sent whole.
async fn page(
    v2: &V2,
    session: &mut PgConnection,
    stretch: &Stretch,
    after: Option<&str>,
    limit: i64,
) -> Result<(Vec<u64>, Vec<String>), Trouble> {
    let sql = format!(
        "SELECT coalesce(string_agg(int8send(h), ''), ''), coalesce(array_agg(id) FILTER (WHERE h & {NAMED} = 0), '{{}}') \
         FROM (SELECT t.id, {ID_HASH} AS h FROM {} WHERE {} AND {} ORDER BY t.id LIMIT $1) x",
        v2.from(),
        match (after, &stretch.from) {
            (Some(_), _) => "t.id > $2",
            (None, Some(_)) => "t.id >= $2",
            (None, None) => "$2::text IS NULL",
        },
        if stretch.below.is_some() { "t.id < $3" } else { "$3::text IS NULL" },
    );
    // Bytes: an array of numbers takes PostgreSQL half as long again.
    let query = sqlx::query_as::<_, (Vec<u8>, Vec<String>)>(AssertSqlSafe(sql)).bind(limit);
    let query = query.bind(after.or(stretch.from.as_deref())).bind(&stretch.below);
    let (all, named) = query.fetch_one(session).await.map_err(|e| v2.work.trouble(&e))?;
    let (all, _) = all.as_chunks();
    Ok((all.iter().map(|hash| u64::from_be_bytes(*hash)).collect(), named))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids with their hashes, named where the hash says so.
    fn rows(numbers: std::ops::Range<u32>) -> (Vec<u64>, Vec<String>) {
        let ids: Vec<String> = numbers.map(|n| format!("id-{n:06}")).collect();
        let all: Vec<u64> = ids.iter().map(|id| hashtext(id.as_bytes(), 0)).collect();
        let named = ids.iter().zip(&all).filter(|(_, h)| *h & NAMED == 0).map(|(id, _)| id.clone()).collect();
        (all, named)
    }

    #[test]
    fn a_page_ends_with_its_last_name_and_the_next_goes_on_there() {
        let mut hashes = Hashes::default();
        let (all, named) = rows(0..5_000);
        assert_eq!(hashes.take(all, named, false), Some(()));
        let last: u32 = hashes.last().unwrap()[3..].parse().unwrap();
        assert_eq!(hashes.all.len(), last as usize + 1);
        assert!(last > 4_000, "{last}");
        let (all, named) = rows(last + 1..7_000);
        assert_eq!(hashes.take(all, named, true), Some(()));
        assert_eq!(hashes.all, rows(0..7_000).0);
        // A place lies between the names around it, whichever page it came with.
        hashes.named.push((7_000, "id-006999".to_owned()));
        for place in [0, 1, 4_999, 5_000, 6_999] {
            let id = format!("id-{place:06}");
            let [(low, high)] = hashes.stretches(&[place])[..] else { panic!("{place}") };
            assert!(low <= id.as_str() && id.as_str() <= high, "{low} {id} {high}");
        }
        assert_eq!(hashes.stretches(&(0..7_000).collect::<Vec<_>>()), [("", "id-006999")]);
    }

    #[test]
    fn a_page_in_another_order_is_refused() {
        let (mut all, named) = rows(0..5_000);
        all.reverse();
        assert_eq!(Hashes::default().take(all, named, true), None);
        let (all, mut named) = rows(0..5_000);
        named.push("one more".to_owned());
        assert_eq!(Hashes::default().take(all, named, true), None);
    }
}
