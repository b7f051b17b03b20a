//! The ingress controller's own request counters, by the side that served.
//!
//! One rule: all replicas are summed, and how many answered is said.

mod metrics;

use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::Source;
use super::shared::{Link, Shared};
use crate::clients::http::{self, Http};
use crate::clients::kube::{Kube, call};
use crate::clients::pod;
use crate::clients::target::{Address, ControllerTarget, TlsOptions};
use crate::domain::latency::ControllerFact;
use crate::domain::traffic::Route;
use crate::domain::{Fact, Kind, SourceId, Trouble};

/// Largest metrics page that is read.
const LIMIT: usize = 16 * 1024 * 1024;
/// Replicas that are asked.
const REPLICAS: usize = 5;

/// The source.
pub struct Controller {
    shared: Arc<Shared>,
    urls: Link<Vec<Http>>,
}

impl Controller {
    /// With what the sources share.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, urls: Link::default() }
    }

    async fn read(&mut self) -> Result<Fact, Trouble> {
        let shared = Arc::clone(&self.shared);
        let routes = shared.routes();
        let pages = match &shared.targets.controller {
            Some(ControllerTarget::Urls(urls)) => {
                let clients = self.urls.get(Box::pin(build(&shared, urls))).await?;
                join_all(clients.iter().map(page)).await
            }
            Some(ControllerTarget::Pods { namespace, selector, port }) => {
                pods(&shared.reach.kube().await?, namespace, selector, *port).await?
            }
            // Where the helm chart and the manifests of ingress-nginx put it.
            None => {
                let selector = "app.kubernetes.io/name=ingress-nginx,app.kubernetes.io/component=controller";
                pods(&shared.reach.kube().await?, "ingress-nginx", selector, 10254).await?
            }
        };
        sum(pages, &routes).map(Fact::Controller)
    }
}

impl Source for Controller {
    fn id(&self) -> SourceId {
        SourceId::Controller
    }

    fn poll(&mut self) -> BoxFuture<'_, Result<Fact, Trouble>> {
        Box::pin(self.read())
    }
}

async fn build(shared: &Shared, urls: &[String]) -> Result<Vec<Http>, Trouble> {
    let mut clients = Vec::new();
    for url in urls {
        // The base is the page itself.
        let object = format!("controller {url}");
        let mut http =
            http::connect(&shared.reach, &Address::url(url.as_str()), &TlsOptions::default(), object).await?;
        let path = http.base.path().trim_end_matches('/').to_owned();
        http.base.set_path(if path.is_empty() { "/metrics" } else { &path });
        clients.push(http);
    }
    Ok(clients)
}

async fn page(http: &Http) -> Result<String, Trouble> {
    let response = http.client.get(http.base.clone()).send().await.map_err(|e| http.trouble(&e))?;
    let status = response.status();
    let text = http::text(&http.object, response, LIMIT).await?;
    if status.is_success() {
        Ok(text)
    } else {
        Err(http::from_status(&http.object, "GET metrics", status, &text))
    }
}

/// The page of each ready pod, by port-forward.
async fn pods(
    kube: &Kube,
    namespace: &str,
    selector: &str,
    port: u16,
) -> Result<Vec<Result<String, Trouble>>, Trouble> {
    let api: Api<Pod> = Api::namespaced(kube.client.clone(), namespace);
    let object = format!("ingress controller in {namespace}");
    let params = ListParams::default().labels(selector).limit(50);
    let found = call(&object, &format!("list pods in {namespace}"), api.list(&params)).await?;
    let names: Vec<String> = found.items.iter().map(ResourceExt::name_any).take(REPLICAS).collect();
    if names.is_empty() {
        return Err(Trouble::new(Kind::Missing, &object, format!("no pod with {selector}"))
            .remedy("set [controller] in cutover.toml: namespace and selector, or the URLs of /metrics"));
    }
    Ok(join_all(names.iter().map(|name| pod::get(&api, name, port, "/metrics", LIMIT))).await)
}

/// The sum of all pages that came; the trouble of the first that did not, when none came.
fn sum(pages: Vec<Result<String, Trouble>>, routes: &[Route]) -> Result<ControllerFact, Trouble> {
    let mut fact = ControllerFact::default();
    let mut first = None;
    for page in pages {
        match page {
            Ok(text) => {
                metrics::add(&mut fact, &text, routes);
                fact.replicas += 1;
            }
            Err(trouble) => first = first.or(Some(trouble)),
        }
    }
    match first {
        Some(trouble) if fact.replicas == 0 => Err(trouble),
        _ => Ok(fact),
    }
}
