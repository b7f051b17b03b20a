//! The rehearsal's API server beside a real one: whatever is asked of both must be answered alike.
//!
//! One rule: nothing here says what an answer should be. The real kube-apiserver does, on the spot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]
#![allow(clippy::print_stderr, reason = "a test says what it skips")]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

#[path = "../common/mod.rs"]
mod common;

mod answer;
mod cases;
mod flight;
mod kubectl;
mod normal;
mod rbac;
mod real;
mod request;
mod suite;
