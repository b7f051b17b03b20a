//! The rehearsal's Kubernetes API server: one small in-memory server that `kube` and `kubectl` can both talk to.
//!
//! **Rule.** What a client can see of it (status codes, reasons, messages, causes, objects, managed fields) is
//! what a real API server would have answered (1.36; `tests/conformance` asks both the same and compares); where
//! it cannot be, it stands in the list below.
//!
//! # What it leaves out, compared with a real one
//! * Objects live in memory only; there is no etcd, no gzip, no `OpenAPI` schema (`kubectl explain` shows no fields),
//!   no protobuf but in the few kinds of the table in `protobuf`, no body in YAML other than its JSON subset.
//! * Unknown fields are found by reading the object into its published type and back. The order in which several
//!   are reported differs, and so do the words for a value of the wrong type and for a body that cannot be read.
//! * Apply to `/scale` is refused (415).
//! * Bookmarks come regularly, even without news; a real server leaves some out.
//! * Reviews do not say which rule allows something, and have no managed fields.
//! * Only the defaults and validations that this project meets are implemented (tables in `defaults` and `validate`).
//! * Deletion is immediate unless the object has finalizers: no grace period, no garbage collection by owner.
//!   A namespace takes its objects with it at once.
//! * Authorization is a list of rules for each token, not Role objects; no impersonation, no admission webhooks, no
//!   quotas. What admission does to a pod is done here; a `ServiceAccount`'s token is not mounted.
//! * Of the pod subresources there are `log`, `status` and `portforward`; no `exec`, `attach`, `eviction`.
//! * The deadline of a request (`timeout`) is not read: a write that a fault holds up is carried out when the fault
//!   ends, if its client still waits.
//! * The eleventh `Update` manager of an object is not folded into `ancient-changes`.

mod authz;
mod clock_text;
mod columns;
mod defaults;
mod delete;
mod discovery;
mod faults;
mod field_set;
mod handle;
mod handle_write;
mod last_applied;
mod list;
mod logs;
mod managed_fields;
mod objects;
mod options;
mod patch;
mod portforward;
mod prepare;
mod protobuf;
mod query;
mod resources;
mod retention;
mod reviews;
mod routes;
mod scale;
mod schema;
mod selectors;
mod server;
mod status;
mod store;
mod store_access;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod typed;
mod validate;
mod view;
mod watch;
mod write;

pub use authz::{Rule, Token};
pub use faults::{Fault, Faults, Scope};
pub use logs::Logs;
pub use portforward::PORTS;
pub use server::{Error, Options, Server};
pub use status::Status;
pub use store::Store;
