//! Configurations that make a weight mean something else than it says, each with a stable id.
//! (Observed on ingress-nginx v1.15.1 and read in its source: canary annotations, controller.go, balancer.lua.)

use k8s_openapi::api::networking::v1::Ingress;

use super::pair::{Pair, Rule, annotations, name, rules};
use super::weight::{Annotations, Read, stored};
use super::{CONTROLLER, Seen};
use crate::domain::text::clean;
use crate::domain::traffic::{Backend, PathGroup, RANDOM_PER_REQUEST, Trap};
use crate::shift::patch::{CANARY, CANARY_WEIGHT};

const BY_HEADER: &str = "nginx.ingress.kubernetes.io/canary-by-header";
const BY_HEADER_VALUE: &str = "nginx.ingress.kubernetes.io/canary-by-header-value";
const BY_HEADER_PATTERN: &str = "nginx.ingress.kubernetes.io/canary-by-header-pattern";
const BY_COOKIE: &str = "nginx.ingress.kubernetes.io/canary-by-cookie";
const AFFINITY: &str = "nginx.ingress.kubernetes.io/affinity";
const AFFINITY_CANARY: &str = "nginx.ingress.kubernetes.io/affinity-canary-behavior";

/// Header and cookie rules that beat the weight, in words.
pub(super) fn pins(annotations: &Annotations) -> Vec<String> {
    let get = |key: &str| annotations.get(key).map(|text| clean(text)).filter(|text| !text.is_empty());
    let mut out = Vec::new();
    if let Some(header) = get(BY_HEADER) {
        out.push(match (get(BY_HEADER_VALUE), get(BY_HEADER_PATTERN)) {
            (Some(value), _) => format!("header {header}: {value} goes to v3"),
            (None, Some(pattern)) => format!("header {header} matching {pattern} goes to v3"),
            (None, None) => format!("header {header}: always goes to v3, never to v2"),
        });
    }
    if let Some(cookie) = get(BY_COOKIE) {
        out.push(format!("cookie {cookie}=always goes to v3, =never to v2"));
    }
    out
}

/// Every trap of one pair.
pub(super) fn of(
    pair: &Pair<'_>,
    mains: &[&Ingress],
    seen: &Seen,
    primary: &Backend,
    canary: &Backend,
    group: PathGroup,
) -> Vec<Trap> {
    let mut traps = Vec::new();
    matching(pair, &mut traps);
    endpoints(primary, canary, &mut traps);
    sharing(pair, mains, &mut traps);
    weights(pair.annotations, &mut traps);
    header_rules(pair.annotations, &mut traps);
    stickiness(pair, group, &mut traps);
    class(pair.canary, seen, &mut traps);
    traps.extend(seen.troubles.iter().map(|trouble| trap("unread", false, trouble.to_string())));
    traps
}

fn trap(id: &'static str, blocks: bool, text: impl AsRef<str>) -> Trap {
    Trap { id, text: clean(text.as_ref()), blocks }
}

fn list(rules: &[Rule]) -> String {
    rules.iter().map(|r| format!("{}{} ({})", r.host, r.path, r.path_type)).collect::<Vec<_>>().join(", ")
}

fn matching(pair: &Pair<'_>, traps: &mut Vec<Trap>) {
    if pair.matched.is_empty() {
        traps.push(trap("no-primary", true, format!(
            "no main Ingress has the same host, path and pathType as {}: the canary is ignored, and where no \
             other Ingress serves it the answer is 404", list(&pair.unmatched))));
    } else if !pair.lost.is_empty() {
        traps.push(trap("canary-deleted", true, format!(
            "no main Ingress has {}, on a host that there is: for that the controller takes the v3 Service away from \
             every rule, and all goes to v2 whatever the weight; remove the rule, or give it a main one", list(&pair.lost))));
    } else if !pair.unmatched.is_empty() {
        traps.push(trap(
            "rule-without-primary",
            false,
            format!("no main Ingress has {}: the canary does nothing there", list(&pair.unmatched)),
        ));
    }
    if !pair.ignored.is_empty() {
        traps.push(trap(
            "second-canary",
            false,
            format!(
                "the controller ignores a second canary for the same rules: {}; delete it",
                pair.ignored.join(", ")
            ),
        ));
    }
}

fn endpoints(primary: &Backend, canary: &Backend, traps: &mut Vec<Trap>) {
    if canary.endpoints == Some(0) {
        traps.push(trap("canary-no-endpoints", true, format!(
            "Service {} has no ready endpoint: everything goes to v2 whatever the weight, without any error; \
             look at its pods", canary.service)));
    }
    if primary.endpoints == Some(0) {
        traps.push(trap("primary-no-endpoints", true, format!(
            "Service {} has no ready endpoint: the controller answers 503 for everything, v3's share included, \
             even at 100 %; never stop v2 before the main Ingress leads to v3", primary.service)));
    }
}

fn sharing(pair: &Pair<'_>, mains: &[&Ingress], traps: &mut Vec<Trap>) {
    let (mut also, mut reversed) = (Vec::new(), Vec::new());
    for main in mains {
        for (rule, to) in rules(main) {
            if to.is_some() && to == pair.primary && !pair.matched.contains(&rule) {
                also.push(rule.clone());
            }
            let same_service = |a: &Option<(String, String)>, b: &Option<(String, String)>| {
                a.as_ref().zip(b.as_ref()).is_some_and(|(a, b)| a.0 == b.0)
            };
            if same_service(&to, &pair.backend) {
                reversed.push(format!("{} {}{}", name(main), rule.host, rule.path));
            }
        }
    }
    if !also.is_empty() {
        traps.push(trap("shared-primary-service", false, format!(
            "{} lead to the same v2 Service and are shifted with it; give each path group a Service of its own",
            list(&also))));
    }
    if !reversed.is_empty() {
        traps.push(trap("canary-service-is-primary", true, format!(
            "the v3 Service is the main backend of {}: the controller then ignores the canary (\"alternative \
             upstream is primary\"); use a Service of its own for the canary", reversed.join(", "))));
    }
}

fn weights(annotations: &Annotations, traps: &mut Vec<Trap>) {
    let raw = annotations.get(CANARY_WEIGHT).map_or("", String::as_str);
    let (weight, read) = stored(annotations);
    match read {
        Read::Plain => {}
        Read::Invalid => traps.push(trap(
            "weight-invalid",
            false,
            format!("canary-weight \"{raw}\" is not an integer: the controller reads 0 and only logs it"),
        )),
        Read::Clamped => traps.push(trap(
            "weight-clamped",
            false,
            format!(
                "canary-weight \"{raw}\" is out of range: the controller uses {} of {}",
                weight.value, weight.total
            ),
        )),
    }
    if let Some(text) = annotations.get(CANARY).filter(|text| text.as_str() != "true") {
        traps.push(trap("canary-spelling", false, format!(
            "annotation canary is \"{text}\": ingress-nginx takes it for true, as any spelling that Go takes; write \
             \"true\", as its documentation does")));
    }
}

fn header_rules(annotations: &Annotations, traps: &mut Vec<Trap>) {
    let value = annotations.get(BY_HEADER_VALUE).filter(|v| !v.is_empty());
    let pattern = annotations.get(BY_HEADER_PATTERN).filter(|p| !p.is_empty());
    if annotations.get(BY_HEADER).is_none_or(String::is_empty) {
        return;
    }
    let broken = |id, text: &str| {
        trap(
            id,
            false,
            format!(
                "\"{text}\" has characters the controller does not take: it drops the rule with a log line, and the \
             header's values always and never work instead"
            ),
        )
    };
    if let Some(value) = value
        && !value.chars().all(|c| c.is_ascii_alphanumeric() || "-._~/: ".contains(c))
    {
        traps.push(broken("header-value-invalid", value));
    }
    if let Some(pattern) = pattern
        && !pattern.chars().all(|c| c.is_ascii_alphanumeric() || "/-._~:^$[](){}*+?|&=\\".contains(c))
    {
        traps.push(broken("header-pattern-invalid", pattern));
    }
    if (value.is_some() || pattern.is_some()) && stored(annotations).0.value > 0 {
        traps.push(trap(
            "cohort-falls-through",
            false,
            "a request whose header does not match falls through to the weight: a pure cohort needs weight 0",
        ));
    }
}

fn stickiness(pair: &Pair<'_>, group: PathGroup, traps: &mut Vec<Trap>) {
    let sticky = pair.mains.iter().any(|main| {
        let get = |key: &str| annotations(main).and_then(|a| a.get(key)).map(String::as_str);
        get(AFFINITY) == Some("cookie") && get(AFFINITY_CANARY) != Some("legacy")
    });
    if sticky {
        traps.push(trap("sticky-clients", false,
            "cookie affinity: clients that were given a side stay there, and the weight counts for new ones only"));
    } else if matches!(group, PathGroup::All | PathGroup::Ui) {
        traps.push(trap(RANDOM_PER_REQUEST, false,
            "the side is drawn anew for every request and never changed by a retry: one page, and one trace, can \
             get parts from both versions"));
    }
}

fn class(canary: &Ingress, seen: &Seen, traps: &mut Vec<Trap>) {
    let of_spec = canary.spec.as_ref().and_then(|s| s.ingress_class_name.clone());
    let of_annotation = || annotations(canary).and_then(|a| a.get("kubernetes.io/ingress.class").cloned());
    let (Some(class), Some(classes)) = (of_spec.or_else(of_annotation), &seen.classes) else {
        return;
    };
    if let Some(controller) = classes.get(&class).filter(|c| c.as_str() != CONTROLLER) {
        traps.push(trap("other-controller", false, format!(
            "class {class} belongs to controller {controller}, which may read the canary annotations differently")));
    }
}
