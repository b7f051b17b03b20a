//! Routes: what was asked for, what is stored, what requests really got.

use crate::domain::latency::Endpoint;
use crate::domain::traffic::{RANDOM_PER_REQUEST, Route};
use crate::domain::{Now, Split};
use crate::shift::Shift;

use super::super::Model;
use super::{Findings, Severity, add};

/// Fewer answers than this do not contradict a weight.
const ANSWERS_NEEDED: u64 = 200;

pub(super) fn advise(model: &Model, _: Now, findings: &mut Findings) {
    for route in model.routes() {
        traps(route, findings);
        drift(model, route, findings);
    }
    share(model, findings);
    errors(model, findings);
    keep_v2(model, findings);
}

fn traps(route: &Route, findings: &mut Findings) {
    for trap in &route.traps {
        let (severity, remedy) = match (trap.blocks, trap.id) {
            (true, _) => (Severity::Critical, "mend it before the next step"),
            (false, RANDOM_PER_REQUEST) => {
                (Severity::Info, "so it is with every random split; keep the steps short")
            }
            (false, _) => (Severity::Warning, "mend it before the next step"),
        };
        add(findings, trap.id, severity, trap.text.clone(), route.object.to_string(), remedy);
    }
}

fn drift(model: &Model, route: &Route, findings: &mut Findings) {
    let Some(intended) = model.intended else { return };
    // While a write's outcome is not known, the difference may be our own.
    let ours = model.shift.in_flight() || matches!(model.shift, Shift::Unknown { .. });
    if route.stored.is(intended) || ours {
        return;
    }
    let owner = route.owner.as_ref();
    let who = owner.map_or("an unknown writer", |o| o.manager.as_str());
    add(
        findings,
        "weight-drift",
        Severity::Critical,
        format!("{} stands at {:.1} %, {intended} was asked for", route.object.name, route.stored.percent()),
        format!(
            "field manager {who}{}",
            owner.and_then(|o| o.at).map(|t| format!(" at {t:.0}")).unwrap_or_default()
        ),
        "stop that writer (GitOps: ignoreDifferences, or suspend the app), then shift again or roll back",
    );
}

/// A weight that is stored and not served is the oldest trap of this trade.
fn share(model: &Model, findings: &mut Findings) {
    let (Some(measured), Some(route)) = (model.history.share.measured(), model.routes().first()) else {
        return;
    };
    let stored = route.stored.percent() / 100.0;
    if measured.answers < ANSWERS_NEEDED || !route.pins.is_empty() {
        return;
    }
    if stored < measured.low || stored > measured.high {
        let by = if measured.by_controller { "requests by the controller's counters" } else { "probes" };
        add(
            findings,
            "share-differs",
            Severity::Warning,
            format!("requests got {:.1} % on v3, {:.1} % is stored", measured.share * 100.0, stored * 100.0),
            format!(
                "{} {by}, 95 % interval {:.1} to {:.1} %",
                measured.answers,
                measured.low * 100.0,
                measured.high * 100.0
            ),
            "look at endpoints of both Services, sticky cookies, header pins, and other Ingresses of the host",
        );
    }
}

fn errors(model: &Model, findings: &mut Findings) {
    for endpoint in [Endpoint::V2, Endpoint::V3, Endpoint::Public] {
        let latency = &model.history.latency[endpoint as usize];
        let recent = &latency.recent;
        let Some(rate) = recent.error_rate().filter(|r| *r > super::super::guards::ERRORS_BLOCK) else {
            continue;
        };
        let kinds: Vec<_> = latency.errors.iter().map(|(kind, n)| format!("{n} x {kind}")).collect();
        let bad = endpoint != Endpoint::V2 && model.split() > Some(Split::V2);
        add(
            findings,
            "probe-errors",
            if bad { Severity::Critical } else { Severity::Warning },
            format!("{} fails {:.0} % of its probes", endpoint.word(), rate * 100.0),
            format!("{} of the last {} rounds; {}", recent.failed(), recent.rounds(), kinds.join(", ")),
            if bad {
                "hold, or roll back; then look at its pods and stores"
            } else {
                "look at its pods and stores"
            },
        );
    }
}

/// ingress-nginx answers 503 when the main Ingress has no endpoints, whatever the canary's weight.
fn keep_v2(model: &Model, findings: &mut Findings) {
    if model.split() != Some(Split::V3) {
        return;
    }
    let Some(route) = model.routes().first() else {
        return;
    };
    add(
        findings,
        "keep-v2",
        Severity::Info,
        "v2 must not be stopped yet",
        format!("{} is still the main backend of {}", route.primary.service, route.rules.join(", ")),
        "point the main Ingress at v3 first: a main backend without endpoints is a 503 even at 100 %",
    );
}
