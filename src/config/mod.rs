//! The validated configuration, with the origin of every value.
//!
//! One rule: flags over environment over file over defaults, and a value never forgets which of them it was.

pub mod keys;
