//! Ingestion events: what `POST /api/public/ingestion` takes, checked, ordered and grouped as Langfuse does.

mod body;
mod order;
mod score;

pub(crate) use body::check;
pub(crate) use order::{Group, group, sort};
pub(crate) use score::inflate;

use serde_json::{Map, Value};

use super::js;

/// What an event is about; the name is the folder in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Entity {
    Trace,
    Observation,
    Score,
}

impl Entity {
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Observation => "observation",
            Self::Score => "score",
        }
    }

    /// The entity an event type belongs to; `None` for `sdk-log` and unknown types.
    pub(crate) fn of(event_type: &str) -> Option<Self> {
        TYPES.iter().find(|row| row.0 == event_type).and_then(|row| row.1)
    }
}

/// The event types of v2.95 and v3.29: name, entity, whether it updates.
pub(crate) const TYPES: &[(&str, Option<Entity>, bool)] = &[
    ("trace-create", Some(Entity::Trace), false),
    ("score-create", Some(Entity::Score), false),
    ("event-create", Some(Entity::Observation), false),
    ("span-create", Some(Entity::Observation), false),
    ("span-update", Some(Entity::Observation), true),
    ("generation-create", Some(Entity::Observation), false),
    ("generation-update", Some(Entity::Observation), true),
    ("sdk-log", None, false),
    ("observation-create", Some(Entity::Observation), false),
    ("observation-update", Some(Entity::Observation), true),
];

/// A checked event: the JSON it came as, and its parts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) timestamp_ms: i64,
    pub(crate) body: Map<String, Value>,
    raw: Map<String, Value>,
}

impl Event {
    /// Reads a checked event; `None` when it is not one.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        let raw = value.as_object()?.clone();
        Some(Self {
            id: raw.get("id")?.as_str()?.to_owned(),
            kind: raw.get("type")?.as_str()?.to_owned(),
            timestamp_ms: js::millis(raw.get("timestamp")?.as_str()?)?,
            body: raw.get("body")?.as_object()?.clone(),
            raw,
        })
    }

    pub(crate) fn entity(&self) -> Option<Entity> {
        Entity::of(&self.kind)
    }

    pub(crate) fn body_id(&self) -> Option<&str> {
        self.text("id")
    }

    /// A text field of the body; empty text counts as text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.body.get(key).and_then(Value::as_str)
    }

    /// A date field of the body, epoch milliseconds.
    pub(crate) fn millis(&self, key: &str) -> Option<i64> {
        self.text(key).filter(|text| !text.is_empty()).and_then(js::millis)
    }

    /// The whole event as it is stored in S3.
    pub(crate) fn json(&self) -> Value {
        Value::Object(self.raw.clone())
    }

    /// `EVENT`, `SPAN` or `GENERATION`; legacy observation events carry it in their body.
    pub(crate) fn observation_type(&self) -> &str {
        match self.kind.as_str() {
            "event-create" => "EVENT",
            "generation-create" | "generation-update" => "GENERATION",
            "observation-create" | "observation-update" => self.text("type").unwrap_or("SPAN"),
            _ => "SPAN",
        }
    }
}
