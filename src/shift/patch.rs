//! The exact request body that moves one route, per mechanism.
//!
//! A forward patch is conditional on the `resourceVersion` that was read: anything that happened to the
//! object in between makes it a 409. A patch back is conditional only on the object being the same
//! object: taking traffic back must not lose a race, and its target is absolute.

use serde_json::{Value, json};

use crate::domain::traffic::{ObjectRef, Route, RouterKind};
use crate::domain::{Split, Weight};

/// Annotation that makes an Ingress a canary (ingress-nginx documentation, "Canary").
pub const CANARY: &str = "nginx.ingress.kubernetes.io/canary";
/// Annotation with the canary's parts; a string, read as 0 when it is not an integer.
pub const CANARY_WEIGHT: &str = "nginx.ingress.kubernetes.io/canary-weight";
/// Annotation with the parts in all; 100 when absent or at most 100.
pub const CANARY_WEIGHT_TOTAL: &str = "nginx.ingress.kubernetes.io/canary-weight-total";

/// Annotation of ours: the `resourceVersion` that was read when a weight was written that seemed to stand there.
pub const TAKEN_BACK: &str = "cutover/taken-back-at";

/// The media type of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/merge-patch+json` (RFC 7386).
    Merge,
    /// `application/json-patch+json` (RFC 6902).
    Json,
}

impl PatchKind {
    /// The content type of the request.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Merge => "application/merge-patch+json",
            Self::Json => "application/json-patch+json",
        }
    }
}

/// One request: shown, dry-run and applied from the same bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The object it goes to.
    pub object: ObjectRef,
    /// Its mechanism.
    pub router: RouterKind,
    /// The weight that was read.
    pub from: Weight,
    /// The weight it stores.
    pub to: Weight,
    /// Media type.
    pub kind: PatchKind,
    /// The body.
    pub body: Value,
}

impl Patch {
    /// The patch that moves `route` forward to `to`, on condition that nothing has touched it since it was read.
    pub fn forward(route: &Route, to: Split) -> Self {
        let weight = Weight::of(to, route.stored.total);
        let body = match route.router {
            RouterKind::IngressNginx => json!({"metadata": {
                "resourceVersion": route.resource_version,
                "uid": route.uid,
                "annotations": {CANARY_WEIGHT: weight.value.to_string()},
            }}),
        };
        Self::new(route, weight, PatchKind::Merge, body)
    }

    /// The patch that takes `route` back to `to`, on condition that it is the same object. Where the weight reads
    /// `to` already it leaves a mark beside it: a patch that changes nothing leaves the `resourceVersion` as it is,
    /// and a forward patch that is still on its way would meet its condition.
    pub fn back(route: &Route, to: Split) -> Self {
        let weight = Weight::of(to, route.stored.total);
        let body = match route.router {
            RouterKind::IngressNginx => {
                let mut body = vec![
                    json!({"op": "test", "path": "/metadata/uid", "value": route.uid}),
                    json!({"op": "add", "path": pointer(CANARY_WEIGHT), "value": weight.value.to_string()}),
                ];
                if route.stored == weight {
                    body.push(
                        json!({"op": "add", "path": pointer(TAKEN_BACK), "value": route.resource_version}),
                    );
                }
                Value::Array(body)
            }
        };
        Self::new(route, weight, PatchKind::Json, body)
    }

    fn new(route: &Route, to: Weight, kind: PatchKind, body: Value) -> Self {
        Self { object: route.object.clone(), router: route.router, from: route.stored, to, kind, body }
    }
}

/// JSON pointer (RFC 6901) to an annotation.
fn pointer(annotation: &str) -> String {
    format!("/metadata/annotations/{}", annotation.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shift::plan::tests::route;

    #[test]
    fn forward_names_the_version_that_was_read() {
        let patch = Patch::forward(&route(0), Split::new(25).unwrap());
        assert_eq!(patch.kind, PatchKind::Merge);
        assert_eq!(patch.body["metadata"]["resourceVersion"], "7");
        assert_eq!(patch.body["metadata"]["annotations"][CANARY_WEIGHT], "25");
    }

    #[test]
    fn back_is_conditional_on_identity_only() {
        let patch = Patch::back(&route(25), Split::V2);
        assert_eq!(patch.body[0]["value"], "uid-1");
        assert_eq!(patch.body[1]["path"], "/metadata/annotations/nginx.ingress.kubernetes.io~1canary-weight");
        assert_eq!(patch.body[1]["value"], "0");
        assert!(!patch.body.to_string().contains("resourceVersion"));
    }

    #[test]
    fn back_to_where_it_seems_to_stand_makes_a_late_forward_patch_fail() {
        let patch = Patch::back(&route(0), Split::V2);
        assert_eq!(patch.body[1]["value"], "0");
        assert_eq!(patch.body[2]["path"], "/metadata/annotations/cutover~1taken-back-at");
        assert_eq!(patch.body[2]["value"], "7", "another one after it differs");
        assert_eq!(Patch::back(&route(25), Split::V2).body[2], Value::Null);
    }

    #[test]
    fn other_totals_are_kept() {
        let mut route = route(0);
        route.stored = Weight { value: 0, total: 1000 };
        let patch = Patch::forward(&route, Split::new(5).unwrap());
        assert_eq!(patch.body["metadata"]["annotations"][CANARY_WEIGHT], "50");
    }
}
