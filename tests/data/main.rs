//! The data engine on a real PostgreSQL and a real ClickHouse engine.
//!
//! One rule: what the rehearsal's worker wrote, by its own code, is the witness for what ours reads and writes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]
#![allow(clippy::items_after_statements, reason = "a test reads from top to bottom")]
#![allow(clippy::print_stderr, reason = "a test says what it starts and what it skips")]
#![allow(unreachable_pub, reason = "the rooms of a test are seen by nobody else")]

#[path = "../common/mod.rs"]
mod common;

mod backfill;
mod backfill_deleted;
mod backfill_faults;
mod backfill_plan;
mod both;
mod catch_up;
mod catch_up_ends;
mod census;
mod deleted_projects;
mod deleted_scores;
mod forward;
mod full_disk;
mod gate;
mod halves;
mod hashes;
mod kills;
mod load;
mod newer_columns;
mod on_the_way;
mod points;
mod replica;
mod restore;
mod restore_copies;
mod restore_faults;
mod rows;
mod run_items;
mod sides;
mod silence;
mod space;
mod strays;
mod urls;
mod verify;
mod whole;
