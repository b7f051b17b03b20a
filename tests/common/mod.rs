//! What the tests of the whole program share: a rehearsal, and a person at a terminal.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a person has a clock of their own")]

#[cfg(feature = "rehearsal")]
pub mod cluster;
pub mod person;
pub mod rehearsal;
