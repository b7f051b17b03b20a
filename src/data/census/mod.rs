//! Exact counts per table, project and day of `created_at`: PostgreSQL against ClickHouse.
//!
//! One rule: what was counted is kept with what proves it unchanged, and counted again when the proof fails.
//!
//! | side | unit | what proves it unchanged |
//! |---|---|---|
//! | PostgreSQL | a day of `created_at`, closed an hour after its end | the same relation; no deletions (`n_tup_del`); no insertions that the open days do not explain (`n_tup_ins`); no standby; otherwise an index-only count of the day |
//! | ClickHouse | a project's day of the business time, the prefix of the sorting key | `system.parts`: every part is one seen before by checksum, or made only of blocks seen before; otherwise the days that the new parts hold rows of |
//!
//! Behind one address may stand several replicas of ClickHouse, each with parts of its own: a pass is of one server, and
//! one in which two answered is thrown away.
//!
//! **What cannot be proven cheaply.** An update changes no count, nor does a row that replaces another of the
//! same day, and `updated_at` has no index: that `n_tup_upd` or `n_tup_del` moved says that rows changed, not
//! which. Then days are read again in passes of bounded size, the newest day first and then those that wait
//! longest, and what is not read yet makes the numbers of changed and missing rows estimates. Statistics of
//! PostgreSQL are written after the fact (up to a minute), and reset by a crash: a reset counts as a movement.
//! An insertion and a deletion that leave all statistics alone cannot exist, but one that hides behind rows of
//! the open day that are not in the statistics yet can, until they are. Therefore one day in a hundred is
//! counted again at random in each run, chosen by the number of the run.
//!
//! A project's day whose counts or sums of `updated_at` differ is looked at id by id, so that a missing and a
//! surplus row do not cancel; a day where both agree is believed. What compares the rows themselves is verify.

pub mod book;
pub mod changed;
pub mod clickhouse;
pub mod compare;
pub mod covered;
pub mod file;
pub mod postgres;
pub mod report;
mod run;
pub mod strays;
pub mod written;

pub use book::{Book, Day};
pub use file::{BookFile, Shelf};
pub use report::{Filter, Report};
pub use run::{Note, run};
