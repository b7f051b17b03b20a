//! The gateway of the rehearsal: a reverse proxy that splits as ingress-nginx v1.15 does.
//!
//! Its rule: it learns everything from the Kubernetes API, so it works on any API server.

pub mod annotations;
pub mod build;
pub mod choose;
pub mod endpoints;
pub mod model;
