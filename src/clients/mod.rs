//! Connections to the parts of a migration, each with our own timeouts, a read-only session and typed errors.
//!
//! One rule: every failure leaves this room as a [`crate::domain::Trouble`] with its object and a next step.

pub mod target;
