//! Who wrote the weight last, from `metadata.managedFields`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::domain::text::clean;
use crate::domain::traffic::Owner;
use crate::shift::patch::CANARY_WEIGHT;

/// The newest manager that owns the weight's annotation.
pub(super) fn of(meta: &ObjectMeta) -> Option<Owner> {
    let field = format!("f:{CANARY_WEIGHT}");
    meta.managed_fields
        .iter()
        .flatten()
        .filter(|entry| {
            entry
                .fields_v1
                .as_ref()
                .and_then(|fields| fields.0.get("f:metadata")?.get("f:annotations")?.get(&field))
                .is_some()
        })
        .max_by_key(|entry| entry.time.as_ref().map(|t| t.0))
        .map(|entry| Owner {
            manager: clean(entry.manager.as_deref().unwrap_or("-")),
            operation: clean(entry.operation.as_deref().unwrap_or("-")),
            at: entry.time.as_ref().map(|t| t.0),
        })
}
