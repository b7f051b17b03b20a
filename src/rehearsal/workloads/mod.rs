//! The cluster's workloads: Deployments that are really processes, and the stores as `StatefulSets`.
//!
//! Its rule: everything goes through the API, so a restart, a scale or a changed variable asked of Kubernetes
//! happens to a process, and what a process does is seen in Kubernetes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node, Secret, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod controller;
mod deployment;
pub mod env;
pub mod events;
pub mod image;
mod keeper;
pub mod kubelet;
pub mod manifests;
pub mod names;
pub mod objects;
mod pod;
pub mod probe;
mod probing;
pub mod rollout;
mod service_proxy;
mod slices;
mod store_pods;
mod world;

use manifests::{ingress, langfuse, stores};
use names::Names;
use objects::{ensure, ensure_as};
pub use store_pods::Store;
use world::World;
pub use world::{LogSink, PodFaults};

/// What `kubectl apply` calls itself.
const KUBECTL: &str = "kubectl-client-side-apply";

/// How the workloads are started.
pub struct Options {
    /// Client of the API server.
    pub client: Client,
    /// Namespace of everything.
    pub namespace: String,
    /// The stores and where they are.
    pub stores: Vec<Store>,
    /// Takes the log lines of every container.
    pub log: LogSink,
    /// The faults of the processes.
    pub faults: PodFaults,
}

/// The running workloads of one namespace.
pub struct Workloads {
    client: Client,
    namespace: String,
    web: watch::Receiver<Vec<SocketAddr>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Workloads {
    /// Starts controllers and kubelet on the namespace; Deployments may be there before or come later.
    pub async fn start(options: Options) -> kube::Result<Self> {
        let Options { client, namespace, stores, log, faults } = options;
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (web, addresses) = watch::channel(Vec::new());
        create_namespace(&client, &namespace).await?;
        let services: Api<Service> = Api::namespaced(client.clone(), &namespace);
        for store in &stores {
            ensure(&services, stores::service(&store.spec)).await?;
        }
        let world = Arc::new(World {
            recorder: events::Recorder::new(client.clone(), &namespace),
            client: client.clone(),
            namespace: namespace.clone(),
            names: Names::new(&namespace),
            log,
            faults,
            changed: Arc::new(Notify::new()),
            tasks: tasks.clone(),
            cancel: cancel.clone(),
            addresses: AtomicU32::new(0),
            web,
        });
        let pods = stores.into_iter().map(|store| store_pods::StorePod::start(&world, store)).collect();
        tasks.spawn(controller::Controller::new(&world, pods).run());
        Ok(Self { client, namespace, web: addresses, cancel, tasks })
    }

    /// A loopback address that always leads to a ready Pod of v3 web.
    pub async fn expose_web(&self) -> std::io::Result<SocketAddr> {
        service_proxy::expose(self.web.clone(), &self.tasks, &self.cancel).await
    }

    /// Writes the Secret, Services and Ingresses: everything that needs no running Langfuse v3.
    pub async fn install_routes(
        &self,
        secrets: &[(&str, &str)],
        v2: SocketAddr,
        weight: u8,
    ) -> kube::Result<()> {
        let (client, namespace) = (self.client.clone(), self.namespace.as_str());
        ensure(&Api::<Secret>::namespaced(client.clone(), namespace), langfuse::secrets(secrets)).await?;
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        for service in [langfuse::web_service(), ingress::v2_service(), ingress::docs_service()] {
            ensure(&services, service).await?;
        }
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
        ensure_as(&slices, ingress::v2_slice(v2), KUBECTL).await?;
        let ingresses: Api<Ingress> = Api::namespaced(client, namespace);
        for ingress in [ingress::main(), ingress::canary(weight), ingress::docs()] {
            ensure_as(&ingresses, ingress, KUBECTL).await?;
        }
        Ok(())
    }

    /// Writes one of Langfuse v3's Deployments.
    pub async fn install(&self, name: &str, settings: &langfuse::Settings) -> kube::Result<()> {
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let object = if name == langfuse::WEB { langfuse::web(settings) } else { langfuse::worker(settings) };
        ensure(&deployments, object).await
    }

    /// Waits until a Deployment has as many ready Pods as it wants; false when it does not within `limit`.
    pub async fn wait_ready(&self, deployment: &str, limit: Duration) -> bool {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        let wait = async {
            loop {
                let ready =
                    api.get_opt(deployment).await.ok().flatten().is_some_and(|found| is_ready(&found));
                if ready {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// Ends every process and task where it is.
    pub async fn stop(&self) {
        self.cancel.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(Duration::from_secs(3), self.tasks.wait()).await;
    }
}

impl Drop for Workloads {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn is_ready(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation) >= deployment.metadata.generation;
    let counts = status.map(|status| {
        (
            status.ready_replicas.unwrap_or_default(),
            status.updated_replicas.unwrap_or_default(),
            status.replicas.unwrap_or_default(),
        )
    });
    seen && counts == Some((wanted, wanted, wanted))
}

async fn create_namespace(client: &Client, namespace: &str) -> kube::Result<()> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": kubelet::NODE},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    ensure(&Api::<Node>::all(client.clone()), node).await?;
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    ensure(&Api::<Namespace>::all(client.clone()), object).await
}

#[cfg(test)]
mod tests;
