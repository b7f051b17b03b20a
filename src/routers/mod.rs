//! Traffic mechanisms behind one trait: what is stored, who wrote it, what it comes to, and how it is moved.
//!
//! One rule: a router sends exactly the bytes of a [`Patch`] and repeats nothing by itself.

pub mod ingress_nginx;

use futures::future::BoxFuture;
use kube::Client;

use crate::domain::Trouble;
use crate::domain::traffic::{ObjectRef, Route, RouterKind};
use crate::shift::machine::ApplyError;
use crate::shift::patch::Patch;

/// The name under which we write (`managedFields[].manager`); shared with nobody, kubectl least of all.
pub const FIELD_MANAGER: &str = "cutover";

/// One mechanism.
pub trait Router: Send + Sync {
    /// Which.
    fn kind(&self) -> RouterKind;

    /// Every route of this mechanism in a namespace, by name.
    fn discover<'a>(
        &'a self,
        client: &'a Client,
        namespace: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Route>, Trouble>>;

    /// One route, read from the server now.
    fn read<'a>(&'a self, client: &'a Client, object: &'a ObjectRef)
    -> BoxFuture<'a, Result<Route, Trouble>>;

    /// What the server would say to this patch (`dryRun=All`); the same bytes as [`Self::apply`].
    fn dry_run<'a>(&'a self, client: &'a Client, patch: &'a Patch) -> BoxFuture<'a, Result<(), Trouble>>;

    /// Sends the patch once. The answer is the `resourceVersion` that it produced.
    fn apply<'a>(&'a self, client: &'a Client, patch: &'a Patch)
    -> BoxFuture<'a, Result<String, ApplyError>>;
}

/// Every router there is.
pub fn all() -> &'static [&'static dyn Router] {
    &[&ingress_nginx::IngressNginx]
}

/// The router of a kind.
pub fn of(kind: RouterKind) -> &'static dyn Router {
    match kind {
        RouterKind::IngressNginx => &ingress_nginx::IngressNginx,
    }
}
