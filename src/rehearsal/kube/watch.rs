//! Watches: what is there, then every change, as lines of JSON until the client or the time-out ends it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::faults::Faults;
use super::list::revision;
use super::objects::meta;
use super::query::{Query, Shape};
use super::resources::Kind;
use super::selectors::Selector;
use super::status::Status;
use super::store::{Event, Store};
use super::table::{self, Include};
use super::view;

/// How long a watch lasts when the client names no `timeoutSeconds`.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(30);

/// The longest `timeoutSeconds` that is reckoned with: a year.
const LONGEST_TIMEOUT: u64 = 365 * 24 * 60 * 60;

/// How long before its end a watch that asked for bookmarks gets one (`nextBookmarkTime` of `cache_watcher.go`).
const LAST_BOOKMARK: Duration = Duration::from_secs(2);

/// Everything one watch is made with.
pub(super) struct Watch {
    pub store: Store,
    pub faults: Faults,
    pub kind: &'static Kind,
    pub namespace: String,
    pub shape: Shape,
    pub include: Include,
    pub bookmark_every: Duration,
    selector: Selector,
    timeout: Duration,
    bookmarks: bool,
    from: From,
    rows_begun: bool,
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum From {
    /// With the objects there are; then, if asked for, a mark that these were all.
    Now { mark: bool },
    /// After a revision.
    Revision(u64),
}

/// The client went away, or the watch was closed.
struct Ended;

impl Watch {
    /// Reads what a query asks for.
    ///
    /// # Errors
    /// 400 for a selector and 500 for a version that cannot be read, as a real server answers.
    pub(super) fn of(
        (store, faults): (Store, Faults),
        kind: &'static Kind,
        namespace: &str,
        query: &Query,
        shape: Shape,
        bookmark_every: Duration,
    ) -> Result<Self, Status> {
        let initial = query.is_on("sendInitialEvents");
        let unwanted = !initial && !query.get("sendInitialEvents").is_empty();
        let from = match query.get("resourceVersion") {
            "" | "0" if unwanted => From::Revision(store.revision()),
            "" | "0" => From::Now { mark: initial },
            version => match revision(version).map_err(Status::internal)? {
                _ if initial => From::Now { mark: true },
                revision => From::Revision(revision),
            },
        };
        Ok(Self {
            store,
            faults,
            kind,
            namespace: namespace.into(),
            shape,
            include: Include::of(query),
            bookmark_every,
            selector: Selector::of(query, kind)?,
            timeout: query
                .number("timeoutSeconds")
                .filter(|s| *s > 0)
                .map_or(DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.min(LONGEST_TIMEOUT))),
            bookmarks: query.is_on("allowWatchBookmarks"),
            from,
            rows_begun: false,
        })
    }

    /// Starts it; the receiver yields one line for each event.
    pub(super) fn start(mut self) -> mpsc::Receiver<Bytes> {
        let (to, lines) = mpsc::channel(256);
        // Not only once the task runs: a watch that was answered is open, and is closed with the others.
        let mut closes = self.faults.watch_closes();
        tokio::spawn(async move {
            let timeout = self.timeout;
            // A watch that was closed tells nothing of what happened after that.
            tokio::select! {
                biased;
                _ = closes.changed() => {}
                () = to.closed() => {}
                () = tokio::time::sleep(timeout) => {}
                _ = self.run(&to) => {}
            }
        });
        lines
    }

    async fn run(&mut self, to: &mpsc::Sender<Bytes>) -> Result<(), Ended> {
        let begun = tokio::time::Instant::now();
        let mut changed = self.store.changes();
        let mut seen = match self.from {
            From::Revision(revision) => revision,
            From::Now { mark } => self.send_present(to, mark).await?,
        };
        let mut bookmark = self.next_bookmark(begun);
        loop {
            changed.mark_unchanged();
            self.faults.thawed().await;
            let (events, latest) = match self.store.since(self.kind, seen) {
                Ok(news) => news,
                Err(oldest) => {
                    let message = format!("too old resource version: {seen} ({oldest})");
                    return self.send(to, "ERROR", &Status::expired(message).to_value()).await;
                }
            };
            for event in events {
                self.send_event(to, &event).await?;
            }
            seen = seen.max(latest);
            tokio::select! {
                change = changed.changed() => change.map_err(|_| Ended)?,
                () = tokio::time::sleep_until(bookmark) => {
                    self.send_bookmark(to, seen, false).await?;
                    bookmark = self.next_bookmark(begun);
                }
            }
        }
    }

    /// Regularly, and shortly before the end, so that the client can go on from there.
    fn next_bookmark(&self, begun: tokio::time::Instant) -> tokio::time::Instant {
        let now = tokio::time::Instant::now();
        let (regular, last) = (now + self.bookmark_every, begun + self.timeout.saturating_sub(LAST_BOOKMARK));
        if last > now { regular.min(last) } else { regular }
    }

    async fn send_present(&mut self, to: &mpsc::Sender<Bytes>, mark: bool) -> Result<u64, Ended> {
        let namespace = (!self.namespace.is_empty()).then_some(self.namespace.as_str());
        let (objects, revision) = self.store.snapshot(self.kind, namespace);
        for (_, object) in objects {
            let object = view::show(self.kind, &object);
            if self.selector.matches(&object) {
                self.send_object(to, "ADDED", &object).await?;
            }
        }
        if mark {
            self.send_bookmark(to, revision, true).await?;
        }
        Ok(revision)
    }

    /// An object that comes to match is added, one that ceases to match is deleted.
    async fn send_event(&mut self, to: &mpsc::Sender<Bytes>, event: &Event) -> Result<(), Ended> {
        if !self.namespace.is_empty() && event.key.0 != self.namespace {
            return Ok(());
        }
        let object = view::show(self.kind, &event.object);
        let before = event.before.as_ref().map(|before| view::show(self.kind, before));
        let was_shown = before.as_ref().is_some_and(|before| self.selector.matches(before));
        let is_shown = !event.deleted && self.selector.matches(&object);
        match (was_shown, is_shown) {
            (false, false) => Ok(()),
            (false, true) => self.send_object(to, "ADDED", &object).await,
            (true, true) => self.send_object(to, "MODIFIED", &object).await,
            (true, false) if event.deleted => self.send_object(to, "DELETED", &object).await,
            (true, false) => {
                let mut last = before.as_deref().cloned().unwrap_or_default();
                super::objects::set_meta(
                    &mut last,
                    "resourceVersion",
                    Some(json!(meta(&object, "resourceVersion"))),
                );
                self.send_object(to, "DELETED", &Arc::new(last)).await
            }
        }
    }

    async fn send_object(
        &mut self,
        to: &mpsc::Sender<Bytes>,
        what: &str,
        object: &Arc<Value>,
    ) -> Result<(), Ended> {
        match self.shape {
            Shape::Full => self.send(to, what, object).await,
            Shape::Metadata => self.send(to, what, &table::metadata_of(object)).await,
            Shape::Table => {
                let version = meta(object, "resourceVersion");
                let metadata = json!({"resourceVersion": version});
                let objects = [Arc::clone(object)];
                let rows = table::render(self.kind, &objects, &metadata, self.include, !self.rows_begun);
                self.rows_begun = true;
                self.send(to, what, &rows).await
            }
        }
    }

    async fn send_bookmark(
        &mut self,
        to: &mpsc::Sender<Bytes>,
        revision: u64,
        initial_end: bool,
    ) -> Result<(), Ended> {
        if !self.bookmarks {
            return Ok(());
        }
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = match self.shape {
            Shape::Metadata => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            _ => (self.kind.kind, self.kind.api_version()),
        };
        let object = json!({"kind": kind, "apiVersion": version, "metadata": metadata});
        self.send(to, "BOOKMARK", &object).await
    }

    async fn send(&self, to: &mpsc::Sender<Bytes>, what: &str, object: &Value) -> Result<(), Ended> {
        self.faults.thawed().await;
        let line = format!("{{\"type\":\"{what}\",\"object\":{object}}}\n");
        to.send(line.into()).await.map_err(|_| Ended)
    }
}
