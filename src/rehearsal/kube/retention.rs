//! Events are kept for an hour, as `--event-ttl` of a real API server has it by default.

use super::objects::meta;
use super::resources::Kind;
use super::store::{Next, Store};
use crate::rehearsal::clock;

/// How long an event is kept.
const KEPT: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// Deletes the events that are too old.
pub(super) fn sweep(store: &Store, kind: &'static Kind) {
    let Ok(oldest) = clock::now().checked_sub(KEPT) else {
        return;
    };
    for (key, event) in store.snapshot(kind, None).0 {
        let created = meta(&event, "creationTimestamp").parse::<jiff::Timestamp>();
        if created.is_ok_and(|created| created < oldest) {
            // Whoever deleted it first did what was wanted.
            let _ = store.change(kind, &key, |_| Ok(Next::Delete));
        }
    }
}
