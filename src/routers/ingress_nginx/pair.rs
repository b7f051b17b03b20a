//! Canary Ingresses matched with their main ones by host, path and path type.
//!
//! One rule: of several canaries for one rule only the oldest counts, as in the controller.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::{Ingress, IngressBackend};

use super::weight::{self, Annotations};
use super::{Seen, owner, traps};
use crate::domain::Weight;
use crate::domain::text::clean;
use crate::domain::traffic::{Accepted, Backend, ObjectRef, PathGroup, Route, RouterKind};
use crate::shift::patch::CANARY_WEIGHT;

/// One rule of an Ingress.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rule {
    /// Host; empty means any.
    pub host: String,
    /// Path; absent means `/`.
    pub path: String,
    /// `Prefix`, `Exact` or `ImplementationSpecific`.
    pub path_type: String,
}

/// A rule and where it leads.
pub(super) type Led = (Rule, Option<(String, String)>);

/// A canary with all that its traps depend on.
pub(super) struct Pair<'a> {
    /// The canary Ingress.
    pub canary: &'a Ingress,
    /// Its annotations.
    pub annotations: &'a Annotations,
    /// Main Ingresses that share a rule with it.
    pub mains: Vec<&'a Ingress>,
    /// Its rules with a main one.
    pub matched: Vec<Rule>,
    /// Its rules without one: the controller ignores them.
    pub unmatched: Vec<Rule>,
    /// Rules without a main one on hosts that there are, of any canary with this v3 Service: for one of them the
    /// controller takes the Service away from all canaries (`mergeAlternativeBackends`).
    pub lost: Vec<Rule>,
    /// Newer canaries for the same rules: the controller ignores them.
    pub ignored: Vec<String>,
    /// Service and port of the v2 side.
    pub primary: Option<(String, String)>,
    /// Service and port of the v3 side.
    pub backend: Option<(String, String)>,
}

/// Every canary route, by name.
pub fn routes(seen: &Seen) -> Vec<Route> {
    let mut ordered: Vec<&Ingress> = seen.ingresses.iter().collect();
    ordered.sort_by_key(|i| age(i));
    let empty = Annotations::new();
    let (canaries, mains): (Vec<&Ingress>, Vec<&Ingress>) =
        ordered.into_iter().partition(|i| weight::is_canary(annotations(i).unwrap_or(&empty)));
    let mut taken: Vec<(Rule, usize)> = Vec::new();
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    let mut lost: BTreeMap<(String, String), Vec<Rule>> = BTreeMap::new();
    for canary in canaries {
        let Some(pair) = pair(canary, &mains) else {
            continue;
        };
        if let Some(backend) = &pair.backend {
            lost.entry(backend.clone()).or_default().extend(on_known_hosts(&pair.unmatched, &mains));
        }
        let rules = if pair.matched.is_empty() { &pair.unmatched } else { &pair.matched };
        if let Some((_, first)) = taken.iter().find(|(rule, _)| rules.contains(rule)) {
            pairs[*first].ignored.push(name(canary));
            continue;
        }
        taken.extend(rules.iter().map(|rule| (rule.clone(), pairs.len())));
        pairs.push(pair);
    }
    for pair in &mut pairs {
        pair.lost = pair.backend.as_ref().and_then(|of| lost.get(of)).cloned().unwrap_or_default();
    }
    let has_api = pairs.iter().any(|p| p.matched.iter().any(|r| r.path.starts_with("/api")));
    let mut routes: Vec<Route> = pairs.iter().map(|pair| route(pair, &mains, seen, has_api)).collect();
    routes.sort_by(|a, b| a.object.cmp(&b.object));
    routes
}

/// The controller's order: the oldest first, and of one second the last name.
fn age(ingress: &Ingress) -> impl Ord + use<> {
    let meta = &ingress.metadata;
    let place = format!("{}/{}", meta.namespace.as_deref().unwrap_or_default(), name(ingress));
    (meta.creation_timestamp.as_ref().map(|t| t.0), Reverse(place))
}

/// Those of the rules whose host some main Ingress has; no host is the server that is always there.
fn on_known_hosts(unmatched: &[Rule], mains: &[&Ingress]) -> Vec<Rule> {
    let hosts: BTreeSet<String> = mains.iter().flat_map(|m| rules(m)).map(|(rule, _)| rule.host).collect();
    unmatched.iter().filter(|rule| rule.host.is_empty() || hosts.contains(&rule.host)).cloned().collect()
}

fn pair<'a>(canary: &'a Ingress, mains: &[&'a Ingress]) -> Option<Pair<'a>> {
    let (mut matched, mut unmatched, mut primary, mut backend) = (Vec::new(), Vec::new(), None, None);
    let mut partners: Vec<&Ingress> = Vec::new();
    for (rule, to) in rules(canary) {
        backend = backend.or(to);
        let main =
            mains.iter().find_map(|m| rules(m).into_iter().find(|(r, _)| *r == rule).map(|(_, to)| (*m, to)));
        match main {
            Some((main, to)) => {
                primary = primary.or(to);
                if !partners.iter().any(|p| name(p) == name(main)) {
                    partners.push(main);
                }
                matched.push(rule);
            }
            None => unmatched.push(rule),
        }
    }
    let annotations = annotations(canary)?;
    Some(Pair {
        canary,
        annotations,
        mains: partners,
        matched,
        unmatched,
        lost: Vec::new(),
        ignored: Vec::new(),
        primary,
        backend,
    })
}

fn route(pair: &Pair<'_>, mains: &[&Ingress], seen: &Seen, has_api: bool) -> Route {
    let (stored, _) = weight::stored(pair.annotations);
    let primary = backend(pair.primary.as_ref(), seen);
    let canary = backend(pair.backend.as_ref(), seen);
    let dead = canary.endpoints == Some(0) || pair.matched.is_empty() || !pair.lost.is_empty();
    let effective = if dead { Weight { value: 0, ..stored } } else { stored };
    let meta = &pair.canary.metadata;
    let shown = if pair.matched.is_empty() { &pair.unmatched } else { &pair.matched };
    let group = group(shown, has_api);
    Route {
        object: ObjectRef {
            kind: "Ingress".into(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: name(pair.canary),
        },
        router: RouterKind::IngressNginx,
        group,
        rules: shown.iter().map(|r| clean(&format!("{}{}", r.host, r.path))).collect(),
        traps: traps::of(pair, mains, seen, &primary, &canary, group),
        primary,
        canary,
        stored,
        raw: pair.annotations.get(CANARY_WEIGHT).map(|raw| clean(raw)),
        accepted: Accepted::NotReported,
        effective,
        owner: owner::of(meta),
        resource_version: meta.resource_version.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
        pins: traps::pins(pair.annotations),
    }
}

fn backend(to: Option<&(String, String)>, seen: &Seen) -> Backend {
    let Some((service, port)) = to else {
        return Backend { service: "-".into(), port: "-".into(), endpoints: None };
    };
    let external = seen.services.as_ref().and_then(|s| s.get(service)).copied();
    let endpoints = match (external, &seen.endpoints) {
        (Some(true), _) => Some(1),
        (_, None) => None,
        (_, Some(counts)) => match counts.get(service) {
            Some(count) => Some(*count),
            // No slice and no word on what kind of Service it is: an ExternalName would look the same.
            None if seen.services.is_none() => None,
            None => Some(0),
        },
    };
    Backend { service: clean(service), port: clean(port), endpoints }
}

/// What a route carries, by its paths. `/` is everything unless other routes take the API away from it.
fn group(rules: &[Rule], has_api: bool) -> PathGroup {
    let groups: BTreeSet<PathGroup> = rules
        .iter()
        .map(|rule| match rule.path.as_str() {
            path if path.starts_with("/api/public/otel") => PathGroup::Otel,
            path if path.starts_with("/api") => PathGroup::Api,
            "/" | "/*" | "/.*" | "/(.*)" | "" => {
                if has_api {
                    PathGroup::Ui
                } else {
                    PathGroup::All
                }
            }
            _ => PathGroup::Ui,
        })
        .collect();
    match groups.len() {
        1 => groups.first().copied().unwrap_or(PathGroup::All),
        _ => PathGroup::All,
    }
}

/// An object's annotations.
pub(super) fn annotations(ingress: &Ingress) -> Option<&Annotations> {
    ingress.metadata.annotations.as_ref()
}

/// An object's name.
pub(super) fn name(ingress: &Ingress) -> String {
    ingress.metadata.name.clone().unwrap_or_default()
}

/// The rules of an Ingress with their backends, its default backend as a rule for any host and `/`.
pub(super) fn rules(ingress: &Ingress) -> Vec<Led> {
    let Some(spec) = &ingress.spec else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for rule in spec.rules.iter().flatten() {
        let host = rule.host.clone().unwrap_or_default();
        for path in rule.http.iter().flat_map(|http| &http.paths) {
            let rule = Rule {
                host: host.clone(),
                path: path.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into()),
                path_type: path.path_type.clone(),
            };
            out.push((rule, service(&path.backend)));
        }
    }
    if let Some(backend) = &spec.default_backend {
        let any = Rule { host: String::new(), path: "/".into(), path_type: "Prefix".into() };
        out.push((any, service(backend)));
    }
    out
}

fn service(backend: &IngressBackend) -> Option<(String, String)> {
    let service = backend.service.as_ref()?;
    let port = service.port.as_ref();
    let port =
        port.and_then(|p| p.name.clone().or_else(|| p.number.map(|n| n.to_string()))).unwrap_or_default();
    Some((service.name.clone(), port))
}
