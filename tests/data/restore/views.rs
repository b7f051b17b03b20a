//! What v2 needs of PostgreSQL, taken away as later versions of v3 do.

use super::Bench;

pub(super) async fn views_and_enums(bench: &mut Bench) {
    bench.run("DROP VIEW traces_view; DROP VIEW observations_view").await;
    assert_eq!(bench.api("v2_url", "/api/public/traces?limit=1", None).await.0, 500);
    let (code, _, words) = bench.verb(&["--yes"]);
    assert!(code == 4 && words.contains("view traces_view") && words.contains("--views"), "{code} {words}");
    let (code, sql, _) = bench.verb(&["--views"]);
    assert!(code == 1 && sql.contains("CREATE VIEW traces_view"), "{code} {sql}");
    let (code, made, words) = bench.verb(&["--views", "--yes"]);
    assert!(code == 0 && made.contains("traces_view, observations_view"), "{code} {made} {words}");
    assert_eq!(bench.api("v2_url", "/api/public/traces?limit=1", None).await.0, 200);
    assert_eq!(bench.api("v2_url", "/api/public/observations?limit=1", None).await.0, 200);
    assert_eq!(bench.verb(&["--views", "--yes"]).0, 0);

    bench.run("ALTER TYPE \"ScoreDataType\" RENAME TO \"ScoreConfigDataType\"").await;
    let (code, _, words) = bench.verb(&["--yes"]);
    assert!(code == 4 && words.contains("enum ScoreDataType") && words.contains("v3.143"), "{code} {words}");
    bench.run("ALTER TYPE \"ScoreConfigDataType\" RENAME TO \"ScoreDataType\"").await;
    bench.run("ALTER TABLE scores RENAME TO scores_gone").await;
    let (code, _, words) = bench.verb(&[]);
    assert!(code == 4 && words.contains("table scores") && words.contains("v4.0.0"), "{code} {words}");
    bench.run("ALTER TABLE scores_gone RENAME TO scores").await;
}
