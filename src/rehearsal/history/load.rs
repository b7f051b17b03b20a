//! Loading the history: schema, rows, then indexes, each step on as many connections as it has tables.

use std::sync::Arc;

use futures::future::try_join_all;
use sqlx::PgConnection;
use tokio::task::{JoinError, JoinHandle};

use super::{Options, Project, copy::fill, rows::Rows, setting};
use crate::rehearsal::stores::{Endpoints, StoreError, postgres};

/// How many rows each table has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows of `traces`.
    pub traces: u64,
    /// Rows of `observations`.
    pub observations: u64,
    /// Rows of `scores`.
    pub scores: u64,
    /// Rows of `trace_sessions`.
    pub sessions: u64,
    /// Rows of `dataset_run_items`.
    pub dataset_run_items: u64,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct History {
    /// The projects with history and, last, the canary project.
    pub projects: Vec<Project>,
    /// Rows per table.
    pub counts: Counts,
}

impl History {
    /// The project of the probes.
    pub fn canary(&self) -> Option<&Project> {
        self.projects.last()
    }
}

/// Creates Langfuse v2.95's schema in an empty database and writes the history into it.
///
/// # Errors
/// [`StoreError::Postgres`] with what was tried.
pub async fn load(endpoints: &Endpoints, options: &Options) -> Result<History, StoreError> {
    let projects = Project::all(options);
    let rows = Arc::new(Rows::new(options, &projects));
    let url = endpoints.postgres_url.as_str();

    let mut main = postgres::connect(url).await.map_err(failed("connecting"))?;
    sqlx::raw_sql(postgres::TABLES).execute(&mut main).await.map_err(failed("creating Langfuse's tables"))?;
    for (_, view) in crate::data::restore::views::VIEWS {
        sqlx::raw_sql(view).execute(&mut main).await.map_err(failed("creating v2's views"))?;
    }
    setting::write(&mut main, options, &projects).await.map_err(failed("writing projects and keys"))?;
    let mut counts = Counts::default();
    if options.projects > 0 {
        counts = copy_all(url, &rows).await.map_err(failed("loading the history"))?;
    }
    build_indexes(url).await.map_err(failed("creating indexes"))?;
    if options.projects > 0 {
        let items = sqlx::query(setting::RUN_ITEMS).execute(&mut main).await;
        counts.dataset_run_items = items.map_err(failed("writing dataset run items"))?.rows_affected();
    }
    sqlx::raw_sql("SET default_statistics_target = 30; ANALYZE; RESET default_statistics_target")
        .execute(&mut main)
        .await
        .map_err(failed("ANALYZE"))?;
    Ok(History { projects, counts })
}

fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Postgres { doing, source }
}

/// One connection per large table; observations weigh as much as the rest together.
async fn copy_all(url: &str, rows: &Arc<Rows>) -> Result<Counts, sqlx::Error> {
    let traces = filled(url, rows, "TRUNCATE traces", TRACES, rows.traces, Rows::trace);
    let observations =
        filled(url, rows, "TRUNCATE observations", OBSERVATIONS, rows.traces, Rows::observations);
    let scores = filled(url, rows, "TRUNCATE scores", SCORES, rows.traces / 2, Rows::score);
    let sessions = filled(url, rows, "TRUNCATE trace_sessions", SESSIONS, rows.runs(), Rows::session);
    let (traces, observations, scores, sessions) =
        tokio::try_join!(joined(traces), joined(observations), joined(scores), joined(sessions))?;
    Ok(Counts { traces, observations, scores, sessions, dataset_run_items: 0 })
}

fn filled(
    url: &str,
    rows: &Arc<Rows>,
    truncate: &'static str,
    copy: &'static str,
    count: u64,
    row: fn(&Rows, &mut Vec<u8>, u64),
) -> JoinHandle<Result<u64, sqlx::Error>> {
    let (url, rows) = (url.to_owned(), Arc::clone(rows));
    tokio::spawn(async move {
        let mut connection: PgConnection = postgres::connect(&url).await?;
        fill(&mut connection, truncate, copy, count, |out, number| {
            row(&rows, out, number);
        })
        .await
    })
}

/// The sections of the index file side by side, one table each; the foreign keys, its last, after them.
async fn build_indexes(url: &str) -> Result<(), sqlx::Error> {
    let mut sections: Vec<&'static str> = postgres::INDEXES.split("\n\n").collect();
    let foreign_keys = sections.pop().unwrap_or_default();
    let run = |section: &'static str| {
        let url = url.to_owned();
        joined(tokio::spawn(async move {
            let mut connection = postgres::connect(&url).await?;
            sqlx::raw_sql(section).execute(&mut connection).await.map(|_| ())
        }))
    };
    try_join_all(sections.into_iter().map(run)).await?;
    run(foreign_keys).await
}

async fn joined<T>(task: JoinHandle<Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    task.await.map_err(|failure: JoinError| sqlx::Error::Protocol(failure.to_string()))?
}

const TRACES: &str = "COPY traces (id, \"timestamp\", name, user_id, metadata, release, version, project_id, public, \
    bookmarked, tags, input, output, session_id, created_at, updated_at) FROM STDIN WITH (FREEZE)";
const OBSERVATIONS: &str = "COPY observations (id, name, start_time, end_time, parent_observation_id, type, trace_id, \
    metadata, model, \"modelParameters\", input, output, level, status_message, completion_start_time, \
    completion_tokens, prompt_tokens, total_tokens, version, project_id, created_at, unit, prompt_id, input_cost, \
    output_cost, total_cost, internal_model, updated_at, calculated_input_cost, calculated_output_cost, \
    calculated_total_cost, internal_model_id) FROM STDIN WITH (FREEZE)";
const SCORES: &str = "COPY scores (id, \"timestamp\", name, value, observation_id, trace_id, comment, source, \
    project_id, author_user_id, config_id, data_type, string_value, created_at, updated_at, queue_id) \
    FROM STDIN WITH (FREEZE)";
const SESSIONS: &str = "COPY trace_sessions (id, created_at, updated_at, project_id, bookmarked, public) FROM STDIN WITH (FREEZE)";
