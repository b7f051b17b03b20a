//! The blob store as a store.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::setting;
use crate::clients::s3::{self, S3};
use crate::domain::store::{Setting, StoreFact, StoreKind};
use crate::domain::text::clean;
use crate::domain::{Fact, SourceId, Trouble};
use crate::sources::Source;
use crate::sources::shared::{Link, Shared, absent};

/// A write is tried once in so many readings.
const WRITE_EACH: u64 = 6;

/// The source.
#[derive(Debug)]
pub struct S3Store {
    shared: Arc<Shared>,
    link: Link<S3>,
    readings: u64,
    written: Option<Setting>,
}

impl S3Store {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, link: Link::default(), readings: 0, written: None }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let target = shared.targets.s3.as_ref().ok_or_else(|| absent("S3", "s3"))?;
        let s3 = self.link.get(Box::pin(s3::connect(&shared.reach, target))).await?;
        let begun = Instant::now();
        let head = self.link.judge(s3.head().await);
        let latency = begun.elapsed();
        if let Err(trouble) = head {
            return Err(shared.reach.explain(&target.endpoint, trouble).await);
        }
        if target.probe_writes && self.readings.is_multiple_of(WRITE_EACH) {
            self.written = Some(round_trip(&s3).await);
        }
        self.readings += 1;
        Ok(Fact::Store(StoreFact {
            kind: StoreKind::S3,
            version: String::new(),
            role: clean(&target.bucket),
            latency,
            used: None,
            limit: None,
            settings: self.written.iter().cloned().collect(),
        }))
    }
}

impl Source for S3Store {
    fn id(&self) -> SourceId {
        SourceId::Store(StoreKind::S3)
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

/// PUT, LIST, GET and DELETE of a small object: a bucket that answers HEAD may still refuse all of these.
async fn round_trip(s3: &S3) -> Setting {
    let name = "put/list/get/delete";
    match s3.round_trip(&uuid::Uuid::new_v4().to_string()).await {
        Ok(()) => setting(name, "works", true, ""),
        Err(trouble) => setting(name, "fails", false, &format!("{} {}", trouble.detail, trouble.remedy)),
    }
}
