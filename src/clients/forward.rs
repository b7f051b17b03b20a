//! A Kubernetes Service reached from outside: a local listener whose connections go through the API server.
//!
//! One rule: every connection picks a ready pod anew, so a pod that went away costs one connection and no more.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::ListParams;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::failure::within;
use super::kube::{Kube, call, trouble};
use crate::domain::{Kind, Trouble};

/// Deadline for opening one stream to a pod.
const OPEN: Duration = Duration::from_secs(5);

/// Where connections to a Service go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// A ready pod and the container's port.
    Pod {
        /// Pod name.
        pod: String,
        /// Port in the pod.
        port: u16,
    },
    /// A Service without selector: its `EndpointSlice` names an address outside the cluster, which is used as is.
    Direct(SocketAddr),
}

/// A Service by name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Namespace.
    pub namespace: String,
    /// Service name.
    pub service: String,
    /// Port number or name.
    pub port: String,
}

impl std::fmt::Display for ServicePort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Service {}/{}:{}", self.namespace, self.service, self.port)
    }
}

/// An open listener; it closes when this is dropped.
#[derive(Debug)]
pub struct Forward {
    local: SocketAddr,
    last: Arc<Mutex<Option<Trouble>>>,
    _tasks: JoinSet<()>,
}

impl Forward {
    /// Checks that the Service has somewhere to go, and listens on a free port of 127.0.0.1.
    pub async fn open(kube: Kube, to: ServicePort) -> Result<Self, Trouble> {
        let first = resolve(&kube, &to).await?;
        tracing::info!(target: "forward", "{to} is reached through {first:?}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|e| Trouble::new(Kind::Unreachable, "127.0.0.1", format!("cannot listen: {e}")))?;
        let local = listener
            .local_addr()
            .map_err(|e| Trouble::new(Kind::Unreachable, "127.0.0.1", format!("cannot listen: {e}")))?;
        let last = Arc::new(Mutex::new(None));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, kube, to, Arc::clone(&last)));
        Ok(Self { local, last, _tasks: tasks })
    }

    /// Where to connect to.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Why the newest connection could not be carried, if it could not.
    pub fn trouble(&self) -> Option<Trouble> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn accept(listener: TcpListener, kube: Kube, to: ServicePort, last: Arc<Mutex<Option<Trouble>>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (kube, to, last) = (kube.clone(), to.clone(), Arc::clone(&last));
                    connections.spawn(async move {
                        let outcome = carry(stream, &kube, &to).await.err();
                        if let Some(trouble) = &outcome {
                            tracing::warn!(target: "forward", "{trouble}");
                        }
                        *last.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
                    });
                }
                // Out of file descriptors, most likely: give them time to come back.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either end closes.
async fn carry(mut local: TcpStream, kube: &Kube, to: &ServicePort) -> Result<(), Trouble> {
    match resolve(kube, to).await? {
        Way::Direct(address) => {
            let object = format!("{to} at {address}");
            let mut remote = within(OPEN, &object, "connect", async {
                TcpStream::connect(address).await.map_err(|e| super::failure::transport(&object, &e))
            })
            .await?;
            // How it ends is the business of the two ends.
            drop(tokio::io::copy_bidirectional(&mut local, &mut remote).await);
            Ok(())
        }
        Way::Pod { pod, port } => {
            let pods: Api<Pod> = Api::namespaced(kube.client.clone(), &to.namespace);
            let object = format!("pod {}/{pod}:{port}", to.namespace);
            let tried = permission(&to.namespace);
            let mut forwarder = within(OPEN, &object, &tried, async {
                pods.portforward(&pod, &[port]).await.map_err(|e| refused(&object, &tried, &e))
            })
            .await?;
            let (Some(mut remote), Some(error)) = (forwarder.take_stream(port), forwarder.take_error(port))
            else {
                return Err(Trouble::new(Kind::Unexpected, &object, "no stream for the port"));
            };
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut local, &mut remote) => {}
                Some(said) = error => return Err(Trouble::new(Kind::Unreachable, &object, said)
                    .remedy("check that the container listens on this port")),
            }
            forwarder.abort();
            Ok(())
        }
    }
}

/// What a port-forward needs: Kubernetes asks for `get`, as the request is one, and since 1.35 for `create` as well;
/// its answer does not tell which was missing.
pub(super) fn permission(namespace: &str) -> String {
    format!("get and create pods/portforward in {namespace}")
}

/// A port-forward that was not upgraded: the status is in the text of the upgrade error.
pub(super) fn refused(object: &str, tried: &str, error: &kube::Error) -> Trouble {
    if let kube::Error::UpgradeConnection(e) = error {
        let text = e.to_string();
        for code in [401, 403, 404] {
            if text.contains(&code.to_string()) {
                return super::kube::from_status(object, tried, code, "", &text, None);
            }
        }
        return Trouble::new(Kind::Unreachable, object, format!("{tried}: {text}"));
    }
    trouble(object, tried, error)
}

/// Finds where connections to the Service go now.
pub async fn resolve(kube: &Kube, to: &ServicePort) -> Result<Way, Trouble> {
    let object = to.to_string();
    let services: Api<Service> = Api::namespaced(kube.client.clone(), &to.namespace);
    let service =
        call(&object, &format!("get services in {}", to.namespace), services.get(&to.service)).await?;
    let spec = service.spec.unwrap_or_default();
    let port = spec
        .ports
        .unwrap_or_default()
        .into_iter()
        .find(|p| p.port.to_string() == to.port || p.name.as_deref() == Some(&to.port))
        .ok_or_else(|| {
            Trouble::new(Kind::Missing, &object, "the Service has no such port")
                .remedy("name a port of the Service")
        })?;
    let selector = spec.selector.unwrap_or_default();
    if selector.is_empty() {
        return direct(kube, to, port.name.as_deref()).await;
    }
    let target = port.target_port.unwrap_or(IntOrString::Int(port.port));
    let labels = selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",");
    let pods: Api<Pod> = Api::namespaced(kube.client.clone(), &to.namespace);
    let found = call(
        &object,
        &format!("list pods in {}", to.namespace),
        pods.list(&ListParams::default().labels(&labels).limit(200)),
    )
    .await?;
    let total = found.items.len();
    found
        .items
        .iter()
        .filter(|pod| is_ready(pod))
        .find_map(|pod| {
            Some(Way::Pod { pod: pod.metadata.name.clone()?, port: container_port(pod, &target)? })
        })
        .ok_or_else(|| {
            Trouble::new(
                Kind::Unreachable,
                &object,
                format!("none of its {total} pods is ready and has port {target:?}"),
            )
            .remedy(format!("look at `kubectl -n {} get pods -l {labels}`", to.namespace))
        })
}

async fn direct(kube: &Kube, to: &ServicePort, port_name: Option<&str>) -> Result<Way, Trouble> {
    let object = to.to_string();
    let slices: Api<EndpointSlice> = Api::namespaced(kube.client.clone(), &to.namespace);
    let params = ListParams::default().labels(&format!("kubernetes.io/service-name={}", to.service));
    let found =
        call(&object, &format!("list endpointslices in {}", to.namespace), slices.list(&params)).await?;
    found
        .items
        .iter()
        .find_map(|slice| {
            let ports = slice.ports.as_ref()?;
            let port =
                ports.iter().find(|p| p.name.as_deref().unwrap_or("") == port_name.unwrap_or(""))?.port?;
            let endpoint = slice
                .endpoints
                .iter()
                .find(|e| e.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true))?;
            let ip = endpoint.addresses.first()?.parse().ok()?;
            Some(Way::Direct(SocketAddr::new(ip, u16::try_from(port).ok()?)))
        })
        .ok_or_else(|| {
            Trouble::new(
                Kind::Unreachable,
                &object,
                "a Service without selector, and no EndpointSlice with an address for it",
            )
            .remedy("give this server by URL instead of by Service")
        })
}

fn is_ready(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod
            .status
            .as_ref()
            .and_then(|s| s.conditions.as_ref())
            .is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

fn container_port(pod: &Pod, target: &IntOrString) -> Option<u16> {
    match target {
        IntOrString::Int(port) => u16::try_from(*port).ok(),
        IntOrString::String(name) => pod
            .spec
            .as_ref()?
            .containers
            .iter()
            .flat_map(|c| c.ports.iter().flatten())
            .find(|p| p.name.as_deref() == Some(name))
            .and_then(|p| u16::try_from(p.container_port).ok()),
    }
}
