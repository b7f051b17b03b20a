//! The order of a batch and its groups: creates before updates, each by time; one group per entity.

use super::{Entity, Event, TYPES};

/// The events of one entity in one request: one object in S3, one job.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) entity: Entity,
    pub(crate) body_id: String,
    pub(crate) events: Vec<Event>,
}

impl Group {
    /// The name of the group's object: the id of its first event.
    pub(crate) fn file_key(&self) -> &str {
        self.events.first().map_or("", |event| event.id.as_str())
    }
}

/// Sorts creates before updates, each by timestamp; equal times keep their order.
pub(crate) fn sort(events: &mut [Event]) {
    events.sort_by_key(|event| (updates(&event.kind), event.timestamp_ms));
}

/// Groups sorted events by entity and body id, in order of first appearance. Events without a body id are left
/// out, as v3 does (they are accepted all the same).
pub(crate) fn group(events: &[Event]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for event in events {
        let (Some(entity), Some(id)) = (event.entity(), event.body_id().filter(|id| !id.is_empty())) else {
            continue;
        };
        match groups.iter_mut().find(|group| group.entity == entity && group.body_id == id) {
            Some(group) => group.events.push(event.clone()),
            None => groups.push(Group { entity, body_id: id.to_owned(), events: vec![event.clone()] }),
        }
    }
    groups
}

fn updates(kind: &str) -> bool {
    TYPES.iter().any(|row| row.0 == kind && row.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: &str, kind: &str, second: u8, body_id: &str) -> Event {
        let value = json!({"id": id, "type": kind, "timestamp": format!("2025-01-01T00:00:{second:02}Z"),
            "body": {"id": body_id}});
        Event::read(&value).unwrap()
    }

    #[test]
    fn creates_come_first_and_entities_stay_together() {
        let mut events = vec![
            event("u", "span-update", 1, "s"),
            event("c", "span-create", 5, "s"),
            event("t", "trace-create", 3, "s"),
        ];
        sort(&mut events);
        let groups = group(&events);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].file_key(), "t");
        assert_eq!(groups[1].events.iter().map(|e| e.id.as_str()).collect::<Vec<_>>(), ["c", "u"]);
    }
}
