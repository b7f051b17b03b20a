//! Moves of traffic under every fault: killed at every point, torn journals, storms of random faults.
//!
//! One rule: what is asserted is read from the object itself and from the journal, never from what was said alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

#[path = "../common/mod.rs"]
mod common;

mod ground;
mod kill;
mod operator;
mod storm;
mod tampered;
mod torn;
