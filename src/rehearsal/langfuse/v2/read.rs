//! Reading. Traces and observations are read through the two views that v3.29.1 drops: without them the lists
//! and the trace page answer 500 while writing still works (sheet 9.4).

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::{Map, Value, json};
use sqlx::{PgPool, Row as _};

use super::super::LangfuseError;
use super::super::serving::answer::{Refusal, json_answer, list};
use super::super::serving::health as pages;
use super::super::serving::query::ListQuery;
use super::V2;
use crate::rehearsal::langfuse::js;

/// Where a list comes from: relation, time column, and the filters its page takes.
struct Listing {
    count: &'static str,
    page: &'static str,
}

const TRACES: Listing = Listing {
    count: "SELECT count(*) FROM traces t WHERE t.project_id = $1 \
        AND ($2::text IS NULL OR t.timestamp >= $2::timestamp(3)) AND ($3::text IS NULL OR t.timestamp < $3::timestamp(3)) \
        AND ($4::text IS NULL OR t.name = $4) AND ($5::text IS NULL OR t.user_id = $5) \
        AND ($6::text IS NULL OR t.session_id = $6) AND t.tags @> $7 \
        AND ($8::text IS NULL OR t.version = $8) AND ($9::text IS NULL OR t.release = $9)",
    page: "SELECT to_jsonb(t) AS row FROM traces_view t WHERE t.project_id = $1 \
        AND ($2::text IS NULL OR t.timestamp >= $2::timestamp(3)) AND ($3::text IS NULL OR t.timestamp < $3::timestamp(3)) \
        AND ($4::text IS NULL OR t.name = $4) AND ($5::text IS NULL OR t.user_id = $5) \
        AND ($6::text IS NULL OR t.session_id = $6) AND t.tags @> $7 \
        AND ($8::text IS NULL OR t.version = $8) AND ($9::text IS NULL OR t.release = $9) \
        ORDER BY CASE WHEN $12 THEN t.timestamp END ASC, t.timestamp DESC LIMIT $10 OFFSET $11",
};

/// `GET /api/public/health`.
pub(super) async fn health(State(v2): State<V2>, uri: Uri) -> Response {
    pages::health(&v2.context, &v2.pool, &uri, recent_events(&v2.pool)).await
}

/// `GET /api/public/ready`.
pub(super) async fn ready(State(v2): State<V2>) -> Response {
    pages::ready(&v2.context)
}

async fn recent_events(pool: &PgPool) -> bool {
    let since = js::iso(crate::rehearsal::clock::now_ms() - 180_000);
    let both = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM traces WHERE timestamp > $1::timestamp(3)) \
         AND EXISTS (SELECT 1 FROM observations WHERE start_time > $1::timestamp(3)) AS both",
    )
    .bind(since)
    .fetch_one(pool)
    .await;
    both.and_then(|row| row.try_get("both")).unwrap_or(false)
}

/// `GET /api/public/traces`.
pub(super) async fn traces(State(v2): State<V2>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = v2.scope(&headers).await?;
    let query = ListQuery::read(&uri)?;
    let bind = |sql: &'static str| {
        sqlx::query(sql)
            .bind(scope.project.clone())
            .bind(query.from_ms.map(js::iso))
            .bind(query.to_ms.map(js::iso))
            .bind(query.name.clone())
            .bind(query.user_id.clone())
            .bind(query.session_id.clone())
            .bind(query.tags.clone())
            .bind(query.version.clone())
            .bind(query.release.clone())
    };
    let page = bind(TRACES.page).bind(query.limit).bind(query.offset()).bind(query.oldest_first);
    let rows = page.fetch_all(&v2.pool).await.map_err(|error| Refusal::internal(&error))?;
    let total = bind(TRACES.count).fetch_one(&v2.pool).await.and_then(|row| row.try_get::<i64, _>(0));
    let total = total.map_err(|error| Refusal::internal(&error))?;
    let mut data = Vec::with_capacity(rows.len());
    for row in rows {
        let mut trace = public_row(row.try_get("row").map_err(|error| Refusal::internal(&error))?);
        let id = trace["id"].as_str().unwrap_or_default().to_owned();
        for (key, sql) in [
            ("observations", "SELECT id AS row FROM observations WHERE trace_id = $1 AND project_id = $2"),
            ("scores", "SELECT id AS row FROM scores WHERE trace_id = $1 AND project_id = $2"),
        ] {
            let ids = sqlx::query(sql).bind(&id).bind(&scope.project).fetch_all(&v2.pool).await;
            let ids = ids.map_err(|error| Refusal::internal(&error))?;
            let ids: Vec<String> = ids.iter().filter_map(|row| row.try_get("row").ok()).collect();
            trace.insert(key.into(), ids.into());
        }
        add_totals(&v2.pool, &mut trace, &id, &scope.project).await?;
        data.push(Value::Object(trace));
    }
    Ok(list(&data, query.page, query.limit, total))
}

/// `GET /api/public/traces/{id}`.
pub(super) async fn trace(
    State(v2): State<V2>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let scope = v2.scope(&headers).await?;
    let read = async |sql: &'static str| rows(&v2.pool, sql, &id, &scope.project).await;
    let found = read("SELECT to_jsonb(t) AS row FROM traces t WHERE t.id = $1 AND t.project_id = $2").await?;
    let Some(mut trace) = found.into_iter().next() else {
        return Err(Refusal::not_found("Trace not found within authorized project"));
    };
    let observations = read(
        "SELECT to_jsonb(o) AS row FROM observations_view o WHERE o.trace_id = $1 AND o.project_id = $2",
    )
    .await?;
    let scores =
        read("SELECT to_jsonb(s) AS row FROM scores s WHERE s.trace_id = $1 AND s.project_id = $2").await?;
    trace.insert("observations".into(), observations.into_iter().map(Value::Object).collect());
    trace.insert("scores".into(), scores.into_iter().map(Value::Object).collect());
    add_totals(&v2.pool, &mut trace, &id, &scope.project).await?;
    Ok(json_answer(StatusCode::OK, &Value::Object(trace)))
}

/// What a trace's page has beyond its row: its path, seconds from first start to last end, and its cost. SDKs
/// that check answers refuse a trace without them.
async fn add_totals(
    pool: &PgPool,
    trace: &mut Map<String, Value>,
    id: &str,
    project: &str,
) -> Result<(), Refusal> {
    let sql = "SELECT jsonb_build_object('latency', coalesce(extract(epoch FROM \
            coalesce(max(o.end_time), max(o.start_time)) - min(o.start_time)), 0)::float8, \
        'total_cost', coalesce(sum(o.calculated_total_cost), 0)::float8) AS row \
        FROM observations_view o WHERE o.trace_id = $1 AND o.project_id = $2";
    trace.extend(rows(pool, sql, id, project).await?.into_iter().next().unwrap_or_default());
    trace.insert("htmlPath".into(), format!("/project/{project}/traces/{id}").into());
    Ok(())
}

/// `GET /api/public/observations`.
pub(super) async fn observations(
    State(v2): State<V2>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let sql = Listing {
        count: "SELECT count(*) FROM observations o WHERE o.project_id = $1 \
            AND ($2::text IS NULL OR o.trace_id = $2) AND ($3::text IS NULL OR o.name = $3) \
            AND ($4::text IS NULL OR o.type::text = $4)",
        page: "SELECT to_jsonb(o) AS row FROM observations_view o WHERE o.project_id = $1 \
            AND ($2::text IS NULL OR o.trace_id = $2) AND ($3::text IS NULL OR o.name = $3) \
            AND ($4::text IS NULL OR o.type::text = $4) ORDER BY o.start_time DESC LIMIT $5 OFFSET $6",
    };
    simple_list(&v2, &uri, &headers, &sql).await
}

/// `GET /api/public/observations/{id}`.
pub(super) async fn observation(
    State(v2): State<V2>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let scope = v2.scope(&headers).await?;
    let sql = "SELECT to_jsonb(o) AS row FROM observations_view o WHERE o.id = $1 AND o.project_id = $2";
    let found = rows(&v2.pool, sql, &id, &scope.project).await?;
    let row = found.into_iter().next();
    let row = row.ok_or_else(|| Refusal::not_found("Observation not found within authorized project"))?;
    Ok(json_answer(StatusCode::OK, &Value::Object(row)))
}

/// `GET /api/public/scores`.
pub(super) async fn scores(State(v2): State<V2>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let sql = Listing {
        count: "SELECT count(*) FROM scores s WHERE s.project_id = $1 \
            AND ($2::text IS NULL OR s.trace_id = $2) AND ($3::text IS NULL OR s.name = $3) \
            AND ($4::text IS NULL OR s.data_type::text = $4)",
        page: "SELECT to_jsonb(s) AS row FROM scores s WHERE s.project_id = $1 \
            AND ($2::text IS NULL OR s.trace_id = $2) AND ($3::text IS NULL OR s.name = $3) \
            AND ($4::text IS NULL OR s.data_type::text = $4) ORDER BY s.timestamp DESC LIMIT $5 OFFSET $6",
    };
    simple_list(&v2, &uri, &headers, &sql).await
}

/// One score as the API shows it; null when there is none.
pub(super) async fn score(pool: &PgPool, id: &str, project: &str) -> Result<Value, Refusal> {
    let sql = "SELECT to_jsonb(s) AS row FROM scores s WHERE s.id = $1 AND s.project_id = $2";
    Ok(rows(pool, sql, id, project).await?.into_iter().next().map_or(Value::Null, Value::Object))
}

/// `GET /api/public/projects`: the cheapest check of a key.
pub(super) async fn projects(State(v2): State<V2>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = v2.scope(&headers).await?;
    project_page(&v2.pool, &scope.project).await.map_err(|error| Refusal::internal(&error))
}

/// The projects page, the same in v2 and v3.
pub(crate) async fn project_page(pool: &PgPool, project: &str) -> Result<Response, LangfuseError> {
    let rows =
        sqlx::query("SELECT id, name FROM projects WHERE id = $1").bind(project).fetch_all(pool).await?;
    let data = rows.iter().map(|row| {
        Ok(json!({"id": row.try_get::<String, _>("id")?, "name": row.try_get::<String, _>("name")?}))
    });
    let data = data.collect::<Result<Vec<_>, sqlx::Error>>()?;
    Ok(json_answer(StatusCode::OK, &json!({"data": data})))
}

async fn simple_list(v2: &V2, uri: &Uri, headers: &HeaderMap, sql: &Listing) -> Result<Response, Refusal> {
    let scope = v2.scope(headers).await?;
    let query = ListQuery::read(uri)?;
    let bind = |text: &'static str| {
        sqlx::query(text)
            .bind(scope.project.clone())
            .bind(query.trace_id.clone())
            .bind(query.name.clone())
            .bind(query.kind.clone())
    };
    let page = bind(sql.page).bind(query.limit).bind(query.offset()).fetch_all(&v2.pool).await;
    let page = page.map_err(|error| Refusal::internal(&error))?;
    let total = bind(sql.count).fetch_one(&v2.pool).await.and_then(|row| row.try_get::<i64, _>(0));
    let total = total.map_err(|error| Refusal::internal(&error))?;
    let data: Vec<Value> =
        page.iter().filter_map(|row| row.try_get("row").ok()).map(public_row).map(Value::Object).collect();
    Ok(list(&data, query.page, query.limit, total))
}

async fn rows(
    pool: &PgPool,
    sql: &'static str,
    id: &str,
    project: &str,
) -> Result<Vec<Map<String, Value>>, Refusal> {
    let rows = sqlx::query(sql).bind(id).bind(project).fetch_all(pool).await;
    let rows = rows.map_err(|error| Refusal::internal(&error))?;
    Ok(rows.iter().filter_map(|row| row.try_get("row").ok()).map(public_row).collect())
}

/// A row of the database as the API names it: camelCase, dates with `Z`.
fn public_row(row: Value) -> Map<String, Value> {
    let Value::Object(row) = row else {
        return Map::new();
    };
    row.into_iter().map(|(key, value)| (camel(&key), date(&key, value))).collect()
}

fn date(key: &str, value: Value) -> Value {
    let is_date = matches!(key, "timestamp" | "created_at" | "updated_at") || key.ends_with("_time");
    match value {
        Value::String(text) if is_date => js::millis(&text).map_or(Value::Null, |ms| js::iso(ms).into()),
        other => other,
    }
}

/// `trace_id` as `traceId`.
pub(crate) fn camel(snake: &str) -> String {
    let mut upper = false;
    let mut out = String::with_capacity(snake.len());
    for letter in snake.chars() {
        if letter == '_' {
            upper = true;
        } else if std::mem::take(&mut upper) {
            out.extend(letter.to_uppercase());
        } else {
            out.push(letter);
        }
    }
    out
}
