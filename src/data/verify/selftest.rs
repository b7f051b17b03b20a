//! Before anything is compared: does this PostgreSQL hash as this program does?
//!
//! One rule: a difference here ends the comparison, since every row would look wrong.

use sqlx::{AssertSqlSafe, PgConnection};

use super::chain::Chain;
use super::json_hash::hash_text;
use super::lookup3::{hash_array, hashfloat8, hashint8, hashtext};
use super::postgres::V2;
use crate::data::rows;
use crate::data::tables::Mapping;
use crate::domain::{Kind, Trouble};

/// Rows that are hashed on both sides.
const SAMPLE: u32 = 100;
const SEED: u64 = 0x1234_5678_9abc_def0;

/// Texts of every length class of the hash.
const TEXTS: [&str; 6] = [
    "",
    "a",
    "abcdefghijkl",
    "abcdefghijklm",
    "日本語 🙂",
    "a rather long text, longer than two blocks of twelve bytes",
];
/// JSON of every kind, nested, with escapes and numbers in several spellings.
const JSONS: [&str; 10] = [
    "\"text\"",
    "1.50",
    "-12345678901234567890.000125",
    "true",
    "[]",
    "{}",
    "[1,[2,{\"a\":null}],\"\\u00e9\\n\"]",
    "{\"bb\":1e3,\"a\":{\"c\":[true,false]},\"b\":\"\"}",
    "100000000",
    "0.000000012",
];

/// Holds fixed values and sampled rows against the server's own answers.
///
/// # Errors
/// [`Kind::Refused`] with what differs, or a server that cannot be asked.
pub async fn check(v2: &V2, mapping: &Mapping, chain: &Chain) -> Result<(), Trouble> {
    let refuse = |what: String| {
        Trouble::new(
            Kind::Refused,
            &v2.work.object,
            format!("{what} hashes differently here than this program computes"),
        )
        .remedy("PostgreSQL 13 or newer on a little-endian machine is needed; nothing was compared")
    };
    v2.ask(async |session| functions(v2, session, &refuse).await).await?;
    let sampled = v2.ask(async |session| sampled(v2, session, mapping, &chain.exact(), &refuse).await);
    sampled.await
}

/// PostgreSQL's functions on values that are known.
async fn functions(
    v2: &V2,
    session: &mut PgConnection,
    refuse: &dyn Fn(String) -> Trouble,
) -> Result<(), Trouble> {
    let trouble = |e: sqlx::Error| v2.work.trouble(&e);
    let seed = SEED as i64;
    let texts = "SELECT hashtextextended(x COLLATE \"C\", $2) FROM unnest($1::text[]) WITH ORDINALITY t(x, n) ORDER BY n";
    let answers: Vec<i64> = sqlx::query_scalar(texts)
        .bind(&TEXTS[..])
        .bind(seed)
        .fetch_all(&mut *session)
        .await
        .map_err(trouble)?;
    if let Some((text, _)) =
        TEXTS.iter().zip(answers).find(|(x, h)| hashtext(x.as_bytes(), SEED) != *h as u64)
    {
        return Err(refuse(format!("the text {text:?}")));
    }
    let jsons =
        "SELECT jsonb_hash_extended(x::jsonb, $2) FROM unnest($1::text[]) WITH ORDINALITY t(x, n) ORDER BY n";
    let answers: Vec<i64> = sqlx::query_scalar(jsons)
        .bind(&JSONS[..])
        .bind(seed)
        .fetch_all(&mut *session)
        .await
        .map_err(trouble)?;
    if let Some((json, _)) =
        JSONS.iter().zip(answers).find(|(x, h)| hash_text(x.as_bytes(), SEED) != *h as u64)
    {
        return Err(refuse(format!("the JSON {json}")));
    }
    let others = "SELECT timestamp_hash_extended('2026-05-04 03:02:01.123', $1), hash_array_extended('{a,bcd}'::text[] \
                  COLLATE \"C\", $1), hashfloat8extended(-1.25, $1), timestamp_hash_extended('-infinity', $1)";
    let (time, array, float, never): (i64, i64, i64, i64) =
        sqlx::query_as(others).bind(seed).fetch_one(&mut *session).await.map_err(trouble)?;
    let items = [&b"a"[..], b"bcd"].into_iter();
    for (what, here, there) in [
        ("a timestamp", hashint8(831_178_921_123_000, SEED), time),
        ("a list", hash_array(items, SEED), array),
        ("a double", hashfloat8(-1.25, SEED), float),
        ("the oldest timestamp", hashint8(i64::MIN, SEED), never),
    ] {
        if here != there as u64 {
            return Err(refuse(what.into()));
        }
    }
    Ok(())
}

/// Rows as the copy would write them, hashed here, against PostgreSQL's hash of the same rows.
async fn sampled(
    v2: &V2,
    session: &mut PgConnection,
    mapping: &Mapping,
    chain: &Chain,
    refuse: &dyn Fn(String) -> Trouble,
) -> Result<(), Trouble> {
    let sql = format!("SELECT t.id, {} FROM {} LIMIT {SAMPLE}", chain.pg(), v2.from());
    let hashes: Vec<(String, i64)> =
        sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut *session).await.map_err(|e| v2.work.trouble(&e))?;
    let ids: Vec<&str> = hashes.iter().map(|(id, _)| id.as_str()).collect();
    let only = chain.mapping(mapping);
    let rows = rows::from_postgres(&v2.work, session, &only, &ids).await?;
    for row in rows.into_iter().flatten() {
        let here = chain.hash_row(&only, &row);
        let there = hashes.iter().find(|(id, _)| *id == row.key.id).map(|(_, hash)| *hash as u64);
        if here.is_some() && there.is_some() && here != there {
            return Err(refuse(format!(
                "{} {:?} (it may have changed meanwhile)",
                mapping.spec.pg(),
                row.key.id
            )));
        }
    }
    Ok(())
}
