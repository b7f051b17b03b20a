//! A complete local migration to practise on, made of real parts.

pub mod clock;
pub mod cluster;
pub mod gateway;
pub mod history;
pub mod informer;
pub mod kube;
pub mod langfuse;
pub mod load;
mod real_cluster;
pub mod stage;
pub mod stores;
pub mod workloads;
