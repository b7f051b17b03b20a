//! One ingestion job: read every stored event of the entity, merge them with the row in ClickHouse, hand the
//! result to the writer. PostgreSQL's row of the same entity is never looked at (since v3.5.3): a row that is not
//! backfilled yet is overwritten by the fields of this event alone (sheet 9.3 race 4).

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::super::LangfuseError;
use super::super::bullmq::Job;
use super::super::events::{Entity, Event};
use super::super::js;
use super::super::stores::clickhouse::{self, Row};
use super::super::web::insertable;
use super::{Services, TRACE_UPSERT_DELAY, merge, pricing, record};
use crate::rehearsal::clock;

/// What a job points at.
struct Target<'a> {
    project: &'a str,
    id: &'a str,
    file: Option<&'a str>,
    entity: Entity,
}

impl<'a> Target<'a> {
    fn read(job: &'a Job) -> Option<Self> {
        let payload = &job.data["payload"];
        let data = &payload["data"];
        Some(Self {
            project: payload["authCheck"]["scope"]["projectId"].as_str()?,
            id: data["eventBodyId"].as_str()?,
            file: data["fileKey"].as_str(),
            entity: Entity::of(data["type"].as_str()?)?,
        })
    }
}

/// Works one job.
pub(super) async fn process(services: &Services, job: &Job) -> Result<(), LangfuseError> {
    let target = Target::read(job).ok_or_else(|| {
        LangfuseError::refused(format!("job {} names no project, type or eventBodyId", job.id))
    })?;
    let folder = services.bucket.folder(target.project, target.entity.folder(), target.id);
    log_file(services, &target, &folder);
    let (mut events, first_written) = download(services, &folder).await?;
    if events.is_empty() {
        let log = &services.context.log;
        log.warn(&format!("No events found for project {} and event {}", target.project, target.id));
        return Ok(());
    }
    // Creates before updates where times are equal; the sort is stable.
    events.sort_by_key(|event| (event.timestamp_ms, !event.kind.contains("create")));
    match target.entity {
        Entity::Trace => trace(services, &target, &events, first_written).await,
        Entity::Observation => observation(services, &target, &events, first_written).await,
        Entity::Score => score(services, &target, &events, first_written).await,
    }
}

/// Notes the file in `event_log`, so that it can be found again without listing the bucket.
fn log_file(services: &Services, target: &Target<'_>, folder: &str) {
    let Some(file) = target.file else { return };
    let now = clock::now_ms();
    let row = json!({
        "id": uuid::Uuid::new_v4().to_string(), "project_id": target.project,
        "entity_type": target.entity.folder(), "entity_id": target.id, "event_id": file,
        "bucket_name": services.bucket.name(), "bucket_path": format!("{folder}{file}.json"),
        "created_at": now, "updated_at": now,
    });
    if let Value::Object(row) = row {
        services.writer.add(&services.context.crew, "event_log", row);
    }
}

/// Every event of the folder, and when its first file was written (epoch milliseconds).
async fn download(services: &Services, folder: &str) -> Result<(Vec<Event>, i64), LangfuseError> {
    let files = services.bucket.list(folder).await?;
    let contents =
        futures::future::try_join_all(files.iter().map(|file| services.bucket.get_json(&file.key)));
    let mut events = Vec::new();
    for content in contents.await? {
        match content {
            Value::Array(items) => events.extend(items.iter().filter_map(Event::read)),
            one => events.extend(Event::read(&one)),
        }
    }
    let first = files.iter().filter_map(|file| file.written_ms).min().unwrap_or_else(clock::now_ms);
    Ok((events, first))
}

async fn trace(
    services: &Services,
    target: &Target<'_>,
    events: &[Event],
    first_written: i64,
) -> Result<(), LangfuseError> {
    let since = events.iter().filter_map(|event| event.millis("timestamp")).min();
    let known = newest(services, "traces", target, since.map(|ms| ("timestamp", ms)), None).await?;
    let records = events.iter().map(|event| record::trace(target.project, target.id, event));
    let mut row = merge::records(known.clone(), records, merge::TRACE_FIXED);
    finish(&mut row, known.as_ref(), first_written);
    record::input_and_output(&mut row, events, known.as_ref());
    if let Some(session) = row.get("session_id").and_then(Value::as_str).filter(|session| !session.is_empty())
    {
        upsert_session(services, target.project, session).await?;
    }
    services.writer.add(&services.context.crew, "traces", row);
    let job = json!({
        "payload": {"projectId": target.project, "traceId": target.id},
        "id": uuid::Uuid::new_v4().to_string(), "timestamp": js::iso(clock::now_ms()), "name": "trace-upsert",
    });
    services.trace_upsert.add("trace-upsert", &job, TRACE_UPSERT_DELAY).await.map(drop)
}

async fn observation(
    services: &Services,
    target: &Target<'_>,
    events: &[Event],
    first_written: i64,
) -> Result<(), LangfuseError> {
    let kind = events.first().map_or("SPAN", Event::observation_type).to_owned();
    let since = events.iter().filter_map(|event| event.millis("startTime")).min();
    let since = since.map(|ms| ("start_time", ms));
    let known = newest(services, "observations", target, since, Some(&kind)).await?;
    let prompt = pricing::prompt(&services.pool, target.project, events).await?;
    let records =
        events.iter().map(|event| record::observation(target.project, target.id, event, prompt.as_ref()));
    let mut row = merge::records(known.clone(), records, merge::OBSERVATION_FIXED);
    finish(&mut row, known.as_ref(), first_written);
    if !row.get("level").is_some_and(Value::is_string) {
        row.insert("level".into(), "DEFAULT".into());
    }
    if row.get("end_time").and_then(Value::as_i64) < row.get("start_time").and_then(Value::as_i64)
        && row.get("end_time").is_some_and(Value::is_number)
    {
        let start = row["start_time"].clone();
        row.insert("end_time".into(), start);
    }
    record::input_and_output(&mut row, events, known.as_ref());
    let model = row.get("provided_model_name").and_then(Value::as_str).map(str::to_owned);
    let model = pricing::find(&services.pool, target.project, model.as_deref()).await?;
    super::usage::apply(&mut row, model.as_ref());
    if !row.get("trace_id").is_some_and(Value::is_string) {
        let wrapper = record::wrapper_trace(target.project, target.id, &row);
        services.writer.add(&services.context.crew, "traces", wrapper);
        row.insert("trace_id".into(), target.id.into());
    }
    services.writer.add(&services.context.crew, "observations", row);
    Ok(())
}

async fn score(
    services: &Services,
    target: &Target<'_>,
    events: &[Event],
    first_written: i64,
) -> Result<(), LangfuseError> {
    let since = events.iter().map(|event| event.timestamp_ms).min();
    let known = newest(services, "scores", target, since.map(|ms| ("timestamp", ms)), None).await?;
    let records: Vec<Row> = events
        .iter()
        .map(|event| record::score(target.project, target.id, event))
        .collect::<Result<_, _>>()
        .map_err(LangfuseError::refused)?;
    let mut row = merge::records(known.clone(), records, merge::SCORE_FIXED);
    finish(&mut row, known.as_ref(), first_written);
    services.writer.add(&services.context.crew, "scores", row);
    Ok(())
}

/// The row in ClickHouse; `since` narrows it to partitions the events can be in, as Langfuse does.
async fn newest(
    services: &Services,
    table: &str,
    target: &Target<'_>,
    since: Option<(&str, i64)>,
    kind: Option<&str>,
) -> Result<Option<Row>, LangfuseError> {
    let mut sql = format!(
        "SELECT * FROM {table} WHERE project_id = {{projectId: String}} AND id = {{entityId: String}}"
    );
    let mut params = vec![("projectId", target.project.to_owned()), ("entityId", target.id.to_owned())];
    if let Some(kind) = kind {
        sql.push_str(" AND type = {type: String}");
        params.push(("type", kind.to_owned()));
    }
    if let Some((column, ms)) = since {
        let _ = write!(sql, " AND {column} >= {{since: DateTime64(3)}}"); // writing to a String cannot fail
        params.push(("since", clickhouse::parameter(ms)));
    }
    sql.push_str(" ORDER BY event_ts DESC LIMIT 1 BY id, project_id SETTINGS use_query_cache = false");
    let params: Vec<(&str, &str)> = params.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let rows = services.clickhouse.select(&sql, &params).await?;
    Ok(rows.into_iter().next().map(insertable))
}

/// The clock columns: `event_ts` is now, `created_at` stays the first one known.
fn finish(row: &mut Row, known: Option<&Row>, first_written: i64) {
    let created = known.and_then(|row| row.get("created_at")).cloned();
    row.insert("created_at".into(), created.unwrap_or_else(|| first_written.into()));
    row.insert("event_ts".into(), clock::now_ms().into());
}

async fn upsert_session(services: &Services, project: &str, session: &str) -> Result<(), LangfuseError> {
    sqlx::query(
        "INSERT INTO trace_sessions (id, project_id, created_at, updated_at) \
         VALUES ($1, $2, $3::timestamp(3), $3::timestamp(3)) ON CONFLICT (id, project_id) DO NOTHING",
    )
    .bind(session)
    .bind(project)
    .bind(js::iso(clock::now_ms()))
    .execute(&services.pool)
    .await?;
    Ok(())
}
