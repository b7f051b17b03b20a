//! Measurements that take minutes: `cargo test --release --test bench -- --ignored --nocapture`.
//!
//! One rule: both sides of a comparison run on the same data, on the same machine, one after the other, in one run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

mod backfill;
