//! The routes in the document, each with its four weights.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cockpit::model::Model;
use crate::cockpit::share::Measured;
use crate::domain::Split;
use crate::domain::traffic::{Accepted, Backend, Route};

/// One route.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct RouteReport {
    /// The object whose weight moves ("Ingress langfuse/langfuse-canary").
    pub object: String,
    /// The mechanism.
    pub router: &'static str,
    /// "api", "otel", "ui", "all".
    pub group: &'static str,
    /// "host/path" of each rule.
    pub rules: Vec<String>,
    /// The v2 side.
    pub v2: BackendReport,
    /// The v3 side.
    pub v3: BackendReport,
    /// The four weights.
    pub weight: WeightReport,
    /// Who wrote the weight last.
    pub owner: Option<OwnerReport>,
    /// Header or cookie rules that beat the weight.
    pub pins: Vec<String>,
    /// Configurations that make the weight mean something else.
    pub traps: Vec<TrapReport>,
}

/// The weights of a route, per cent to v3.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct WeightReport {
    /// What the operator asked for.
    pub intended: Option<u8>,
    /// What the object says, as the controller reads it.
    pub stored: f64,
    /// The text in the object; null without one.
    pub raw: Option<String>,
    /// What the controller reports: "not reported", "yes", or its objection.
    pub accepted: String,
    /// What the weight can come to with the endpoints there are.
    pub effective: f64,
    /// What requests really got since the newest weight, over all routes.
    pub measured: Option<MeasuredReport>,
}

/// A measured share, per cent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct MeasuredReport {
    /// Share of v3.
    pub percent: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Answers it rests on.
    pub answers: u64,
    /// "controller" (real requests) or "probes".
    pub by: &'static str,
}

impl From<Measured> for MeasuredReport {
    fn from(m: Measured) -> Self {
        let percent = |share: f64| (share * 1e4).round() / 1e2;
        Self {
            percent: percent(m.share),
            low: percent(m.low),
            high: percent(m.high),
            answers: m.answers,
            by: if m.by_controller { "controller" } else { "probes" },
        }
    }
}

/// One side of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BackendReport {
    /// Service.
    pub service: String,
    /// Port.
    pub port: String,
    /// Ready endpoints.
    pub endpoints: Option<u32>,
}

impl From<&Backend> for BackendReport {
    fn from(b: &Backend) -> Self {
        Self { service: b.service.clone(), port: b.port.clone(), endpoints: b.endpoints }
    }
}

/// Who wrote a weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OwnerReport {
    /// The field manager.
    pub manager: String,
    /// "Apply" or "Update".
    pub operation: String,
    /// When.
    pub at: Option<Timestamp>,
}

/// A trap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TrapReport {
    /// Stable id.
    pub id: &'static str,
    /// What happens, and what to do.
    pub text: String,
    /// Whether a forward shift must not start over it.
    pub blocks: bool,
}

/// All routes, when they were read.
pub(super) fn routes(model: &Model) -> Option<Vec<RouteReport>> {
    let measured = model.history.share.measured().map(MeasuredReport::from);
    let intended = model.intended.map(Split::percent);
    let routes = model.facts.routes.value()?;
    Some(routes.iter().map(|r| route(r, intended, measured.clone())).collect())
}

fn route(route: &Route, intended: Option<u8>, measured: Option<MeasuredReport>) -> RouteReport {
    let accepted = match &route.accepted {
        Accepted::NotReported => "not reported".into(),
        Accepted::Yes => "yes".into(),
        Accepted::No(why) => why.clone(),
    };
    RouteReport {
        object: route.object.to_string(),
        router: route.router.name(),
        group: route.group.word(),
        rules: route.rules.clone(),
        v2: (&route.primary).into(),
        v3: (&route.canary).into(),
        weight: WeightReport {
            intended,
            stored: route.stored.percent(),
            raw: route.raw.clone(),
            accepted,
            effective: route.effective.percent(),
            measured,
        },
        owner: route.owner.as_ref().map(|o| OwnerReport {
            manager: o.manager.clone(),
            operation: o.operation.clone(),
            at: o.at,
        }),
        pins: route.pins.clone(),
        traps: route
            .traps
            .iter()
            .map(|t| TrapReport { id: t.id, text: t.text.clone(), blocks: t.blocks })
            .collect(),
    }
}
