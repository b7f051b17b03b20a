//! Log lines of pods: a bounded ring in memory for each pod, and how a client reads it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::query::Query;
use crate::rehearsal::clock;

/// Lines kept for each pod.
const CAPACITY: usize = 2_000;

#[derive(Debug, Clone)]
struct Line {
    number: u64,
    at: jiff::Timestamp,
    text: String,
}

#[derive(Debug, Default)]
struct Ring {
    written: u64,
    lines: VecDeque<Line>,
}

type Pods = HashMap<(String, String), Ring>;

/// A cloneable handle to the logs of all pods.
#[derive(Debug, Clone)]
pub struct Logs {
    pods: Arc<Mutex<Pods>>,
    written: Arc<watch::Sender<u64>>,
}

impl Default for Logs {
    fn default() -> Self {
        Self { pods: Arc::default(), written: Arc::new(watch::channel(0).0) }
    }
}

impl Logs {
    fn lock(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one line, without its line end, to a pod's log; the oldest line goes when 2 000 are kept.
    pub fn append(&self, namespace: &str, pod: &str, text: &str) {
        let mut pods = self.lock();
        let ring = pods.entry((namespace.into(), pod.into())).or_default();
        ring.written += 1;
        ring.lines.push_back(Line { number: ring.written, at: clock::now(), text: text.into() });
        if ring.lines.len() > CAPACITY {
            ring.lines.pop_front();
        }
        drop(pods);
        self.written.send_modify(|count| *count += 1);
    }

    /// Forgets a pod's log.
    pub fn remove(&self, namespace: &str, pod: &str) {
        self.lock().remove(&(namespace.into(), pod.into()));
    }

    fn after(&self, pod: &(String, String), number: u64) -> Vec<Line> {
        let pods = self.lock();
        let lines = pods.get(pod).map(|ring| ring.lines.iter().filter(|line| line.number > number));
        lines.into_iter().flatten().cloned().collect()
    }

    /// Streams a pod's log as a query asks for: `follow`, `tailLines`, `sinceSeconds`, `sinceTime`, `timestamps`,
    /// `limitBytes`.
    pub(super) fn stream(&self, pod: (String, String), query: &Query) -> mpsc::Receiver<Bytes> {
        let (to, from) = mpsc::channel(64);
        let (logs, query) = (self.clone(), query.clone());
        tokio::spawn(async move { logs.send(&pod, &query, &to).await });
        from
    }

    async fn send(&self, pod: &(String, String), query: &Query, to: &mpsc::Sender<Bytes>) {
        let mut written = self.written.subscribe();
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
            if !query.is_on("follow") {
                return;
            }
            tokio::select! {
                () = to.closed() => return,
                changed = written.changed() => if changed.is_err() { return },
            }
            lines = self.after(pod, last);
        }
    }
}

fn since(query: &Query) -> Option<jiff::Timestamp> {
    if let Some(seconds) = query.number("sinceSeconds") {
        return clock::now().checked_sub(jiff::SignedDuration::from_secs(i64::try_from(seconds).ok()?)).ok();
    }
    query.get("sinceTime").parse().ok()
}
