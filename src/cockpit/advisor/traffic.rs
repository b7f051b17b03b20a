//! Routes: what was asked for, what is stored, what requests really got.

use crate::domain::latency::Endpoint;
use crate::domain::traffic::{RANDOM_PER_REQUEST, Route};
use crate::domain::{Now, Split, units};
use crate::shift::Shift;

use super::super::Model;
use super::super::errors::{Errors, errors};
use super::super::requests::{LATELY, Tally};
use super::{Findings, Severity, add};

/// Fewer answers than this do not contradict a weight.
const ANSWERS_NEEDED: u64 = 200;

pub(super) fn advise(model: &Model, now: Now, findings: &mut Findings) {
    for route in model.routes() {
        traps(route, findings);
        drift(model, route, findings);
    }
    share(model, findings);
    failures(model, now, findings);
    otlp(model, now, findings);
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

/// Real requests say more than probes; an address that is silent says most.
fn failures(model: &Model, now: Now, findings: &mut Findings) {
    for endpoint in [Endpoint::V2, Endpoint::V3, Endpoint::Public] {
        let known = errors(&model.history, endpoint, now.mono);
        let name = endpoint.word();
        let rate = |tally: Tally| tally.rate().unwrap_or_default() * 100.0;
        let (id, title) = if known.is_silent() {
            ("no-answer", format!("{name} does not answer"))
        } else if let Some(requests) = known.telling().filter(|_| known.requests_bad()) {
            ("request-errors", format!("{name} fails {:.0} % of its requests", rate(requests)))
        } else if known.rounds_bad() {
            ("probe-errors", format!("{name} fails {:.0} % of its probes", rate(known.rounds)))
        } else {
            continue;
        };
        let bad = endpoint != Endpoint::V2 && model.split() > Some(Split::V2);
        add(
            findings,
            id,
            if bad { Severity::Critical } else { Severity::Warning },
            title,
            evidence(model, endpoint, known),
            if bad {
                "hold, or roll back; then look at its pods and stores"
            } else {
                "look at its pods and stores"
            },
        );
    }
}

fn evidence(model: &Model, endpoint: Endpoint, known: Errors) -> String {
    let mut parts = Vec::new();
    if known.is_silent() {
        parts.push(format!("{} rounds in a row without an answer", known.silent));
    }
    parts.push(known.evidence());
    let kinds = &model.history.latency[endpoint as usize].errors;
    if !kinds.is_empty() {
        let kinds: Vec<_> = kinds.iter().map(|(kind, n)| format!("{n} x {kind}")).collect();
        parts.push(format!("probes since the start: {}", kinds.join(", ")));
    }
    parts.join("; ")
}

/// v2 has no route for OTLP, and such clients log a line at most: their traces are lost unseen (langfuse.md 10, row
/// 29).
fn otlp(model: &Model, now: Now, findings: &mut Findings) {
    let refused = model.history.requests.otlp_refused(LATELY, now.mono).unwrap_or_default();
    if refused == 0 {
        return;
    }
    add(
        findings,
        "otlp-to-v2",
        Severity::Warning,
        format!("v2 answers 404 to writes, as it does to OTLP: {} in 2 min", units::grouped(refused)),
        "by the ingress controller's counters of POST and 404; v2 has no /api/public/otel, where Python SDKs from \
         3.0 and JS SDKs from 4.0 on write to: those traces are lost",
        "keep clients on Python SDK 2 and JS SDK 3 until v2 is given up, or route /api/public/otel to v3 alone",
    );
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
