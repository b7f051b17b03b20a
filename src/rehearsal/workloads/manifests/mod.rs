//! What an operator and a Helm chart put into the namespace: plain objects, no state.

pub mod ingress;
pub mod langfuse;
pub mod stores;
