//! What the operator is told when something is wrong: every scenario, and faults fired by hand.
//!
//! One rule: a test waits for what a person would read, on the screen or in `status --json`; it never sleeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

#[path = "../common/mod.rs"]
mod common;

mod api;
mod backfill;
mod input;
mod operators;
mod outage;
mod readonly;
mod stores;
mod strangers;
mod v3;
