//! A plan: the patches a move would send, with what it rests on. A value, made once.

use std::fmt;
use std::time::Duration;

use crate::domain::Split;
use crate::domain::traffic::Route;
use crate::domain::units::{Count, span};

use super::patch::Patch;

/// Names one operation across effects, answers and the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op-{}", self.0)
    }
}

/// Why traffic is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// More or less to v3, by an operator's number.
    Shift,
    /// Back to the last safe split.
    Rollback,
}

impl Intent {
    /// The word in journal and log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shift => "shift",
            Self::Rollback => "rollback",
        }
    }
}

/// Rows that `cutover restore` writes in a second: 70 000 rows of 1 KB took 17 s, on two cores that both servers and
/// others shared.
const RESTORED_PER_SECOND: f64 = 4000.0;

/// Rows that v3 accepted and v2 cannot see, or sees as they were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct V3Only {
    /// Traces; `None` when it could not be counted.
    pub traces: Option<Count>,
    /// Observations.
    pub observations: Option<Count>,
    /// Scores.
    pub scores: Option<Count>,
    /// More of all three that v3 wrote and PostgreSQL has as well: v2 may have them older.
    pub shared: Option<Count>,
    /// What is known to be in the way of `cutover restore`.
    pub hindered: Option<Hindrance>,
}

/// What v3's migrations took from PostgreSQL that the way back needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hindrance {
    /// The two views that v2 reads; they can be made again.
    Views,
    /// Something that the verb does not go without: what it would say, in one sentence.
    Refused(String),
}

impl V3Only {
    /// "12 traces, ~30 observations, - scores exist only in v3; 5 more that v2 has were written by v3 as well".
    pub fn sentence(&self) -> String {
        let text = |c: Option<Count>| c.map_or_else(|| "-".into(), Count::text);
        let more = match self.shared {
            Some(none) if none == Count::exact(0) => String::new(),
            shared => format!("; {} more that v2 has were written by v3 as well", text(shared)),
        };
        format!(
            "{} traces, {} observations, {} scores exist only in v3{more}",
            text(self.traces),
            text(self.observations),
            text(self.scores)
        )
    }

    /// "1 317 traces, … exist only in v3; `cutover restore` writes them back (~2s)": the same with the way back,
    /// where there is something to write. The time is left out when one of the counts is not known.
    pub fn offer(&self) -> String {
        if !self.any() {
            return self.sentence();
        }
        // What v2 has as new is not written again: nobody knows yet how much of it that is.
        let (writes, most) = match self.shared {
            Some(none) if none.value == 0 => ("writes them back", ""),
            _ => ("writes back what v2 lacks or has older", "at most "),
        };
        let first = match &self.hindered {
            Some(Hindrance::Refused(why)) => return format!("{}; {why}", self.sentence()),
            Some(Hindrance::Views) => " after `cutover restore --views --yes`: v2's views are gone",
            None => "",
        };
        let rows: Option<u64> = self.counts().into_iter().map(|c| c.map(|c| c.value)).sum();
        let time = rows.and_then(|rows| Duration::try_from_secs_f64(rows as f64 / RESTORED_PER_SECOND).ok());
        let time = time.map(|time| format!(" ({most}~{})", span(time))).unwrap_or_default();
        format!("{}; `cutover restore` {writes}{first}{time}", self.sentence())
    }

    /// Whether there is a row that is known of and that the way back may write.
    pub fn any(&self) -> bool {
        self.counts().iter().flatten().any(|c| c.value > 0)
    }

    /// Whether there is a row that v2 cannot see at all.
    pub fn hides(&self) -> bool {
        [self.traces, self.observations, self.scores].iter().flatten().any(|c| c.value > 0)
    }

    /// Whether it was counted that there is nothing.
    pub fn is_nothing(&self) -> bool {
        self.counts().iter().all(|c| *c == Some(Count::exact(0)))
    }

    const fn counts(&self) -> [Option<Count>; 4] {
        [self.traces, self.observations, self.scores, self.shared]
    }
}

/// The exact patches of one move.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The operation.
    pub op: OpId,
    /// Why.
    pub intent: Intent,
    /// The split that was read; the highest where routes differ.
    pub from: Split,
    /// The split it ends in.
    pub to: Split,
    /// One per route, in the order they are sent.
    pub patches: Vec<Patch>,
    /// What v2 will not see afterwards, when this is a move back.
    pub v3_only: Option<V3Only>,
    /// Taken back to `from` unless it is confirmed within this time.
    pub confirm_within: Option<Duration>,
}

impl Plan {
    /// The plan that brings all `routes` to `to`. Routes that are there already are left out of a forward
    /// plan; a rollback writes every one of them.
    pub fn new(op: OpId, intent: Intent, routes: &[Route], to: Split, v3_only: Option<V3Only>) -> Self {
        let from = routes.iter().map(|r| r.stored.split()).max().unwrap_or(Split::V2);
        let patches = match intent {
            Intent::Shift => {
                let moving = routes.iter().filter(|r| !r.stored.is(to) || r.raw.is_none());
                moving.map(|r| Patch::forward(r, to)).collect()
            }
            Intent::Rollback => routes.iter().map(|r| Patch::back(r, to)).collect(),
        };
        Self { op, intent, from, to, patches, v3_only, confirm_within: None }
    }

    /// The next choice of the dialog: no confirmation, then 5, 10, 30 minutes.
    #[must_use]
    pub fn turn_confirmation(self) -> Self {
        let minutes = |m: u64| Some(Duration::from_secs(m * 60));
        let confirm_within = match self.confirm_within.map(|d| d.as_secs() / 60) {
            None => minutes(5),
            Some(5) => minutes(10),
            Some(10) => minutes(30),
            Some(_) => None,
        };
        Self { confirm_within, ..self }
    }

    /// Whether v3 gets less than before.
    pub fn is_back(&self) -> bool {
        self.intent == Intent::Rollback || self.to < self.from
    }

    /// What the button says: "Send 25 % to v3", "Take all traffic back to v2".
    pub fn button(&self) -> String {
        match (self.intent, self.to) {
            (Intent::Rollback, Split::V2) => "Take all traffic back to v2".into(),
            (Intent::Rollback, to) => format!("Roll back to {to} on v3"),
            (Intent::Shift, to) => format!("Send {to} to v3"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::Weight;
    use crate::domain::traffic::{Accepted, Backend, ObjectRef, PathGroup, RouterKind};

    /// A canary Ingress at `percent`.
    pub(crate) fn route(percent: u8) -> Route {
        let object = |name: &str| ObjectRef {
            kind: "Ingress".into(),
            namespace: "langfuse".into(),
            name: name.into(),
        };
        let backend = |s: &str| Backend { service: s.into(), port: "3000".into(), endpoints: Some(1) };
        Route {
            object: object("langfuse-canary"),
            router: RouterKind::IngressNginx,
            group: PathGroup::All,
            rules: vec!["langfuse.localhost/".into()],
            primary: backend("langfuse-v2"),
            canary: backend("langfuse-web"),
            stored: Weight { value: percent.into(), total: 100 },
            raw: Some(percent.to_string()),
            accepted: Accepted::NotReported,
            effective: Weight { value: percent.into(), total: 100 },
            owner: None,
            resource_version: "7".into(),
            uid: "uid-1".into(),
            pins: vec![],
            traps: vec![],
        }
    }

    #[test]
    fn a_forward_plan_leaves_out_what_is_there_and_a_rollback_writes_all() {
        let routes = [route(25), route(0)];
        let quarter = Split::new(25).unwrap();
        let plan = Plan::new(OpId(1), Intent::Shift, &routes, quarter, None);
        assert_eq!((plan.patches.len(), plan.from, plan.button().as_str()), (1, quarter, "Send 25 % to v3"));
        let plan = Plan::new(OpId(2), Intent::Rollback, &routes, Split::V2, None);
        assert_eq!(plan.patches.len(), 2);
        assert!(plan.is_back());
    }

    #[test]
    fn unknown_counts_are_dashes() {
        let v3_only = V3Only {
            traces: Some(Count::exact(0)),
            observations: Some(Count::about(3)),
            shared: Some(Count::exact(0)),
            ..V3Only::default()
        };
        assert_eq!(v3_only.sentence(), "0 traces, ~3 observations, - scores exist only in v3");
        assert!(v3_only.any() && v3_only.hides());
        assert_eq!(v3_only.offer(), format!("{}; `cutover restore` writes them back", v3_only.sentence()));
        let known = V3Only { scores: Some(Count::exact(119_997)), ..v3_only };
        assert!(known.offer().ends_with("; `cutover restore` writes them back (~30s)"), "{}", known.offer());
        let hindered = |by| V3Only { hindered: Some(by), ..known.clone() }.offer();
        assert!(hindered(Hindrance::Views).ends_with("v2's views are gone (~30s)"));
        let refused = "`cutover restore` would be refused: enum ScoreDataType is gone";
        assert!(hindered(Hindrance::Refused(refused.into())).ends_with(&format!("only in v3; {refused}")));
        assert_eq!(V3Only::default().offer(), V3Only::default().sentence());
        assert!(V3Only::default().sentence().ends_with("; - more that v2 has were written by v3 as well"));
    }

    #[test]
    fn what_v3_wrote_of_rows_that_v2_has_is_offered_too() {
        let none = Some(Count::exact(0));
        let nothing = V3Only { traces: none, observations: none, scores: none, shared: none, hindered: None };
        assert!(nothing.is_nothing() && !nothing.any());
        let sampled = V3Only { shared: Some(Count::about(0)), ..nothing.clone() };
        assert!(!sampled.is_nothing() && !sampled.any(), "a part was looked up");
        let shared = V3Only { shared: Some(Count::exact(8_000)), ..nothing };
        assert!(shared.any() && !shared.hides() && !shared.is_nothing());
        assert_eq!(
            shared.offer(),
            "0 traces, 0 observations, 0 scores exist only in v3; 8 000 more that v2 has were written by v3 as well; \
             `cutover restore` writes back what v2 lacks or has older (at most ~2s)"
        );
    }
}
