//! The columns of `kubectl get` for each kind.
//!
//! Source: `pkg/printers/internalversion/printers.go` of Kubernetes.

use serde_json::{Value, json};

use super::clock_text::age;
use super::objects::{at, items, meta, number, text};
use super::resources::Kind;

/// One column: its heading, whether only `-o wide` shows it, and how its cell is read.
pub(super) struct Column {
    pub name: &'static str,
    pub wide: bool,
    pub number: bool,
    pub cell: fn(&Value) -> Value,
}

const fn column(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, wide: false, number: false, cell }
}

const fn count(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, wide: false, number: true, cell }
}

const fn wide(name: &'static str, cell: fn(&Value) -> Value) -> Column {
    Column { name, wide: true, number: false, cell }
}

/// The columns of a kind.
pub(super) fn of(kind: &Kind) -> &'static [Column] {
    match kind.kind {
        "Pod" => PODS,
        "Deployment" => DEPLOYMENTS,
        "StatefulSet" => STATEFUL_SETS,
        "ReplicaSet" => REPLICA_SETS,
        "Service" => SERVICES,
        "Ingress" => INGRESSES,
        "IngressClass" => INGRESS_CLASSES,
        "Event" => EVENTS,
        "Namespace" => NAMESPACES,
        "Node" => NODES,
        "ConfigMap" => CONFIG_MAPS,
        "Secret" => SECRETS,
        "Lease" => LEASES,
        "EndpointSlice" => ENDPOINT_SLICES,
        _ => PLAIN,
    }
}

const NAME: Column = column("Name", |o| json!(meta(o, "name")));
const AGE: Column = column("Age", |o| json!(age(meta(o, "creationTimestamp"))));
const CONTAINERS: Column = wide("Containers", |o| json!(of_containers(o, "name")));
const IMAGES: Column = wide("Images", |o| json!(of_containers(o, "image")));
const SELECTOR: Column = wide("Selector", |o| json!(pairs(at(o, &["spec", "selector", "matchLabels"]))));

static PLAIN: &[Column] = &[NAME, AGE];
static PODS: &[Column] = &[
    NAME,
    column("Ready", |o| {
        let ready = items(o, &["status", "containerStatuses"]).iter().filter(|c| c["ready"] == true).count();
        json!(format!("{ready}/{}", items(o, &["spec", "containers"]).len()))
    }),
    column("Status", |o| json!(pod_status(o))),
    column("Restarts", |o| {
        let statuses = items(o, &["status", "containerStatuses"]);
        json!(statuses.iter().map(|c| number(c, &["restartCount"])).sum::<i64>().to_string())
    }),
    AGE,
    wide("IP", |o| json!(or_none(text(o, &["status", "podIP"])))),
    wide("Node", |o| json!(or_none(text(o, &["spec", "nodeName"])))),
    wide("Nominated Node", |o| json!(or_none(text(o, &["status", "nominatedNodeName"])))),
    wide("Readiness Gates", |_| json!("<none>")),
];
static DEPLOYMENTS: &[Column] = &[
    NAME,
    column("Ready", |o| json!(ready(o))),
    column("Up-to-date", |o| json!(number(o, &["status", "updatedReplicas"]))),
    column("Available", |o| json!(number(o, &["status", "availableReplicas"]))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
static STATEFUL_SETS: &[Column] = &[NAME, column("Ready", |o| json!(ready(o))), AGE, CONTAINERS, IMAGES];
static REPLICA_SETS: &[Column] = &[
    NAME,
    count("Desired", |o| json!(number(o, &["spec", "replicas"]))),
    count("Current", |o| json!(number(o, &["status", "replicas"]))),
    count("Ready", |o| json!(number(o, &["status", "readyReplicas"]))),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];
static SERVICES: &[Column] = &[
    NAME,
    column("Type", |o| json!(text(o, &["spec", "type"]))),
    column("Cluster-IP", |o| json!(or_none(text(o, &["spec", "clusterIP"])))),
    column("External-IP", |o| json!(or_none(text(o, &["spec", "externalName"])))),
    column("Port(s)", |o| {
        let shown: Vec<String> = items(o, &["spec", "ports"])
            .iter()
            .map(|port| format!("{}/{}", number(port, &["port"]), text(port, &["protocol"])))
            .collect();
        json!(or_none(&shown.join(",")))
    }),
    AGE,
    wide("Selector", |o| json!(pairs(at(o, &["spec", "selector"])))),
];
static INGRESSES: &[Column] = &[
    NAME,
    column("Class", |o| json!(or_none(text(o, &["spec", "ingressClassName"])))),
    column("Hosts", |o| {
        let hosts: Vec<&str> =
            items(o, &["spec", "rules"]).iter().map(|rule| text(rule, &["host"])).collect();
        let named: Vec<&str> = hosts.iter().copied().filter(|host| !host.is_empty()).collect();
        json!(if named.is_empty() { "*".to_owned() } else { named.join(",") })
    }),
    column("Address", |o| {
        let points = items(o, &["status", "loadBalancer", "ingress"]);
        let shown: Vec<&str> = points
            .iter()
            .map(|point| {
                if text(point, &["ip"]).is_empty() {
                    text(point, &["hostname"])
                } else {
                    text(point, &["ip"])
                }
            })
            .collect();
        json!(shown.join(","))
    }),
    column("Ports", |o| json!(if items(o, &["spec", "tls"]).is_empty() { "80" } else { "80, 443" })),
    AGE,
];
static INGRESS_CLASSES: &[Column] = &[
    NAME,
    column("Controller", |o| json!(text(o, &["spec", "controller"]))),
    column("Parameters", |o| json!(or_none(text(o, &["spec", "parameters", "name"])))),
    AGE,
];
static EVENTS: &[Column] = &[
    column("Last Seen", |o| json!(age(last_seen(o)))),
    column("Type", |o| json!(text(o, &["type"]))),
    column("Reason", |o| json!(text(o, &["reason"]))),
    column("Object", |o| {
        json!(format!("{}/{}", text(about(o), &["kind"]).to_lowercase(), text(about(o), &["name"])))
    }),
    wide("Subobject", |o| json!(text(about(o), &["fieldPath"]))),
    wide("Source", |o| json!(event_source(o))),
    column("Message", |o| {
        let message = if o.get("note").is_some() { text(o, &["note"]) } else { text(o, &["message"]) };
        json!(message.trim())
    }),
    wide("First Seen", |o| json!(age(first_seen(o)))),
    wide("Count", |o| json!(number(o, &["count"]).max(1))),
    wide("Name", |o| json!(meta(o, "name"))),
];
static NAMESPACES: &[Column] = &[NAME, column("Status", |o| json!(text(o, &["status", "phase"]))), AGE];
static NODES: &[Column] = &[
    NAME,
    column("Status", |o| {
        let conditions = items(o, &["status", "conditions"]);
        let ready = conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
        json!(if ready { "Ready" } else { "NotReady" })
    }),
    column("Roles", |_| json!("<none>")),
    AGE,
    column("Version", |o| json!(text(o, &["status", "nodeInfo", "kubeletVersion"]))),
];
static CONFIG_MAPS: &[Column] =
    &[NAME, column("Data", |o| json!(size(o, "data") + size(o, "binaryData"))), AGE];
static SECRETS: &[Column] =
    &[NAME, column("Type", |o| json!(text(o, &["type"]))), column("Data", |o| json!(size(o, "data"))), AGE];
static LEASES: &[Column] = &[NAME, column("Holder", |o| json!(text(o, &["spec", "holderIdentity"]))), AGE];
static ENDPOINT_SLICES: &[Column] = &[
    NAME,
    column("AddressType", |o| json!(text(o, &["addressType"]))),
    column("Ports", |o| {
        let ports: Vec<String> =
            items(o, &["ports"]).iter().map(|p| number(p, &["port"]).to_string()).collect();
        json!(if ports.is_empty() { "<unset>".to_owned() } else { ports.join(",") })
    }),
    column("Endpoints", |o| {
        let points: Vec<&str> = items(o, &["endpoints"])
            .iter()
            .flat_map(|point| items(point, &["addresses"]).iter().filter_map(Value::as_str))
            .collect();
        json!(if points.is_empty() { "<unset>".to_owned() } else { points.join(",") })
    }),
    AGE,
];

fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

fn ready(object: &Value) -> String {
    format!("{}/{}", number(object, &["status", "readyReplicas"]), number(object, &["spec", "replicas"]))
}

fn size(object: &Value, key: &str) -> usize {
    object.get(key).and_then(Value::as_object).map_or(0, serde_json::Map::len)
}

fn of_containers(object: &Value, key: &str) -> String {
    let list = items(object, &["spec", "template", "spec", "containers"]);
    list.iter().map(|container| text(container, &[key])).collect::<Vec<_>>().join(",")
}

fn pairs(labels: Option<&Value>) -> String {
    let labels = labels.and_then(Value::as_object).into_iter().flatten();
    let mut shown: Vec<String> =
        labels.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    shown.sort();
    or_none(&shown.join(",")).to_owned()
}

/// What an event is about.
fn about(event: &Value) -> &Value {
    event.get("involvedObject").or_else(|| event.get("regarding")).unwrap_or(&Value::Null)
}

/// The first of some fields that says anything.
fn first_of<'a>(object: &'a Value, paths: &[&[&str]]) -> &'a str {
    paths.iter().map(|path| text(object, path)).find(|found| !found.is_empty()).unwrap_or_default()
}

fn event_source(event: &Value) -> String {
    let component = [
        &["source", "component"][..],
        &["deprecatedSource", "component"],
        &["reportingComponent"],
        &["reportingController"],
    ];
    let instance = [&["source", "host"][..], &["deprecatedSource", "host"], &["reportingInstance"]];
    let (component, instance) = (first_of(event, &component), first_of(event, &instance));
    if instance.is_empty() { component.to_owned() } else { format!("{component}, {instance}") }
}

fn first_seen(event: &Value) -> &str {
    first_of(event, &[&["firstTimestamp"], &["deprecatedFirstTimestamp"], &["eventTime"]])
}

fn last_seen(event: &Value) -> &str {
    let times = [
        text(event, &["series", "lastObservedTime"]),
        text(event, &["lastTimestamp"]),
        text(event, &["deprecatedLastTimestamp"]),
        text(event, &["eventTime"]),
        meta(event, "creationTimestamp"),
    ];
    times.into_iter().find(|time| !time.is_empty()).unwrap_or_default()
}

/// What a pod's status column says: the reason of a waiting or ended container beats the phase.
fn pod_status(pod: &Value) -> String {
    if !meta(pod, "deletionTimestamp").is_empty() {
        return "Terminating".into();
    }
    let reason = text(pod, &["status", "reason"]);
    let mut shown = if reason.is_empty() { text(pod, &["status", "phase"]) } else { reason };
    for status in items(pod, &["status", "containerStatuses"]).iter().rev() {
        for state in ["waiting", "terminated"] {
            let reason = text(status, &["state", state, "reason"]);
            if !reason.is_empty() {
                shown = reason;
            }
        }
    }
    shown.into()
}
