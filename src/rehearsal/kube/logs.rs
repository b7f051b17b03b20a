//! Log lines of pods: a bounded ring in memory for each pod, and how a client reads it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use tokio::sync::{mpsc, watch};

use super::handle::{App, Body, stream};
use super::objects::{items, meta};
use super::query::Query;
use super::resources::Kind;
use super::routes::Objects;
use super::status::Status;
use super::store::{Key, Store};
use crate::rehearsal::clock;

/// Lines kept for each pod.
const CAPACITY: usize = 2_000;

/// Pods whose lines are kept; with one more, those of the pod that has been silent longest go.
const PODS: usize = 100;

#[derive(Debug, Clone)]
struct Line {
    number: u64,
    at: jiff::Timestamp,
    text: String,
}

#[derive(Debug, Default)]
struct Rings {
    /// The number of the last line of all.
    written: u64,
    of: HashMap<Key, VecDeque<Line>>,
}

/// A cloneable handle to the logs of all pods.
#[derive(Debug, Clone)]
pub struct Logs {
    rings: Arc<Mutex<Rings>>,
    written: Arc<watch::Sender<u64>>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { rings: Arc::default(), written: Arc::new(watch::channel(0).0) }
    }
}

impl Logs {
    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one line, without its line end, to a pod's log; the oldest line goes when 2 000 are kept.
    pub fn append(&self, namespace: &str, pod: &str, text: &str) {
        self.lock().append((namespace.into(), pod.into()), text);
        self.written.send_modify(|count| *count += 1);
    }

    fn after(&self, pod: &Key, number: u64) -> Vec<Line> {
        let rings = self.lock();
        let lines = rings.of.get(pod).map(|ring| ring.iter().filter(|line| line.number > number));
        lines.into_iter().flatten().cloned().collect()
    }

    /// Streams a pod's log as a query asks for: `follow` until it is `gone`, `tailLines`, `sinceSeconds`, `sinceTime`,
    /// `timestamps`, `limitBytes`.
    fn stream(
        &self,
        pod: Key,
        query: &Query,
        gone: impl Future<Output = ()> + Send + 'static,
    ) -> mpsc::Receiver<Bytes> {
        let (to, from) = mpsc::channel(64);
        let (logs, query) = (self.clone(), query.clone());
        tokio::spawn(async move { logs.send(&pod, &query, gone, &to).await });
        from
    }

    async fn send(&self, pod: &Key, query: &Query, gone: impl Future<Output = ()>, to: &mpsc::Sender<Bytes>) {
        let mut gone = std::pin::pin!(gone);
        let (mut written, mut ends) = (self.written.subscribe(), !query.is_on("follow"));
        let since = since(query);
        let mut left = query.number("limitBytes").unwrap_or(u64::MAX);
        let mut lines = self.after(pod, 0);
        let mut last = lines.last().map_or(0, |line| line.number);
        lines.retain(|line| since.is_none_or(|since| line.at >= since));
        if let Some(tail) = query.number("tailLines") {
            let skip = lines.len().saturating_sub(tail as usize);
            lines.drain(..skip);
        }
        loop {
            for line in lines {
                last = last.max(line.number);
                let stamp = if query.is_on("timestamps") { format!("{} ", line.at) } else { String::new() };
                let mut bytes = format!("{stamp}{}\n", line.text).into_bytes();
                bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                left -= bytes.len() as u64;
                if to.send(bytes.into()).await.is_err() || left == 0 {
                    return;
                }
            }
            if ends {
                return;
            }
            tokio::select! {
                () = to.closed() => return,
                changed = written.changed() => if changed.is_err() { return },
                // What it said before it went is still sent.
                () = &mut gone => ends = true,
            }
            lines = self.after(pod, last);
        }
    }
}

impl Rings {
    fn append(&mut self, pod: Key, text: &str) {
        self.written += 1;
        let ring = self.of.entry(pod).or_default();
        ring.push_back(Line { number: self.written, at: clock::now(), text: text.into() });
        if ring.len() > CAPACITY {
            ring.pop_front();
        }
        if self.of.len() > PODS {
            let last = |ring: &VecDeque<Line>| ring.back().map(|line| line.number);
            let silent = self.of.iter().min_by_key(|(_, ring)| last(ring)).map(|(pod, _)| pod.clone());
            if let Some(pod) = silent {
                self.of.remove(&pod);
            }
        }
    }
}

/// Answers a request for the log of a pod.
///
/// # Errors
/// 404 for the pod; 400 for a container it does not have, and for the log of one before.
pub(super) fn answer(app: &App, path: &Objects, query: &Query) -> Result<Response<Body>, Status> {
    let key = (path.namespace.clone(), path.name.clone());
    let pod = app.store.stored(path.kind, &key).ok_or_else(|| Status::not_found(path.kind, &path.name))?;
    let containers = items(&pod, &["spec", "containers"]);
    let wanted = query.get("container");
    if !wanted.is_empty() && containers.iter().all(|container| container["name"] != wanted) {
        return Err(Status::bad_request(format!("container {wanted} is not valid for pod {}", path.name)));
    }
    if query.is_on("previous") {
        let container = containers.first().map_or("", |c| c["name"].as_str().unwrap_or_default());
        let name = &path.name;
        let message = format!("previous terminated container \"{container}\" in pod \"{name}\" not found");
        return Err(Status::bad_request(message));
    }
    let gone = deleted(app.store.clone(), path.kind, key.clone(), meta(&pod, "uid").to_owned());
    Ok(stream("text/plain", app.logs.stream(key, query, gone)))
}

/// Waits until an object is no longer there.
async fn deleted(store: Store, kind: &'static Kind, key: Key, uid: String) {
    let mut changes = store.changes();
    while store.stored(kind, &key).is_some_and(|object| meta(&object, "uid") == uid) {
        if changes.changed().await.is_err() {
            return;
        }
    }
}

fn since(query: &Query) -> Option<jiff::Timestamp> {
    if let Some(seconds) = query.number("sinceSeconds") {
        return clock::now().checked_sub(jiff::SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok();
    }
    query.get("sinceTime").parse().ok()
}
