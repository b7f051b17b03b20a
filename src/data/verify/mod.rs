//! Whether both sides hold the same rows, and which ones differ where they do not.
//!
//! One rule: hashes say where to look, rows say what is wrong. The walk of a comparison:
//!
//! | step | module |
//! |---|---|
//! | does PostgreSQL hash as we do? | [`selftest`] |
//! | what would it read, and which way reads least? | [`cost`] |
//! | a hash of each row, in SQL and in Rust, from the table description | [`chain`], [`lookup3`], [`json_hash`], [`json_text`] |
//! | sums per project and hour on both sides, or the ids of both | [`postgres`], [`clickhouse`], [`halves`], [`bucket`], [`ids`] |
//! | where sums differ: which ids | [`drill`] |
//! | what is wrong with them | [`resolve`], [`compare`], [`finding`] |
//! | what need not be read again, and what the cockpit shows | [`witness`], [`doubt`], [`state`], `remembering` |
//! | how hard the servers are asked, and which ones answer | [`pace`], [`replicas`] |

pub mod bucket;
pub mod chain;
pub mod clickhouse;
pub mod compare;
pub mod cost;
pub mod doubt;
pub mod drill;
pub mod finding;
pub mod halves;
pub mod ids;
mod json;
pub mod json_hash;
pub mod json_text;
pub mod lookup3;
pub mod options;
pub mod pace;
pub mod postgres;
pub mod range;
mod remembering;
pub mod replicas;
pub mod resolve;
pub mod run;
pub mod selftest;
pub mod state;
mod table;
pub mod witness;

pub use finding::{Against, Difference, Finding};
pub use options::{Options, Progress, Report, TableReport};
pub use range::Range;
pub use run::Verify;
