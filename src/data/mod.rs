//! The data engine: how v2's rows in PostgreSQL and v3's rows in ClickHouse are counted, compared and copied.
//!
//! One rule: what a column is, and how it is converted and compared, stands in [`tables`] and nowhere else;
//! census, verify, and the copies in both directions read that one description.
//!
//! How the data walks: a row leaves PostgreSQL as binary COPY ([`copy_out`]), [`convert`] makes it the
//! [`cell::Cell`]s that v3's own worker would have written, [`cell::rowbinary`] writes them to ClickHouse, and
//! reads them from there; the way back uses the same cells.

pub mod backfill;
pub mod catch_up;
pub mod cell;
pub mod census;
pub mod clock;
pub mod convert;
pub mod copied;
pub mod copy_out;
pub mod deleted;
pub mod lock;
pub mod pages;
pub mod restore;
pub mod rows;
pub mod tables;
pub mod verify;
