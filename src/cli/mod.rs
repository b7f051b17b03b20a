//! The verbs: the command line as data, what each verb prints, and how it ends.
//!
//! One rule: a verb uses the same sources, guards, plans, machine and actuators as the cockpit.

pub mod args;
pub mod backfill;
pub mod book;
pub mod catch_up;
pub mod census;
pub mod config;
pub mod desk;
pub mod exit;
pub mod finish;
pub mod footing;
pub mod init;
pub mod journal;
pub mod moves;
pub mod planned;
pub mod print;
pub mod progress;
#[cfg(feature = "rehearsal")]
pub mod rehearse;
pub mod restore;
pub mod run;
pub mod start;
pub mod status;
pub mod stores;
pub mod verify;
pub mod watchdog;

pub use exit::Exit;
pub use run::run;
