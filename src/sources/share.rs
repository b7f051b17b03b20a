//! Which version answers at the public address: a few requests without cookies per round.
//!
//! One rule: only an answer that names its version is counted for a side.

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};

use super::Source;
use super::probe::health;
use super::shared::{Link, Shared, absent};
use crate::clients::http::{self, Http};
use crate::domain::latency::ShareFact;
use crate::domain::{Fact, SourceId, Trouble};

/// Requests in a round.
pub const REQUESTS: usize = 10;

/// The source.
pub struct Share {
    shared: Arc<Shared>,
    link: Link<Http>,
}

impl Share {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.public.as_ref().ok_or_else(|| absent("Langfuse public", "public"))?;
        let http = self.link.get(Box::pin(http::langfuse(&shared.reach, target, "public"))).await?;
        let answers = join_all((0..REQUESTS).map(|_| health(&http))).await;
        Ok(Fact::Share(count(answers.into_iter().map(|(_, version)| version))))
    }
}

/// Answers by the major number of the version.
fn count(versions: impl Iterator<Item = Option<String>>) -> ShareFact {
    let mut fact = ShareFact::default();
    for version in versions {
        match version.as_deref().and_then(|v| v.split('.').next()) {
            Some("2") => fact.v2 += 1,
            Some("3") => fact.v3 += 1,
            _ => fact.unknown += 1,
        }
    }
    fact
}

impl Source for Share {
    fn id(&self) -> SourceId {
        SourceId::Share
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_named_versions_count() {
        let versions = [Some("2.95.12"), Some("3.29.0"), Some("4.0.0"), None].map(|v| v.map(String::from));
        assert_eq!(count(versions.into_iter()), ShareFact { v2: 1, v3: 1, unknown: 2 });
    }
}
