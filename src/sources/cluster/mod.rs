//! The namespace's workloads, pods and events, by watches that are folded as they come.
//!
//! One rule: a kind that may not be read is said to be so and hides none of the others.

mod events;
mod fold;
mod pod;
mod workload;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Event;
use kube::Api;

use self::pod::Pod;
use super::Source;
use super::shared::Shared;
use super::watch::{Change, Watch};
use crate::clients::kube::{Kube, call};
use crate::domain::cluster::ClusterFact;
use crate::domain::{Fact, Kind, SourceId, Trouble};

pub use fold::Fold;

/// How long a reading waits for the first lists before it shows what there is.
const FIRST: Duration = Duration::from_millis(1500);

/// The source.
pub struct Cluster {
    shared: Arc<Shared>,
    watching: Option<Watching>,
}

struct Watching {
    kube: Kube,
    deployments: Watch<Deployment>,
    stateful_sets: Watch<StatefulSet>,
    pods: Watch<Pod>,
    events: Watch<Event>,
    fold: Fold,
}

impl Cluster {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, watching: None }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let (known, watching) = match &mut self.watching {
            Some(watching) => (true, watching),
            None => (false, self.watching.insert(Watching::start(self.shared.reach.kube().await?))),
        };
        let kube = watching.kube.clone();
        // The heartbeat: a watch without news is not fresh by itself.
        let beat = call(&kube.object, "get /version", kube.client.apiserver_version());
        let (version, ()) = tokio::join!(beat, watching.first_lists());
        match version {
            Ok(info) => {
                // The server is back and the watches still wait in their back-off: begin anew.
                if known && watching.lost().is_some() {
                    *watching = Watching::start(kube);
                    watching.first_lists().await;
                }
                let mut fact = watching.fold.fact(&watching.troubles());
                fact.server_version = crate::domain::text::clean(&info.git_version);
                watching.answer(fact).map(Fact::Cluster)
            }
            Err(trouble) => {
                if trouble.kind == Kind::Unauthorized {
                    self.watching = None;
                    self.shared.reach.forget_kube().await;
                }
                Err(trouble)
            }
        }
    }
}

impl Source for Cluster {
    fn id(&self) -> SourceId {
        SourceId::Cluster
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match &mut self.watching {
                Some(watching) => watching.step().await,
                None => std::future::pending().await,
            }
        })
    }
}

impl Watching {
    fn start(kube: Kube) -> Self {
        let (client, ns) = (&kube.client, kube.namespace.as_str());
        Self {
            deployments: Watch::new(Api::namespaced(client.clone(), ns), None),
            stateful_sets: Watch::new(Api::namespaced(client.clone(), ns), None),
            pods: Watch::new(Api::namespaced(client.clone(), ns), None),
            events: Watch::new(Api::namespaced(client.clone(), ns), None),
            fold: Fold::default(),
            kube,
        }
    }

    /// Takes in one change of any kind.
    async fn step(&mut self) {
        tokio::select! {
            change = self.deployments.next() => match change {
                Change::Set(d) => self.fold.deployment(&d),
                Change::Gone(name) => self.fold.workload_gone("Deployment", &name),
                Change::Complete => {}
            },
            change = self.stateful_sets.next() => match change {
                Change::Set(s) => self.fold.stateful_set(&s),
                Change::Gone(name) => self.fold.workload_gone("StatefulSet", &name),
                Change::Complete => {}
            },
            change = self.pods.next() => match change {
                Change::Set(p) => self.fold.pod(&p),
                Change::Gone(name) => self.fold.pod_gone(&name),
                Change::Complete => {}
            },
            change = self.events.next() => match change {
                Change::Set(e) => self.fold.event(&e),
                Change::Gone(name) => self.fold.event_gone(&name),
                Change::Complete => {}
            },
        }
    }

    fn settled(&self) -> bool {
        let done = |complete: bool, trouble: &Option<Trouble>| complete || trouble.is_some();
        done(self.deployments.complete, &self.deployments.trouble)
            && done(self.stateful_sets.complete, &self.stateful_sets.trouble)
            && done(self.pods.complete, &self.pods.trouble)
            && done(self.events.complete, &self.events.trouble)
    }

    /// Until every kind was listed or said why not; and what came in since the last reading.
    async fn first_lists(&mut self) {
        let work = async {
            while !self.settled() {
                self.step().await;
            }
            // What already arrived belongs into this reading.
            while tokio::time::timeout(Duration::from_millis(2), self.step()).await.is_ok() {}
        };
        // Taking too long is normal with thousands of pods: the next reading has more.
        let _ = tokio::time::timeout(FIRST, work).await;
    }

    fn troubles(&self) -> Vec<Trouble> {
        [&self.deployments.trouble, &self.stateful_sets.trouble, &self.pods.trouble, &self.events.trouble]
            .into_iter()
            .flatten()
            .cloned()
            .collect()
    }

    /// The fact, unless not one kind can be read.
    fn answer(&self, fact: ClusterFact) -> Result<ClusterFact, Trouble> {
        self.lost().map_or(Ok(fact), |trouble| Err(trouble.clone()))
    }

    /// Why nothing can be read, when nothing can.
    fn lost(&self) -> Option<&Trouble> {
        let all = [&self.deployments.trouble, &self.stateful_sets.trouble, &self.pods.trouble];
        all.into_iter().try_fold(None, |_, trouble| trouble.as_ref().map(Some)).flatten()
    }
}
