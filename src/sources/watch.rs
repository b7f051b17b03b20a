//! A Kubernetes watch that is folded as it comes and keeps no objects.
//!
//! One rule: a watch that is quiet proves nothing; freshness comes from the heartbeat of its source.

use std::collections::HashSet;
use std::fmt::Debug;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use crate::clients::kube::trouble;
use crate::domain::Trouble;

type Events<K> = Pin<Box<dyn Stream<Item = Result<Event<K>, watcher::Error>> + Send>>;

/// What one event of a watch means to a fold.
#[derive(Debug)]
pub enum Change<K> {
    /// The object is there, new or changed.
    Set(K),
    /// The object of this name is gone.
    Gone(String),
    /// A list was read completely.
    Complete,
}

/// One kind's watch.
pub struct Watch<K> {
    events: Events<K>,
    /// What is watched, and where: "pods in langfuse".
    subject: String,
    listed: Option<HashSet<String>>,
    known: HashSet<String>,
    gone: Vec<String>,
    /// The whole list was read at least once.
    pub complete: bool,
    /// What goes wrong with it now.
    pub trouble: Option<Trouble>,
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Starts with a list in pages, so that 5 000 objects are never in memory at once.
    pub fn new(api: Api<K>, selector: Option<&str>) -> Self {
        let mut config = watcher::Config::default().timeout(20).page_size(100);
        if let Some(selector) = selector {
            config = config.labels(selector);
        }
        let place = api.namespace().map(|ns| format!(" in {ns}")).unwrap_or_default();
        let subject = format!("{}{place}", K::plural(&()));
        Self {
            events: Box::pin(watcher(api, config).default_backoff()),
            subject,
            listed: None,
            known: HashSet::new(),
            gone: Vec::new(),
            complete: false,
            trouble: None,
        }
    }

    /// The next change. Never ends by itself; a failure is noted in [`Self::trouble`] and tried again.
    pub async fn next(&mut self) -> Change<K> {
        loop {
            if let Some(name) = self.gone.pop() {
                return Change::Gone(name);
            }
            match self.events.next().await {
                Some(Ok(event)) => {
                    self.trouble = None;
                    if let Some(change) = self.take(event) {
                        return change;
                    }
                }
                Some(Err(error)) => {
                    self.trouble = Some(failure(&self.subject, &error));
                    // A denial is an answer too: the first round need not wait for more.
                    return Change::Complete;
                }
                None => std::future::pending().await,
            }
        }
    }

    fn take(&mut self, event: Event<K>) -> Option<Change<K>> {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                None
            }
            Event::InitApply(object) => {
                let name = object.name_any();
                self.known.insert(name.clone());
                if let Some(listed) = &mut self.listed {
                    listed.insert(name);
                }
                Some(Change::Set(object))
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.gone = self.known.difference(&listed).cloned().collect();
                    self.known = listed;
                }
                self.complete = true;
                Some(Change::Complete)
            }
            Event::Apply(object) => {
                self.known.insert(object.name_any());
                Some(Change::Set(object))
            }
            Event::Delete(object) => {
                self.known.remove(&object.name_any());
                Some(Change::Gone(object.name_any()))
            }
        }
    }
}

/// A denied list and a denied watch are two permissions: the verb that failed is named.
fn failure(subject: &str, error: &watcher::Error) -> Trouble {
    let verb = if matches!(error, watcher::Error::InitialListFailed(_)) { "list" } else { "watch" };
    let tried = &format!("{verb} {subject}");
    match error {
        watcher::Error::InitialListFailed(e)
        | watcher::Error::WatchStartFailed(e)
        | watcher::Error::WatchFailed(e) => trouble("Kubernetes", tried, e),
        watcher::Error::WatchError(status) => crate::clients::kube::from_status(
            "Kubernetes",
            tried,
            status.code,
            &status.reason,
            &status.message,
            None,
        ),
        watcher::Error::NoResourceVersion => Trouble::new(
            crate::domain::Kind::Unexpected,
            "Kubernetes",
            format!("{tried}: a list without resourceVersion"),
        ),
    }
}
