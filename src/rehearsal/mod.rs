//! A complete local migration to practise on, made of real parts.
//!
//! Its rule: nothing knows that it is a rehearsal but this room. The cockpit is given addresses and a kubeconfig.
//!
//! | part | what it is |
//! |---|---|
//! | [`stage`] | the directory, the child processes, the cleaning up |
//! | [`stores`], [`history`] | PostgreSQL, ClickHouse, Redis, S3, and what v2 collected in them |
//! | [`kube`], [`cluster`] | the Kubernetes API server |
//! | [`langfuse`], [`workloads`] | the Langfuse processes, and the Deployments they are |
//! | [`gateway`] | ingress-nginx |
//! | [`load`] | the applications, and their ledger |
//! | [`scenario`], [`faults`], [`control`] | what goes wrong, and when |
//! | [`world`] | all of it together |

mod address;
pub mod clock;
pub mod cluster;
pub mod condition;
mod config_file;
pub mod control;
mod docker;
pub mod faults;
pub mod gateway;
pub mod history;
mod info;
pub mod informer;
pub mod kube;
pub mod langfuse;
pub mod load;
mod log_files;
pub mod options;
pub mod period;
pub mod real_cluster;
mod runner;
pub mod scenario;
mod setup;
pub mod stage;
pub mod stores;
mod upload;
pub mod workloads;
pub mod world;

pub use control::{ControlError, fault};
pub use info::Info;
pub use options::{Command, FaultArgs, Options};
pub use world::{Rehearsal, RehearsalError, start};
