//! ClickHouse over its HTTP interface, with the requests `@clickhouse/client` sends: `JSONEachRow` both ways,
//! query parameters bound by the server, asynchronous inserts that are waited for.

use std::time::Duration;

use serde_json::{Map, Value};

use super::super::LangfuseError;
use super::super::js;
use super::super::settings::ClickHouseSettings;

/// The client's default request timeout.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A row as JSON, keyed by column.
pub(crate) type Row = Map<String, Value>;

/// One ClickHouse server.
#[derive(Clone)]
pub(crate) struct ClickHouse {
    http: reqwest::Client,
    settings: ClickHouseSettings,
}

impl ClickHouse {
    /// # Errors
    /// In the client's own words when the URL is not `http` or `https`.
    pub(crate) fn open(settings: &ClickHouseSettings) -> Result<Self, LangfuseError> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .pool_max_idle_per_host(4)
            .no_proxy()
            .build()
            .map_err(|source| LangfuseError::Unreachable {
                store: "ClickHouse",
                url: settings.url.clone(),
                source,
            })?;
        Ok(Self { http, settings: settings.clone() })
    }

    pub(crate) fn clustered(&self) -> bool {
        self.settings.clustered
    }

    /// Runs a statement that returns nothing; its `{name: Type}` parameters are bound by the server.
    pub(crate) async fn execute(&self, sql: &str, params: &[(&str, &str)]) -> Result<(), LangfuseError> {
        self.post(&bound(params), sql.to_owned()).await.map(drop)
    }

    /// Runs a query whose `{name: Type}` parameters are bound by the server.
    pub(crate) async fn select(&self, sql: &str, params: &[(&str, &str)]) -> Result<Vec<Row>, LangfuseError> {
        let answer = self.post(&bound(params), format!("{sql}\nFORMAT JSONEachRow")).await?;
        answer
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|source| LangfuseError::Json { what: "ClickHouse's answer".into(), source })
            })
            .collect()
    }

    /// Inserts rows with `async_insert=1, wait_for_async_insert=1`: returns when they are stored.
    pub(crate) async fn insert(&self, table: &str, rows: &[Row]) -> Result<(), LangfuseError> {
        let mut body = String::new();
        for row in rows {
            body.push_str(&js::stringify(&Value::Object(row.clone())));
            body.push('\n');
        }
        let settings = [
            ("query".to_owned(), format!("INSERT INTO {table} FORMAT JSONEachRow")),
            ("async_insert".to_owned(), "1".to_owned()),
            ("wait_for_async_insert".to_owned(), "1".to_owned()),
        ];
        self.post(&settings, body).await.map(drop)
    }

    async fn post(&self, query: &[(String, String)], body: String) -> Result<String, LangfuseError> {
        let url = &self.settings.url;
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let scheme = url.split("//").next().unwrap_or_default();
            return Err(LangfuseError::ClickHouse(format!(
                "ClickHouse URL protocol must be either http or https. Got: {scheme}"
            )));
        }
        let unreachable =
            |source| LangfuseError::Unreachable { store: "ClickHouse", url: url.clone(), source };
        let response = self
            .http
            .post(url)
            .query(&[
                ("database", self.settings.database.as_str()),
                ("date_time_input_format", "best_effort"),
            ])
            .query(query)
            .header("X-ClickHouse-User", &self.settings.user)
            .header("X-ClickHouse-Key", self.settings.password.expose())
            .body(body)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        // An exception after the first bytes arrives with status 200 and its text at the end of the body.
        if status.is_success() && !text.starts_with("Code: ") {
            Ok(text)
        } else {
            Err(LangfuseError::ClickHouse(text.trim().chars().take(600).collect()))
        }
    }
}

fn bound(params: &[(&str, &str)]) -> Vec<(String, String)> {
    params.iter().map(|(key, value)| (format!("param_{key}"), escape_parameter(value))).collect()
}

/// Parameters are read as tab separated values: backslash, tab and line end are escaped.
fn escape_parameter(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\'', "\\'")
}

/// `DateTime64(3)` text of a `JSONEachRow` answer (`2025-01-31 10:00:00.000`, UTC) as epoch milliseconds.
pub(crate) fn millis(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => js::millis(&text.replace(' ', "T")),
        other => other.as_i64(),
    }
}

/// Epoch milliseconds as the text a `{name: DateTime64(3)}` parameter takes.
pub(crate) fn parameter(ms: i64) -> String {
    js::iso(ms).replace('T', " ").trim_end_matches('Z').to_owned()
}
