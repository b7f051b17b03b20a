//! The way back: what only v3 has, written into PostgreSQL so that v2 shows it after a rollback.
//!
//! One rule: a row of v2 that is as new or newer is never touched; a row that cannot go back whole is named and
//! stays where it is.
//!
//! v3's `false` is ambiguous: it writes `public` and `bookmarked` false where an event does not mention them. A row of v3
//! that has everything v2 has was written by somebody who knew the row, and its `false` is a decision: what was made
//! private in v3 is private in v2. A row that lacks what v2 has was made of single events: v2's `true` stays, and the
//! trace is named ([`Loss::Undecided`](crate::data::convert::back::Loss::Undecided)). v3's screens decide without
//! touching `updated_at`; such decisions go by `event_ts`, and nothing else of their row is written.
//!
//! How it walks: `source` lists what v3 wrote, by project and day; `judge` holds it against PostgreSQL;
//! `entity` converts what v2 lacks or has older; `target` is the statement that writes it, in transactions of
//! at most [`BATCH`] rows. What is written is found as new the next time: a second run, or a run after a kill, writes
//! only the rest.

mod entity;
mod judge;
mod needs;
mod report;
mod schema;
mod source;
mod target;
pub mod views;
mod walk;
mod write;

#[cfg(test)]
mod tests;

pub use entity::{Entity, entity};
pub use needs::{NEEDS, Need, Unmet, Weight, unmet};
pub use report::{Left, Named, Report, TableReport, Verdict};
pub use schema::Schema;
pub use target::Target;
pub use walk::{Listener, Progress, Sides, Wish, restore};

/// Most rows of one transaction.
pub const BATCH: usize = 500;
/// Most bytes of one transaction, about; a single row may be larger.
const BYTES: usize = 16 << 20;
