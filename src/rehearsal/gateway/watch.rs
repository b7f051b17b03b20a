//! The controller's informers: watch, rebuild, push, and write back what ingress-nginx writes.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt as _, reflector::Lookup};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::Objects;

/// Time between a change and the push to nginx; 10 to 40 ms were observed on the real controller.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Local copies of everything the routing is built from.
pub(super) struct Informers {
    classes: Store<IngressClass>,
    ingresses: Store<Ingress>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
    changed: Arc<Notify>,
}

impl Informers {
    /// Starts watching `namespace`; the watches end with `cancel`.
    pub(super) fn start(
        client: &Client,
        namespace: &str,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Self {
        let changed = Arc::new(Notify::new());
        Self {
            classes: observe(Api::all(client.clone()), &changed, tasks, cancel),
            ingresses: observe(
                Api::namespaced(client.clone(), namespace),
                &changed,
                tasks,
                cancel,
            ),
            services: observe(
                Api::namespaced(client.clone(), namespace),
                &changed,
                tasks,
                cancel,
            ),
            slices: observe(
                Api::namespaced(client.clone(), namespace),
                &changed,
                tasks,
                cancel,
            ),
            changed,
        }
    }

    /// Waits until every first list has arrived.
    pub(super) async fn ready(&self) {
        let _ = self.classes.wait_until_ready().await;
        let _ = self.ingresses.wait_until_ready().await;
        let _ = self.services.wait_until_ready().await;
        let _ = self.slices.wait_until_ready().await;
    }

    /// Waits for a change, and a moment longer for those that come with it.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
        tokio::time::sleep(DEBOUNCE).await;
    }

    /// What the informers hold now.
    pub(super) fn objects(&self) -> Objects {
        Objects {
            classes: self.classes.state(),
            ingresses: self.ingresses.state(),
            services: self.services.state(),
            slices: self.slices.state(),
        }
    }
}

fn observe<K>(api: Api<K>, changed: &Arc<Notify>, tasks: &TaskTracker, cancel: &CancellationToken) -> Store<K>
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
        let events = watcher(api, watcher::Config::default())
            .default_backoff()
            .reflect(writer)
            .touched_objects();
        let mut events = std::pin::pin!(events.take_until(cancel.cancelled()));
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => tracing::debug!(target: "ingress-nginx", "watch: {error}"),
            }
        }
    });
    store
}
