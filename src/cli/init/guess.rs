//! What the workloads, Services and Ingresses come to: which is which, and where each part is reached.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt;

use super::draft::{Draft, Sure, quoted};
use super::env::Found;
use super::look::{Seen, Workload};
use super::stores::Stores;
use crate::clients::target::KubeTarget;
use crate::runtime::session;
use crate::shift::patch::CANARY;

/// What a workload of Langfuse is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    V2,
    Web,
    Worker,
}

/// The whole file.
pub(super) fn draft(target: &KubeTarget, namespace: &str, seen: &Seen) -> Draft {
    let mut draft = Draft::default();
    draft.comment(format!(
        "cutover.toml, written by `cutover init` from what stands in the namespace {namespace}."
    ));
    draft.comment(
        "Every key is explained in assets/cutover.sample.toml; `cutover config check` says what it comes to.",
    );
    for workload in seen.workloads.iter().filter(|w| is_langfuse(w)) {
        let what = part(workload).map_or("Langfuse of a version that nothing says", word);
        draft.comment(format!("{}: {what}, {}", workload.object, workload.image));
    }
    head(&mut draft, target, namespace);
    traffic(&mut draft, seen);
    strategy(&mut draft, seen);
    let of = |wanted| seen.workloads.iter().filter(move |w| part(w) == Some(wanted));
    langfuse(&mut draft, "v2", &of(Part::V2).collect::<Vec<_>>(), seen);
    langfuse(&mut draft, "v3", &of(Part::Web).collect::<Vec<_>>(), seen);
    public(&mut draft, seen);
    draft.section("probe");
    draft.missing("public_key", "make a project for canary traces in Langfuse and write its keys here");
    let any = [Part::Web, Part::Worker, Part::V2].into_iter().find_map(|part| of(part).next());
    if let Some(workload) = any {
        Stores::new(workload, seen, namespace).draft(&mut draft);
    } else {
        draft.section("postgres");
        draft.missing("url", "no workload of Langfuse was found by its labels or its image");
    }
    draft
}

const fn word(part: Part) -> &'static str {
    match part {
        Part::V2 => "Langfuse v2",
        Part::Web => "Langfuse v3 web",
        Part::Worker => "Langfuse v3 worker",
    }
}

/// By its image's name or the chart's label.
fn is_langfuse(workload: &Workload) -> bool {
    let image = workload.image.split('@').next().unwrap_or_default();
    let name = image.rsplit('/').next().and_then(|last| last.split(':').next()).unwrap_or_default();
    let label = workload.labels.get("app.kubernetes.io/name");
    name.contains("langfuse") || label.is_some_and(|label| label == "langfuse")
}

/// By image and tag, then by the chart's labels (langfuse-k8s: `app=web|worker`, component likewise).
fn part(workload: &Workload) -> Option<Part> {
    let path = workload.image.split('@').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let (name, tag) = last.split_once(':').unwrap_or((last, ""));
    let labels = |key: &str| workload.labels.get(key).map(String::as_str);
    let component = labels("app.kubernetes.io/component").or_else(|| labels("app"));
    match (name.contains("worker"), component) {
        _ if !is_langfuse(workload) => None,
        (true, _) | (_, Some("worker")) => Some(Part::Worker),
        _ if tag == "2" || tag.starts_with("2.") || tag.starts_with("v2") => Some(Part::V2),
        (_, Some("web")) => Some(Part::Web),
        _ if tag == "3" || tag.starts_with("3.") || tag.starts_with("v3") => Some(Part::Web),
        _ => None,
    }
}

fn head(draft: &mut Draft, target: &KubeTarget, namespace: &str) {
    draft.section("environment");
    draft.text(
        "name",
        namespace,
        Sure::Guessed,
        "the namespace's name; production = true says PROD on the screen",
    );
    draft.section("kubernetes");
    if let Some(file) = &target.kubeconfig {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        draft.text("kubeconfig", &file.to_string_lossy(), Sure::Found, "as this run was told");
    }
    match &target.context {
        Some(context) => draft.text("context", context, Sure::Found, "as this run was told"),
        // Written down, so that a later `kubectl config use-context` does not point this file at another cluster.
        None => match session::place(target).0.as_str() {
            "" => {}
            context => draft.text("context", context, Sure::Found, "the kubeconfig's current context"),
        },
    }
    draft.text("namespace", namespace, Sure::Found, "the namespace that was looked at");
}

/// The canary Ingresses (ingress-nginx documentation, "Canary").
fn traffic(draft: &mut Draft, seen: &Seen) {
    draft.section("traffic");
    let names: Vec<_> = seen.ingresses.iter().filter(|i| is_canary(i)).map(ResourceExt::name_any).collect();
    if names.is_empty() {
        draft.missing(
            "ingresses",
            format!("no Ingress has {CANARY}: a pair must be made before traffic can move"),
        );
        return;
    }
    let list: Vec<_> = names.iter().map(|n| quoted(n)).collect();
    draft.raw(
        "ingresses",
        format!("[{}]", list.join(", ")),
        Sure::Found,
        "Ingresses with the canary annotation",
    );
}

/// The order of shift and backfill, as the worker is set up: it runs the background migrations unless this variable
/// says no (langfuse.com, "Background migrations").
fn strategy(draft: &mut Draft, seen: &Seen) {
    const SWITCH: &str = "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS";
    let worker = seen.workloads.iter().find(|w| part(w) == Some(Part::Worker));
    let (order, from) = match worker.map(|w| (w, w.env.get(SWITCH))) {
        Some((w, Some(Found::Text(value)))) if value.eq_ignore_ascii_case("false") => {
            ("shift-first", format!("{SWITCH} is false on {}: the history waits", w.object))
        }
        Some((w, Some(Found::Text(value)))) => {
            ("backfill-first", format!("{SWITCH} is {value} on {}: the history is copied already", w.object))
        }
        Some((w, None)) => (
            "backfill-first",
            format!("{SWITCH} is not set on {}, which means true: the history is copied already", w.object),
        ),
        _ => ("shift-first", format!("Langfuse's documented order; no worker says otherwise by {SWITCH}")),
    };
    draft.text("strategy", order, Sure::Guessed, from);
}

fn is_canary(ingress: &Ingress) -> bool {
    ingress.annotations().get(CANARY).is_some_and(|v| v.eq_ignore_ascii_case("true"))
}

/// The Service whose selector matches the pods of a candidate. Where there are several, the first that has a Service
/// is taken, and the others are named: which of them the clients use is for the operator to say.
fn langfuse(draft: &mut Draft, section: &'static str, candidates: &[&Workload], seen: &Seen) {
    draft.section(section);
    if candidates.is_empty() {
        draft.missing("url", nobody(section, seen));
        return;
    }
    let reached = |w: &Workload| seen.services.iter().find_map(|s| Some((s.name_any(), port_for(s, w)?)));
    let names = |but: Option<&Workload>| {
        let others = candidates.iter().filter(|w| but.is_none_or(|but| but.object != w.object));
        others.map(|w| w.object.as_str()).collect::<Vec<_>>().join(", ")
    };
    let Some((workload, (name, port))) = candidates.iter().find_map(|w| Some((*w, reached(w)?))) else {
        draft.missing("service", format!("no Service selects the pods of {}", names(None)));
        return;
    };
    let from = format!("Service {name} selects the pods of {}", workload.object);
    let (sure, from) = match names(Some(workload)).as_str() {
        "" => (Sure::Found, from),
        others => {
            (Sure::Guessed, format!("{from}; it may be {others} as well: write the one that clients use"))
        }
    };
    draft.text("service", &format!("{name}:{port}"), sure, from);
}

/// Why a section has no address, with the workloads that may be meant.
fn nobody(section: &str, seen: &Seen) -> String {
    let why = match section {
        "v2" => "no workload of Langfuse v2 is in the namespace; write its address where it runs elsewhere",
        _ => "no workload of Langfuse v3 web was found by its labels or its image",
    };
    let unsure = seen.workloads.iter().filter(|w| is_langfuse(w) && part(w).is_none());
    let unsure: Vec<_> = unsure.map(|w| format!("{} ({})", w.object, w.image)).collect();
    if unsure.is_empty() {
        return why.to_owned();
    }
    format!("{why}; nothing says the version of {}", unsure.join(", "))
}

fn port_for(service: &Service, workload: &Workload) -> Option<i32> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|s| !s.is_empty())?;
    let matches = selector.iter().all(|(k, v)| workload.labels.get(k) == Some(v));
    matches.then(|| spec.ports.as_ref()?.first().map(|p| p.port))?
}

/// The host of the Ingress beside the canary, or of any. Only Langfuse's own variable knows a port: an Ingress does
/// not say where its controller listens.
fn public(draft: &mut Draft, seen: &Seen) {
    draft.section("public");
    let canary = seen.ingresses.iter().find(|i| is_canary(i));
    let wanted = canary.and_then(host);
    let main =
        seen.ingresses.iter().filter(|i| !is_canary(i)).find(|i| wanted.is_none() || host(i) == wanted);
    let Some((ingress, host)) = main.or(canary).and_then(|i| Some((i, host(i)?))) else {
        draft.missing("url", "no Ingress names a host; write the address that clients use");
        return;
    };
    if let Some((url, object)) = own_url(seen, &host) {
        draft.text(
            "url",
            &url,
            Sure::Found,
            format!("NEXTAUTH_URL of {object}, the host of Ingress {}", ingress.name_any()),
        );
        return;
    }
    let tls = ingress.spec.as_ref().and_then(|s| s.tls.as_ref()).is_some_and(|t| !t.is_empty());
    let scheme = if tls { "https" } else { "http" };
    let port = if tls { 443 } else { 80 };
    let from = format!(
        "the host of Ingress {}, at port {port}: write the port where clients use another",
        ingress.name_any()
    );
    draft.text("url", &format!("{scheme}://{host}"), Sure::Guessed, from);
}

/// What Langfuse is told its own address is, where that is this host.
fn own_url(seen: &Seen, host: &str) -> Option<(String, String)> {
    seen.workloads.iter().filter(|w| part(w).is_some()).find_map(|w| match w.env.get("NEXTAUTH_URL")? {
        Found::Text(text) => {
            let url = reqwest::Url::parse(text).ok()?;
            let ours = url.host_str() == Some(host) && matches!(url.scheme(), "http" | "https");
            ours.then(|| (url.origin().ascii_serialization(), w.object.clone()))
        }
        Found::Secret(_) | Found::Maybe(_) => None,
    })
}

fn host(ingress: &Ingress) -> Option<String> {
    ingress.spec.as_ref()?.rules.as_ref()?.iter().find_map(|r| r.host.clone())
}
