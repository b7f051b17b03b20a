//! Reading from ClickHouse: a row that is only in PostgreSQL does not exist here.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;

use super::super::serving::answer::{Refusal, json_answer, list};
use super::super::serving::health as pages;
use super::super::serving::query::ListQuery;
use super::super::stores::clickhouse::{self, Row};
use super::super::v2::project_page;
use super::{Web, read_rows};
use crate::rehearsal::clock;

/// `GET /api/public/health`.
pub(super) async fn health(State(web): State<Web>, uri: Uri) -> Response {
    pages::health(&web.context, &web.pool, &uri, recent_events(&web)).await
}

/// `GET /api/public/ready`.
pub(super) async fn ready(State(web): State<Web>) -> Response {
    pages::ready(&web.context)
}

/// v3.1.1 and later look at `created_at` in ClickHouse.
async fn recent_events(web: &Web) -> bool {
    let since = clickhouse::parameter(clock::now_ms() - 180_000);
    for table in ["traces", "observations"] {
        let sql = format!("SELECT 1 AS one FROM {table} WHERE created_at > {{since: DateTime64(3)}} LIMIT 1");
        if web.clickhouse.select(&sql, &[("since", &since)]).await.is_ok_and(|rows| rows.is_empty()) {
            return false;
        }
    }
    true
}

/// `GET /api/public/projects`.
pub(super) async fn projects(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Refusal> {
    let scope = web.scope(&headers).await?;
    project_page(&web.pool, &scope.project).await.map_err(|error| Refusal::internal(&error))
}

/// `GET /api/public/traces`.
pub(super) async fn traces(
    State(web): State<Web>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let mut page = page(&web, &uri, &headers, "traces", "timestamp").await?;
    for trace in &mut page.data {
        let id = trace["id"].as_str().unwrap_or_default().to_owned();
        let Value::Object(trace) = trace else { continue };
        for table in ["observations", "scores"] {
            let rows = read_rows::newest(&web.clickhouse, table, "trace_id", &id, &page.project).await;
            let rows = rows.map_err(|error| Refusal::internal(&error))?;
            if table == "observations" {
                trace.extend(read_rows::totals(&rows));
            }
            let ids: Vec<Value> = rows.into_iter().filter_map(|mut row| row.remove("id")).collect();
            trace.insert(table.into(), ids.into());
        }
        trace.insert("htmlPath".into(), format!("/project/{}/traces/{id}", page.project).into());
    }
    Ok(page.answer())
}

/// `GET /api/public/observations`.
pub(super) async fn observations(
    State(web): State<Web>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Ok(page(&web, &uri, &headers, "observations", "start_time").await?.answer())
}

/// `GET /api/public/scores`.
pub(super) async fn scores(
    State(web): State<Web>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    Ok(page(&web, &uri, &headers, "scores", "timestamp").await?.answer())
}

/// `GET /api/public/traces/{id}`: 404 until the worker has merged and written it.
pub(super) async fn trace(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let scope = web.scope(&headers).await?;
    let read = async |table: &str, column: &str| {
        let rows = read_rows::newest(&web.clickhouse, table, column, &id, &scope.project).await;
        rows.map_err(|error| Refusal::internal(&error))
    };
    let Some(trace) = read("traces", "id").await?.into_iter().next() else {
        return Err(Refusal::not_found(&format!("Trace {id} not found within authorized project")));
    };
    let mut trace = read_rows::public(trace);
    for table in ["observations", "scores"] {
        let rows = read(table, "trace_id").await?;
        if table == "observations" {
            trace.extend(read_rows::totals(&rows));
        }
        trace.insert(table.into(), rows.into_iter().map(read_rows::public).map(Value::Object).collect());
    }
    trace.insert("htmlPath".into(), format!("/project/{}/traces/{id}", scope.project).into());
    Ok(json_answer(StatusCode::OK, &Value::Object(trace)))
}

/// `GET /api/public/observations/{id}`.
pub(super) async fn observation(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let scope = web.scope(&headers).await?;
    let rows = read_rows::newest(&web.clickhouse, "observations", "id", &id, &scope.project).await;
    let row = rows.map_err(|error| Refusal::internal(&error))?.into_iter().next();
    let row = row.ok_or_else(|| Refusal::not_found("Observation not found within authorized project"))?;
    Ok(json_answer(StatusCode::OK, &Value::Object(read_rows::public(row))))
}

struct Page {
    data: Vec<Value>,
    project: String,
    query: ListQuery,
    total: i64,
}

impl Page {
    fn answer(self) -> Response {
        list(&self.data, self.query.page, self.query.limit, self.total)
    }
}

async fn page(web: &Web, uri: &Uri, headers: &HeaderMap, table: &str, time: &str) -> Result<Page, Refusal> {
    let scope = web.scope(headers).await?;
    let query = ListQuery::read(uri)?;
    let (filter, params) = filters(&query, table, time);
    let mut params: Vec<(&str, &str)> = params.iter().map(|(key, value)| (*key, value.as_str())).collect();
    params.push(("project", &scope.project));
    let newest = format!(
        "SELECT * FROM (SELECT * FROM {table} WHERE project_id = {{project: String}}{filter} \
         ORDER BY event_ts DESC LIMIT 1 BY id, project_id) WHERE is_deleted = 0"
    );
    let order = if query.oldest_first { "ASC" } else { "DESC" };
    let sql = format!("{newest} ORDER BY {time} {order} LIMIT {} OFFSET {}", query.limit, query.offset());
    let rows = web.clickhouse.select(&sql, &params).await.map_err(|error| Refusal::internal(&error))?;
    let count = format!("SELECT toInt64(count()) AS n FROM ({newest})");
    let total = web.clickhouse.select(&count, &params).await.map_err(|error| Refusal::internal(&error))?;
    let data = rows.into_iter().map(read_rows::public).map(Value::Object).collect();
    Ok(Page { data, project: scope.project, query, total: number(&total) })
}

fn number(rows: &[Row]) -> i64 {
    let value = rows.first().and_then(|row| row.get("n"));
    value.map_or(0, |n| n.as_i64().or_else(|| n.as_str().and_then(|text| text.parse().ok())).unwrap_or(0))
}

fn filters(query: &ListQuery, table: &str, time: &str) -> (String, Vec<(&'static str, String)>) {
    let mut sql = String::new();
    let mut params = Vec::new();
    let mut add = |clause: &str, name: &'static str, value: Option<String>| {
        if let Some(value) = value {
            sql.push_str(" AND ");
            sql.push_str(clause);
            params.push((name, value));
        }
    };
    add(&format!("{time} >= {{from: DateTime64(3)}}"), "from", query.from_ms.map(clickhouse::parameter));
    add(&format!("{time} < {{to: DateTime64(3)}}"), "to", query.to_ms.map(clickhouse::parameter));
    add("name = {name: String}", "name", query.name.clone());
    if table == "traces" {
        add("user_id = {user: String}", "user", query.user_id.clone());
        add("session_id = {session: String}", "session", query.session_id.clone());
        add("version = {version: String}", "version", query.version.clone());
        add("release = {release: String}", "release", query.release.clone());
        let tags = (!query.tags.is_empty()).then(|| {
            let quoted: Vec<_> = query
                .tags
                .iter()
                .map(|tag| format!("'{}'", tag.replace('\\', "\\\\").replace('\'', "\\'")))
                .collect();
            format!("[{}]", quoted.join(","))
        });
        add("hasAll(tags, {tags: Array(String)})", "tags", tags);
    } else {
        add("trace_id = {trace: String}", "trace", query.trace_id.clone());
    }
    if table == "observations" {
        add("type = {type: String}", "type", query.kind.clone());
    }
    (sql, params)
}
