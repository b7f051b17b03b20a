//! The controller loop: Deployments to Pods, Pods to slices, deleted Pods to replacements.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod as PodObject, Service};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, ResourceExt as _};

use super::deployment::Set;
use super::slices::{Member, Slices};
use super::store_pods::StorePod;
use super::world::World;
use crate::rehearsal::informer::observe;

/// The controllers look at everything at least this often, should a notice be lost.
const RESYNC: Duration = Duration::from_secs(2);

/// The running controllers of one namespace.
pub(super) struct Controller {
    world: Arc<World>,
    deployments: Store<Deployment>,
    services: Store<Service>,
    sets: BTreeMap<String, Set>,
    stores: Vec<StorePod>,
    slices: Slices,
}

impl Controller {
    pub(super) fn new(world: &Arc<World>, stores: Vec<StorePod>) -> Self {
        let (client, namespace) = (&world.client, &world.namespace);
        Self {
            deployments: observe(
                Api::namespaced(client.clone(), namespace),
                &world.changed,
                &world.tasks,
                &world.cancel,
            ),
            services: observe(
                Api::namespaced(client.clone(), namespace),
                &world.changed,
                &world.tasks,
                &world.cancel,
            ),
            world: Arc::clone(world),
            sets: BTreeMap::new(),
            stores,
            slices: Slices::default(),
        }
    }

    pub(super) async fn run(mut self) {
        let pods: Api<PodObject> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let mut deletions = Box::pin(watcher(pods, watcher::Config::default()).default_backoff());
        let _ = self.deployments.wait_until_ready().await;
        let cancel = self.world.cancel.clone();
        while cancel.run_until_cancelled(self.reconcile()).await.is_some() {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.world.changed.notified() => {}
                () = tokio::time::sleep(RESYNC) => {}
                event = deletions.next() => self.pod_event(event),
            }
        }
    }

    /// A Pod that somebody deleted ends here as it would under a kubelet.
    fn pod_event(&self, event: Option<watcher::Result<Event<PodObject>>>) {
        let name = match event {
            Some(Ok(Event::Delete(pod))) => pod.name_any(),
            Some(Ok(Event::Apply(pod))) if pod.metadata.deletion_timestamp.is_some() => pod.name_any(),
            _ => return,
        };
        if let Some(pod) = self.sets.values().flat_map(|set| &set.pods).find(|pod| pod.name == name) {
            pod.stop();
        }
    }

    async fn reconcile(&mut self) {
        let deployments = self.deployments.state();
        for deployment in &deployments {
            let name = deployment.name_any();
            let set = self.sets.entry(name.clone()).or_insert_with(|| Set::new(&name));
            if let Err(error) = set.reconcile(&self.world, deployment).await {
                tracing::debug!("Deployment {name}: {error}");
            }
        }
        self.sets.retain(|name, set| {
            let known = deployments.iter().any(|deployment| deployment.name_any() == *name);
            if !known {
                set.stop();
                set.pods.retain(|pod| !pod.view.borrow().gone);
            }
            known || !set.pods.is_empty()
        });
        let (services, members) = (self.services.state(), self.members());
        self.world.web.send_replace(web_addresses(&members));
        let written =
            self.slices.reconcile(&self.world.client, &self.world.namespace, &services, &members).await;
        if let Err(error) = written {
            tracing::debug!("EndpointSlices: {error}");
        }
    }

    fn members(&self) -> Vec<Member> {
        let pods = self.sets.values().flat_map(|set| &set.pods).map(|pod| {
            let view = pod.view.borrow();
            Member {
                name: pod.name.clone(),
                uid: view.uid.clone(),
                ip: pod.ip.clone(),
                labels: pod.labels.clone(),
                ready: view.ready,
                terminating: view.terminating,
                ports: view.address.iter().map(|address| (pod.port, "http".to_owned(), *address)).collect(),
            }
        });
        pods.chain(self.stores.iter().map(StorePod::member)).collect()
    }
}

fn web_addresses(members: &[Member]) -> Vec<SocketAddr> {
    let web = members.iter().filter(|member| member.labels.get("app").is_some_and(|app| app == "web"));
    let ready = web.filter(|member| member.ready && !member.terminating);
    ready.flat_map(|member| member.ports.iter().map(|(_, _, address)| *address)).collect()
}
