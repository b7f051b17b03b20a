//! The controller's informers: watch, rebuild, push, and write back what ingress-nginx writes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass};
use kube::runtime::reflector::Store;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::build::Objects;
use crate::rehearsal::informer::observe;

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
            ingresses: observe(Api::namespaced(client.clone(), namespace), &changed, tasks, cancel),
            services: observe(Api::namespaced(client.clone(), namespace), &changed, tasks, cancel),
            slices: observe(Api::namespaced(client.clone(), namespace), &changed, tasks, cancel),
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
