//! The screen: every pane and state as snapshots with styles, sizes it must survive, and what a frame costs.
//!
//! `PICTURES=dir cargo test --test screens pictures -- --ignored` writes all of them as SVG and text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "screens/budget.rs"]
mod budget;
#[path = "screens/fixtures.rs"]
mod fixtures;
#[path = "screens/moves.rs"]
mod moves;
#[path = "screens/picture.rs"]
mod picture;
#[path = "screens/readings.rs"]
mod readings;
#[path = "screens/robust.rs"]
mod robust;
#[path = "screens/snapshots.rs"]
mod snapshots;
#[path = "screens/troubles.rs"]
mod troubles;
