//! The way to every server: the API server built once, a port-forward per Service opened when it is first needed.
//!
//! One rule: nothing is opened before somebody asks for it, and a way that failed is built anew.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::forward::{Forward, ServicePort};
use super::kube::Kube;
use super::proxied::{self, Proxied};
use super::target::{Address, KubeTarget};
use crate::domain::{Kind, Trouble};

/// Shared by all clients of one program.
#[derive(Debug)]
pub struct Reach {
    target: Option<KubeTarget>,
    kube: Mutex<Option<Kube>>,
    forwards: Mutex<HashMap<ServicePort, Arc<Forward>>>,
    proxied: Mutex<HashMap<(String, u16), Proxied>>,
}

impl Reach {
    /// With the API server that Services are looked up in, if there is one.
    pub fn new(target: Option<KubeTarget>) -> Arc<Self> {
        Arc::new(Self {
            target,
            kube: Mutex::new(None),
            forwards: Mutex::new(HashMap::new()),
            proxied: Mutex::new(HashMap::new()),
        })
    }

    /// The API server's client, built at the first call.
    pub async fn kube(&self) -> Result<Kube, Trouble> {
        let Some(target) = &self.target else {
            return Err(Trouble::new(Kind::NotConfigured, "Kubernetes", "no cluster is configured")
                .remedy("set [kubernetes] in cutover.toml, or KUBECONFIG"));
        };
        let mut slot = self.kube.lock().await;
        if let Some(kube) = &*slot {
            return Ok(kube.clone());
        }
        let kube = super::kube::connect(target).await?;
        *slot = Some(kube.clone());
        Ok(kube)
    }

    /// Forgets the client, so that the next call reads the kubeconfig again: after a 401 somebody may log in.
    pub async fn forget_kube(&self) {
        *self.kube.lock().await = None;
        self.forwards.lock().await.clear();
    }

    /// The local end of a Service's port-forward; `None` for a URL.
    pub async fn local(&self, address: &Address) -> Result<Option<SocketAddr>, Trouble> {
        let Some(to) = self.service(address).await? else {
            return Ok(None);
        };
        let mut forwards = self.forwards.lock().await;
        if let Some(forward) = forwards.get(&to) {
            return Ok(Some(forward.local()));
        }
        let opened = Arc::new(Forward::open(self.kube().await?, to.clone()).await?);
        let local = opened.local();
        forwards.insert(to, opened);
        Ok(Some(local))
    }

    /// The local end of the way through `ALL_PROXY`, for what does not speak HTTP; `None` without such a proxy.
    pub async fn proxied(&self, host: &str, port: u16) -> Result<Option<SocketAddr>, Trouble> {
        let Some(by) = proxied::from_env(host, port) else {
            return Ok(None);
        };
        let mut open = self.proxied.lock().await;
        let key = (host.to_owned(), port);
        if let Some(known) = open.get(&key) {
            return Ok(Some(known.local()));
        }
        let opened = Proxied::open(by, host, port).await?;
        let local = opened.local();
        open.insert(key, opened);
        Ok(Some(local))
    }

    /// The better explanation of `trouble`: what the port-forward says, when the way leads through one.
    pub async fn explain(&self, address: &Address, trouble: Trouble) -> Trouble {
        if !matches!(trouble.kind, Kind::Unreachable | Kind::Timeout | Kind::Unexpected) {
            return trouble;
        }
        let Ok(Some(to)) = self.service(address).await else {
            return trouble;
        };
        self.forwards.lock().await.get(&to).and_then(|f| f.trouble()).unwrap_or(trouble)
    }

    async fn service(&self, address: &Address) -> Result<Option<ServicePort>, Trouble> {
        let Address::Service { namespace, service, port } = address else {
            return Ok(None);
        };
        let namespace = match namespace {
            Some(namespace) => namespace.clone(),
            None => self.kube().await?.namespace,
        };
        Ok(Some(ServicePort { namespace, service: service.clone(), port: port.clone() }))
    }
}

/// What an address is called in messages: without user and password.
pub fn name(address: &Address) -> String {
    match address {
        Address::Url(url) => super::failure::without_userinfo(url.expose()),
        Address::Service { namespace: Some(ns), service, port } => format!("Service {ns}/{service}:{port}"),
        Address::Service { namespace: None, service, port } => format!("Service {service}:{port}"),
    }
}
