//! The newest Kubernetes Events, at most a few of them kept.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use crate::domain::cluster::ClusterEvent;
use crate::domain::text::clean;

/// Events kept; those shown are fewer.
const KEPT: usize = 64;
/// Events in a fact.
const SHOWN: usize = 20;

/// The newest events by name.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<(String, ClusterEvent)>);

impl Events {
    /// Takes in an event, new or repeated.
    pub(super) fn set(&mut self, name: &str, event: &Event) {
        self.gone(name);
        self.0.push((name.to_owned(), fold(event)));
        self.0.sort_by_key(|(_, event)| std::cmp::Reverse(event.at));
        self.0.truncate(KEPT);
    }

    /// Forgets one.
    pub(super) fn gone(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = ClusterEvent> + '_ {
        self.0.iter().take(SHOWN).map(|(_, event)| event.clone())
    }
}

fn fold(event: &Event) -> ClusterEvent {
    let object = &event.involved_object;
    let series = event.series.as_ref().and_then(|s| s.last_observed_time.as_ref()).map(|t| t.0);
    let at: Option<Timestamp> = event
        .last_timestamp
        .as_ref()
        .map(|t| t.0)
        .or(series)
        .or_else(|| event.event_time.as_ref().map(|t| t.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|t| t.0));
    ClusterEvent {
        at,
        warning: event.type_.as_deref() == Some("Warning"),
        object: clean(&format!(
            "{}/{}",
            object.kind.as_deref().unwrap_or("-"),
            object.name.as_deref().unwrap_or("-")
        )),
        reason: clean(event.reason.as_deref().unwrap_or("-")),
        message: clean(event.message.as_deref().unwrap_or_default()),
    }
}
