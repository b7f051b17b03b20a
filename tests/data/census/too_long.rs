//! A moment with more rows than a statement can count in its time: it holds up nothing else.

use std::time::Duration;

use cutover::data::census::postgres::Session;
use cutover::data::census::postgres::poll::Poll;
use cutover::data::census::{Filter, book::PgBook};
use cutover::domain::backfill::Table;
use cutover::domain::units::Count;
use sqlx::PgConnection;
use tokio::time::Instant;

use super::ground::Ground;

/// `traces` as one session sees it: counting the rows of one moment never ends, the first of them are there at once.
const SLOW: &str = "CREATE SCHEMA slow; CREATE TABLE slow.moment AS SELECT created_at AS at FROM public.traces \
     GROUP BY 1 ORDER BY count(*) DESC LIMIT 1; \
     CREATE FUNCTION slow.waits(at timestamp) RETURNS boolean LANGUAGE plpgsql VOLATILE COST 100000 AS $$ BEGIN \
       IF current_query() LIKE '%count(*)%' AND current_query() NOT LIKE '%LIMIT%' \
          AND at = (SELECT m.at FROM slow.moment m) THEN PERFORM pg_sleep(60); END IF; RETURN true; END $$; \
     CREATE VIEW slow.traces AS SELECT * FROM public.traces WHERE slow.waits(created_at)";

/// What one poll says: all rows, those up to a while before the moment, those up to it, and those that share it.
async fn polled(session: &mut PgConnection, poll: &mut Poll, at: i64) -> [Option<Count>; 4] {
    let mut session = Session { connection: session, object: "test" };
    let deadline = Instant::now() + Duration::from_secs(20);
    let look = poll.look(&mut session).await.unwrap();
    poll.advance(&mut session, &look, deadline).await.unwrap();
    let total = poll.total(&mut session, &look, deadline).await.unwrap();
    let before = poll.up_to(&mut session, at - 100_000, &total, deadline).await.unwrap();
    let with = poll.up_to(&mut session, at, &total, deadline).await.unwrap();
    let ties = poll.ties(&mut session, at, deadline).await.unwrap();
    [Some(total.count), before, with, ties.map(Count::exact)]
}

/// What is said once all but the moment is counted: on a busy machine other statements run out of time as well, and a sum
/// that did rests for a minute.
async fn settled(session: &mut PgConnection, poll: &mut Poll, at: i64) -> [Option<Count>; 4] {
    for _ in 0..60 {
        let mut session = Session { connection: session, object: "test" };
        let look = poll.look(&mut session).await.unwrap();
        poll.advance(&mut session, &look, Instant::now() + Duration::from_secs(5)).await.unwrap();
        if poll.is_caught_up() && !poll.book.gaps.is_empty() {
            break;
        }
    }
    polled(session, poll, at).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_that_takes_too_long_is_left_out_and_told() {
    let Some(mut g) = Ground::new(1_000).await else { return };
    g.change(SLOW).await;
    // Neighbours of the same day, and one of the same minute.
    g.change(
        "INSERT INTO traces SELECT (json_populate_record(t, json_build_object('id', 'beside' || n, \
         'created_at', m.at + n * interval '1 millisecond'))).* \
         FROM traces t, slow.moment m, unnest(ARRAY[-200000, -2, 2, 200000]) n \
         WHERE t.id = (SELECT min(id) FROM traces)",
    )
    .await;
    let rows = g.rows_since(0).await;
    let at: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM at) * 1000)::bigint FROM slow.moment")
        .fetch_one(&mut g.main)
        .await
        .unwrap();
    let above = g.rows_since(at + 1).await;
    let below = rows - g.rows_since(at).await;
    let ties = rows - above - below;
    assert_eq!((below, ties), (2, 50));
    let mut slow = g.pg.session().await.unwrap();
    let set = "SET search_path = slow, public; SET statement_timeout = 700";
    sqlx::raw_sql(set).execute(&mut *slow).await.unwrap();

    let others = rows - ties;
    let mut poll = Poll::new(Table::Traces, PgBook::default());
    let said = settled(&mut slow, &mut poll, at).await;
    assert_eq!(poll.book.gaps.len(), 1);
    // The view has no statistics, so that the minute counts as nothing: also three rows beside the moment.
    let [all, before, with, tied] = said.map(Option::unwrap);
    assert!(all.estimate && (others - 3..=others).contains(&all.value), "{said:?} of {rows}");
    assert!(with.estimate && with.value <= below, "{said:?}");
    assert_eq!((before, tied), (Count::exact(1), Count::exact(ties)), "{said:?}");

    // The next start remembers it, and a census, which has more time, counts it.
    let kept: PgBook = serde_json::from_slice(&serde_json::to_vec(&poll.book).unwrap()).unwrap();
    assert_eq!(kept, poll.book);
    let mut again = Poll::new(Table::Traces, kept);
    let said = settled(&mut slow, &mut again, at).await;
    assert_eq!(said[0], Some(all));
    drop(slow);
    g.book.tables.entry("traces".into()).or_default().pg = poll.book;
    let relation = &mut g.book.tables.get_mut("traces").unwrap().pg.relation;
    let look = Session { connection: &mut g.main, object: "test" }.look(Table::Traces).await.unwrap();
    relation.clone_from(&look.relation);
    let report = g.census(&[Table::Traces], &Filter::default()).await;
    assert_eq!((report.tables[0].postgres.value, report.tables[0].postgres.estimate), (rows, false));
    assert!(g.book.tables["traces"].pg.gaps.is_empty());
    g.stop().await;
}
