//! What v2 needs of PostgreSQL, and which version of v3 takes it away (langfuse.md 0 and 9.4).
//!
//! One rule: the versions stand here for the sentence only; whether something is gone is read from the database.

use super::schema::Schema;

/// What becomes of the way back without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// v2 cannot work, or what is written would be wrong: refused.
    Refuse,
    /// Only a view is missing: it can be made again, no data was lost.
    View,
}

/// One thing that v2 needs.
#[derive(Debug)]
pub struct Need {
    /// What it is.
    pub what: &'static str,
    /// Which version of v3 removes it.
    pub gone_since: &'static str,
    /// What v2 cannot do without it.
    pub then: &'static str,
    /// What becomes of the way back.
    pub weight: Weight,
    met: fn(&Schema) -> bool,
}

/// The facts, the gravest first.
pub static NEEDS: [Need; 10] = [
    table("table traces", "v4.0.0", "v2's history is deleted", |s| s.has("traces")),
    table("table observations", "v4.0.0", "v2's history is deleted", |s| s.has("observations")),
    table("table scores", "v4.0.0", "v2's history is deleted", |s| s.has("scores")),
    table("table projects", "no version of Langfuse", "this is not a database of Langfuse", |s| {
        s.has("projects")
    }),
    table("table trace_sessions", "no version of Langfuse", "this is not a database of Langfuse", |s| {
        s.has("trace_sessions")
    }),
    table("enums ObservationType, ObservationLevel and ScoreSource", "a later v3", "v2 cannot write", |s| {
        has_labels(s, "ObservationType", &["SPAN", "EVENT", "GENERATION"])
            && has_labels(s, "ObservationLevel", &["DEBUG", "DEFAULT", "WARNING", "ERROR"])
            && has_labels(s, "ScoreSource", &["ANNOTATION", "API", "EVAL"])
    }),
    table("enum ScoreDataType", "v3.143", "v2 cannot write scores", |s| {
        has_labels(s, "ScoreDataType", &["NUMERIC", "CATEGORICAL", "BOOLEAN"])
            && s.column("scores", "data_type").is_some_and(|c| c.kind == "ScoreDataType")
    }),
    table("primary key (id, project_id) of dataset_items", "v3.140", "v2 cannot write dataset items", |s| {
        !s.has("dataset_items") || s.dataset_items_key == ["id", "project_id"]
    }),
    view("view traces_view", |s| s.has("traces_view")),
    view("view observations_view", |s| s.has("observations_view")),
];

const fn table(
    what: &'static str,
    gone_since: &'static str,
    then: &'static str,
    met: fn(&Schema) -> bool,
) -> Need {
    Need { what, gone_since, then, weight: Weight::Refuse, met }
}

const fn view(what: &'static str, met: fn(&Schema) -> bool) -> Need {
    const THEN: &str = "every page and list of v2 fails; writing still works";
    Need { what, gone_since: "v3.29.1", then: THEN, weight: Weight::View, met }
}

fn has_labels(schema: &Schema, name: &str, labels: &[&str]) -> bool {
    let found = schema.enums.get(name);
    found.is_some_and(|found| labels.iter().all(|label| found.iter().any(|f| f == label)))
}

/// Something v2 needs that is not there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Unmet {
    /// What.
    pub what: &'static str,
    /// Removed by this version of v3.
    pub gone_since: &'static str,
    /// What v2 cannot do.
    pub then: &'static str,
    /// Whether making the views again is all that is needed.
    pub only_a_view: bool,
}

impl Unmet {
    /// "enum `ScoreDataType` is gone or changed (v3.143 does that): v2 cannot write scores".
    pub fn sentence(&self) -> String {
        format!("{} is gone or changed ({} does that): {}", self.what, self.gone_since, self.then)
    }
}

/// What is missing.
pub fn unmet(schema: &Schema) -> Vec<Unmet> {
    let missing = NEEDS.iter().filter(|need| !(need.met)(schema));
    missing
        .map(|n| Unmet {
            what: n.what,
            gone_since: n.gone_since,
            then: n.then,
            only_a_view: n.weight == Weight::View,
        })
        .collect()
}
