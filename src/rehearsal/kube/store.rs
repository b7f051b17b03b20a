//! The objects: one map for each kind, one revision for all, and a bounded history of changes.
//!
//! **Rule.** Every change goes through [`Store::change`], under one lock, and gets the next revision.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::objects::set_meta;
use super::resources::{KINDS, Kind};
use super::status::Status;

/// Namespace and name; the namespace is empty for objects of the cluster.
pub(super) type Key = (String, String);

/// What happened to an object.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub revision: u64,
    pub kind: usize,
    pub key: Key,
    /// The object before, none when it was created.
    pub before: Option<Arc<Value>>,
    /// The object after; for a deletion, the last state under the deletion's revision.
    pub object: Arc<Value>,
    pub deleted: bool,
}

/// What a change does with the object it was shown.
pub(super) enum Next {
    /// Store this.
    Put(Value),
    /// Remove it.
    Delete,
    /// Nothing to do: the object stays at its revision.
    Keep,
}

struct Inner {
    revision: u64,
    /// Revisions up to and including this one are no longer in the history.
    compacted: u64,
    tables: Vec<BTreeMap<Key, Arc<Value>>>,
    history: VecDeque<Event>,
    capacity: usize,
}

/// A cloneable handle to the objects of one server.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<watch::Sender<u64>>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("revision", &self.revision()).finish_non_exhaustive()
    }
}

/// The index of a kind's table.
pub(super) fn table_of(kind: &'static Kind) -> usize {
    let stored = kind.stored();
    KINDS.iter().position(|row| std::ptr::eq(row, stored)).unwrap_or_default()
}

impl Store {
    /// An empty store that remembers the last `capacity` changes for watches.
    pub(super) fn new(capacity: usize) -> Self {
        let tables = KINDS.iter().map(|_| BTreeMap::new()).collect();
        let inner =
            Inner { revision: 1, compacted: 0, tables, history: VecDeque::new(), capacity: capacity.max(1) };
        Self { inner: Arc::new(Mutex::new(inner)), changed: Arc::new(watch::channel(1).0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The revision of the latest change.
    pub fn revision(&self) -> u64 {
        self.lock().revision
    }

    /// Wakes with every change; the value is the revision.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Forgets the history up to and including a revision: older watches and list continuations expire (410).
    pub fn compact(&self, revision: u64) {
        let mut inner = self.lock();
        inner.compacted = inner.compacted.max(revision.min(inner.revision));
        let compacted = inner.compacted;
        inner.history.retain(|event| event.revision > compacted);
    }

    /// One object as stored.
    pub(super) fn stored(&self, kind: &'static Kind, key: &Key) -> Option<Arc<Value>> {
        self.lock().tables[table_of(kind)].get(key).cloned()
    }

    /// All objects of a kind, in a namespace or in all, with the revision they were read at.
    pub(super) fn snapshot(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
    ) -> (Vec<(Key, Arc<Value>)>, u64) {
        let inner = self.lock();
        let table = &inner.tables[table_of(kind)];
        let found = table.iter().filter(|(key, _)| namespace.is_none_or(|ns| key.0 == ns));
        (found.map(|(key, object)| (key.clone(), Arc::clone(object))).collect(), inner.revision)
    }

    /// As [`Self::snapshot`], at an earlier revision; none when the history does not reach back to it.
    pub(super) fn snapshot_at(
        &self,
        kind: &'static Kind,
        namespace: Option<&str>,
        revision: u64,
    ) -> Option<Vec<(Key, Arc<Value>)>> {
        let inner = self.lock();
        if revision < inner.compacted || revision > inner.revision {
            return None;
        }
        let index = table_of(kind);
        let mut table = inner.tables[index].clone();
        for event in inner.history.iter().rev().take_while(|event| event.revision > revision) {
            if event.kind == index {
                match &event.before {
                    Some(before) => table.insert(event.key.clone(), Arc::clone(before)),
                    None => table.remove(&event.key),
                };
            }
        }
        Some(table.into_iter().filter(|(key, _)| namespace.is_none_or(|ns| key.0 == ns)).collect())
    }

    /// The changes of a kind after a revision, and the latest revision.
    ///
    /// # Errors
    /// The earliest revision there are changes after, when those asked for are no longer remembered.
    pub(super) fn since(&self, kind: &'static Kind, revision: u64) -> Result<(Vec<Event>, u64), u64> {
        let inner = self.lock();
        if revision < inner.compacted {
            return Err(inner.compacted);
        }
        let index = table_of(kind);
        let start = inner.history.partition_point(|event| event.revision <= revision);
        let events = inner.history.range(start..).filter(|event| event.kind == index).cloned().collect();
        Ok((events, inner.revision))
    }

    /// Shows `decide` the object and does what it says; answers with the object as it then is.
    ///
    /// # Errors
    /// What `decide` refuses with.
    pub(super) fn change(
        &self,
        kind: &'static Kind,
        key: &Key,
        decide: impl FnOnce(Option<&Arc<Value>>) -> Result<Next, Status>,
    ) -> Result<Option<Arc<Value>>, Status> {
        let mut inner = self.lock();
        let index = table_of(kind);
        let before = inner.tables[index].get(key).cloned();
        let next = decide(before.as_ref())?;
        let revision = inner.revision + 1;
        let with_revision = |mut object: Value| {
            set_meta(&mut object, "resourceVersion", Some(json!(revision.to_string())));
            Arc::new(object)
        };
        let (object, deleted) = match (next, before.as_ref()) {
            (Next::Keep, _) => return Ok(before),
            (Next::Delete, None) => return Ok(None),
            (Next::Delete, Some(before)) => {
                inner.tables[index].remove(key);
                (with_revision((**before).clone()), true)
            }
            (Next::Put(object), _) => {
                let object = with_revision(object);
                inner.tables[index].insert(key.clone(), Arc::clone(&object));
                (object, false)
            }
        };
        let event =
            Event { revision, kind: index, key: key.clone(), before, object: Arc::clone(&object), deleted };
        inner.remember(event);
        // Still under the lock, so that nobody is told of a revision after a later one.
        self.changed.send_replace(revision);
        Ok(Some(object))
    }
}

impl Inner {
    fn remember(&mut self, event: Event) {
        self.revision = event.revision;
        self.history.push_back(event);
        while self.history.len() > self.capacity {
            self.compacted = self.history.pop_front().map_or(self.compacted, |event| event.revision);
        }
    }
}
