//! A local copy of all objects of one kind, kept by a watch: what client-go calls an informer.

use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::watcher::{self, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Watches `api` until `cancel`, telling `changed` of every change; a broken watch is opened again with back-off.
pub fn observe<K>(
    api: Api<K>,
    changed: &Arc<Notify>,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Store<K>
where
    K: kube::Resource<DynamicType = ()>
        + Lookup<DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (store, writer) = reflector::store();
    let (changed, cancel) = (Arc::clone(changed), cancel.clone());
    tasks.spawn(async move {
        let events =
            watcher(api, watcher::Config::default()).default_backoff().reflect(writer).touched_objects();
        let mut events = std::pin::pin!(events.take_until(cancel.cancelled()));
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => tracing::debug!("watch: {error}"),
            }
        }
    });
    store
}
