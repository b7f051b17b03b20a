//! One address of Langfuse as a client sees it: health, the time a write takes, and when it can be read.
//!
//! One rule: a canary goes to the project of its own key, and each is waited for until it is visible or given up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Source;
use super::clock::wall;
use super::shared::{Link, Shared, absent};
use crate::clients::http::{self, Http};
use crate::clients::target::{LangfuseTarget, ProbeKey};
use crate::domain::latency::{CANARY, Endpoint, Probe, ProbeError};
use crate::domain::text::clean;
use crate::domain::{Fact, SourceId, Trouble};

/// v3 shows a write after 6 s normally and after 16 s around midnight UTC (langfuse.md 4.3); far above that it
/// is lost to the client.
const GIVEN_UP: Duration = Duration::from_secs(90);
/// Canaries that are waited for at once.
const PENDING: usize = 4;
/// Between two looks for a canary.
const LOOK: Duration = Duration::from_millis(500);
/// Time one round may spend on looking.
const BUDGET: Duration = Duration::from_millis(4200);
/// Largest answer that is read.
const LIMIT: usize = 256 * 1024;

/// The source.
pub struct Prober {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    link: Link<Http>,
    pending: VecDeque<Canary>,
    rounds: u64,
}

/// A write that is not visible yet.
#[derive(Debug, Clone)]
struct Canary {
    id: String,
    since: Instant,
}

impl Prober {
    /// With what the sources share, for one address.
    pub fn new(shared: Arc<Shared>, endpoint: Endpoint) -> Self {
        Self { shared, endpoint, link: Link::default(), pending: VecDeque::new(), rounds: 0 }
    }

    fn target(shared: &Shared, endpoint: Endpoint) -> Result<&LangfuseTarget, Trouble> {
        let (target, section) = match endpoint {
            Endpoint::V2 => (&shared.targets.v2, "v2"),
            Endpoint::V3 => (&shared.targets.v3, "v3"),
            Endpoint::Public => (&shared.targets.public, "public"),
        };
        target.as_ref().ok_or_else(|| absent(&format!("Langfuse {}", endpoint.word()), section))
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = Self::target(&shared, self.endpoint)?;
        let http =
            self.link.get(Box::pin(http::langfuse(&shared.reach, target, self.endpoint.word()))).await?;
        let begun = Instant::now();
        let (health, version) = health(&http).await;
        let mut probe = Probe { endpoint: self.endpoint, version, health, accept: None, visible: None };
        // An address that did not answer the health check in its time would hold up the rest of the round too,
        // and the round would be told late or not at all.
        let silent = matches!(probe.health, Err(ProbeError::Transport(_)));
        if let Some(key) = target.probe_key.as_ref().filter(|_| !silent) {
            self.canary(&http, key, &mut probe, begun).await?;
        }
        Ok(Fact::Probe(probe))
    }

    /// Every second round a write; in every round a look for the oldest that is not visible.
    async fn canary(
        &mut self,
        http: &Http,
        key: &ProbeKey,
        probe: &mut Probe,
        begun: Instant,
    ) -> Result<(), Trouble> {
        if self.rounds.is_multiple_of(2) && self.pending.len() < PENDING {
            let canary = Canary { id: format!("{CANARY}{}", uuid::Uuid::new_v4()), since: Instant::now() };
            let accepted = write(http, key, &canary.id).await?;
            // At the public address the next request may go to the other version: what it shows proves nothing.
            if accepted.is_ok() && self.endpoint != Endpoint::Public {
                self.pending.push_back(canary);
            }
            probe.accept = Some(accepted);
        }
        self.rounds += 1;
        while let Some(canary) = self.pending.front().cloned() {
            if is_visible(http, key, &canary.id).await {
                self.pending.pop_front();
                probe.visible = Some(Ok(canary.since.elapsed()));
                break;
            }
            if canary.since.elapsed() > GIVEN_UP {
                self.pending.pop_front();
                probe.visible = Some(Err(ProbeError::NotVisible));
                break;
            }
            if begun.elapsed() + LOOK > BUDGET {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

impl Source for Prober {
    fn id(&self) -> SourceId {
        SourceId::Probe(self.endpoint)
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// `GET /api/public/health` until the last byte, and the version it tells.
pub async fn health(http: &Http) -> (Result<Duration, ProbeError>, Option<String>) {
    let begun = Instant::now();
    let Ok(request) = http.request(Method::GET, "api/public/health") else {
        return (Err(ProbeError::Unexpected("the URL".into())), None);
    };
    let (status, body) = match exchange(http, request).await {
        Ok(answer) => answer,
        Err(error) => return (Err(error), None),
    };
    let version = version(&body);
    if !status.is_success() {
        return (Err(ProbeError::Status(status.as_u16())), version);
    }
    if version.is_none() {
        return (Err(ProbeError::Unexpected(clean(&body.chars().take(80).collect::<String>()))), None);
    }
    (Ok(begun.elapsed()), version)
}

/// `version` of a health answer, without a leading v.
fn version(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    let text = value.get("version")?.as_str()?;
    Some(clean(text.strip_prefix('v').unwrap_or(text)))
}

async fn exchange(http: &Http, request: reqwest::RequestBuilder) -> Result<(StatusCode, String), ProbeError> {
    let failed = |trouble: Trouble| ProbeError::Transport(trouble.kind);
    let response = request.send().await.map_err(|e| failed(http.trouble(&e)))?;
    let status = response.status();
    let body = http::text(&http.object, response, LIMIT).await.map_err(failed)?;
    Ok((status, body))
}

/// Writes a canary trace (langfuse.md 5.2): 207 with a success for our event.
async fn write(http: &Http, key: &ProbeKey, id: &str) -> Result<Result<Duration, ProbeError>, Trouble> {
    let now = wall().to_string();
    let event = json!({"batch": [{
        "id": uuid::Uuid::new_v4().to_string(), "type": "trace-create", "timestamp": now,
        "body": {"id": id, "timestamp": now, "name": "cutover-canary", "tags": ["cutover-canary"]},
    }], "metadata": {"sdk_name": "cutover"}});
    let request = http
        .request(Method::POST, "api/public/ingestion")?
        .basic_auth(&key.public, Some(key.secret.expose()))
        .json(&event);
    let begun = Instant::now();
    let (status, body) = match exchange(http, request).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let took = begun.elapsed();
    if !status.is_success() {
        return Ok(Err(ProbeError::Status(status.as_u16())));
    }
    let answer: Value = serde_json::from_str(&body).unwrap_or_default();
    if answer["successes"].as_array().is_some_and(|s| !s.is_empty()) {
        return Ok(Ok(took));
    }
    let refused = answer["errors"][0]["status"].as_u64().and_then(|code| u16::try_from(code).ok());
    Ok(Err(
        refused.map_or_else(|| ProbeError::Unexpected("no success in the answer".into()), ProbeError::Status)
    ))
}

async fn is_visible(http: &Http, key: &ProbeKey, id: &str) -> bool {
    let Ok(request) = http.request(Method::GET, &format!("api/public/traces/{id}")) else {
        return false;
    };
    let request = request.basic_auth(&key.public, Some(key.secret.expose()));
    exchange(http, request).await.is_ok_and(|(status, _)| status.is_success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_health_answers() {
        assert_eq!(version(r#"{"status":"OK","version":"3.29.0"}"#).as_deref(), Some("3.29.0"));
        assert_eq!(version(r#"{"version":"v2.95.12"}"#).as_deref(), Some("2.95.12"));
        assert_eq!(version("<html>"), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_answers_the_version_is_one_clean_line(body in ".{0,60}", said in ".{0,3000}") {
            let _ = version(&body);
            let told = version(&serde_json::json!({"version": said}).to_string()).unwrap();
            assert!(!told.chars().any(char::is_control) && told.chars().count() <= crate::domain::text::LONGEST + 1);
        }
    }
}
