//! Connections to the parts of a migration, each with our own timeouts, a read-only session and typed errors.
//!
//! One rule: every failure leaves this room as a [`crate::domain::Trouble`] with its object and a next step.

pub mod clickhouse;
pub mod failure;
pub mod forward;
pub mod http;
pub mod kube;
mod kubeconfig;
pub mod liveness;
pub mod namespace;
pub mod pod;
pub mod postgres;
pub mod proxied;
pub mod reach;
pub mod redis;
pub mod s3;
pub mod target;
pub mod tls;
pub mod work;
