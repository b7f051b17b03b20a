//! What the tests of the whole program share: a rehearsal, and a person at a terminal.
#![allow(dead_code, reason = "every test binary uses its own part")]

pub mod person;
pub mod rehearsal;
