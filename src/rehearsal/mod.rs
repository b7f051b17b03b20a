//! A complete local migration to practise on, made of real parts.

pub mod clock;
pub mod gateway;
pub mod history;
pub mod informer;
pub mod kube;
pub mod langfuse;
pub mod load;
pub mod stage;
pub mod stores;
pub mod workloads;
