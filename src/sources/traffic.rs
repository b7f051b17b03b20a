//! The routes, read at each beat and whenever a watch says that something moved.
//!
//! One rule: what is delivered was read from the server now; the watch only decides when.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;

use super::Source;
use super::shared::Shared;
use super::watch::{Change, Watch};
use crate::clients::kube::Kube;
use crate::clients::namespace;
use crate::domain::traffic::{Route, Trap};
use crate::domain::{Fact, Kind, SourceId, Trouble};
use crate::routers;

/// The source.
pub struct Traffic {
    shared: Arc<Shared>,
    watching: Option<Watching>,
}

struct Watching {
    kube: Kube,
    ingresses: Watch<Ingress>,
    slices: Option<(BTreeSet<String>, Watch<EndpointSlice>)>,
    /// The lists that a watch starts with are no news.
    listed: (bool, bool),
}

impl Traffic {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, watching: None }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let kube = self.shared.reach.kube().await?;
        let wanted = &self.shared.targets.ingresses;
        let found = match discover(&kube).await {
            Ok(found) if found.is_empty() => namespace::exists(&kube).await.map(|()| found),
            found => found,
        };
        match found.and_then(|found| only(found, wanted, &kube.namespace)) {
            Ok(mut routes) => {
                self.watch(kube, &routes);
                for trouble in self.watching.iter().flat_map(Watching::troubles) {
                    // Without a watch only the next beat tells what somebody else wrote.
                    let trap = Trap { id: "unwatched", text: trouble.to_string(), blocks: false };
                    routes.iter_mut().for_each(|route| route.traps.push(trap.clone()));
                }
                self.shared.set_routes(&routes);
                Ok(Fact::Traffic(routes))
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

    fn watch(&mut self, kube: Kube, routes: &[Route]) {
        let watching = self.watching.get_or_insert_with(|| Watching {
            ingresses: Watch::new(Api::namespaced(kube.client.clone(), &kube.namespace), None),
            slices: None,
            listed: (false, false),
            kube,
        });
        let services: BTreeSet<String> =
            routes.iter().flat_map(|r| [r.primary.service.clone(), r.canary.service.clone()]).collect();
        if services.is_empty() || watching.slices.as_ref().is_some_and(|(known, _)| *known == services) {
            return;
        }
        let selector = format!(
            "kubernetes.io/service-name in ({})",
            services.iter().cloned().collect::<Vec<_>>().join(",")
        );
        let api = Api::namespaced(watching.kube.client.clone(), &watching.kube.namespace);
        watching.slices = Some((services, Watch::new(api, Some(&selector))));
        watching.listed.1 = false;
    }
}

/// Every route of every mechanism, in a stable order.
async fn discover(kube: &Kube) -> Result<Vec<Route>, Trouble> {
    let mut found = Vec::new();
    for router in routers::all() {
        found.extend(router.discover(&kube.client, &kube.namespace).await?);
    }
    Ok(found)
}

/// The routes that were named, or all of them. A name without a route is an error: a slip of the pen must not
/// leave a route behind.
fn only(found: Vec<Route>, wanted: &[String], namespace: &str) -> Result<Vec<Route>, Trouble> {
    if let Some(name) = wanted.iter().find(|w| found.iter().all(|r| r.object.name != **w)) {
        let object = format!("Ingress {namespace}/{name}");
        return Err(Trouble::new(
            Kind::Missing,
            object,
            "it is named in [traffic] ingresses and is no canary route",
        )
        .remedy("correct the name, or take it out"));
    }
    let named = |r: &Route| wanted.is_empty() || wanted.contains(&r.object.name);
    Ok(found.into_iter().filter(named).collect())
}

impl Source for Traffic {
    fn id(&self) -> SourceId {
        SourceId::Traffic
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match &mut self.watching {
                Some(watching) => watching.news().await,
                None => std::future::pending().await,
            }
        })
    }
}

impl Watching {
    fn troubles(&self) -> impl Iterator<Item = &Trouble> {
        let slices = self.slices.iter().filter_map(|(_, watch)| watch.trouble.as_ref());
        let denied = |trouble: &&Trouble| trouble.kind == Kind::Forbidden;
        self.ingresses.trouble.as_ref().into_iter().chain(slices).filter(denied)
    }

    /// Returns when something moved, or when a watch turned out to be denied.
    async fn news(&mut self) {
        let known = self.troubles().count();
        loop {
            if self.troubles().count() > known {
                return;
            }
            let slices = async {
                match &mut self.slices {
                    Some((_, watch)) => watch.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                change = self.ingresses.next() => match change {
                    Change::Complete => self.listed.0 = true,
                    _ if self.listed.0 => return,
                    _ => {}
                },
                change = slices => match change {
                    Change::Complete => self.listed.1 = true,
                    _ if self.listed.1 => return,
                    _ => {}
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shift::plan::tests::route;

    #[test]
    fn named_routes_only_and_every_name_must_be_one() {
        let other = |name: &str| Route {
            object: crate::domain::traffic::ObjectRef { name: name.into(), ..route(0).object },
            ..route(0)
        };
        let found = vec![other("a"), other("b")];
        assert_eq!(only(found.clone(), &[], "lf").unwrap().len(), 2);
        assert_eq!(only(found.clone(), &["b".into()], "lf").unwrap()[0].object.name, "b");
        let trouble = only(found, &["b".into(), "c".into()], "lf").unwrap_err();
        assert_eq!((trouble.kind, trouble.object.as_str()), (Kind::Missing, "Ingress lf/c"));
    }
}
