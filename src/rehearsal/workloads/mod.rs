//! Workloads of the rehearsal.

pub mod env;
pub mod names;
pub mod objects;
pub mod rollout;
