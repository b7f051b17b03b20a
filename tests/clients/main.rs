//! Clients that other people wrote, unmodified, on the parts of a rehearsal.
//!
//! One rule: a client's script prints what it was told; what it sent is looked for by this side, in the stores.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]
#![allow(clippy::print_stderr, reason = "a test says what it sets up and what it skips")]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

#[path = "../common/mod.rs"]
mod common;

mod bullmq;
mod foreign;
mod gateway;
mod javascript;
mod python;
mod sdk;
mod sides;
mod stores;
