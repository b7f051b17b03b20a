//! The cockpit: one model, the messages that change it, the effects it asks for, and the one command table.
//!
//! One rule: [`update::update`] is the only code that changes the [`model::Model`]; it is pure. Panes read the
//! model through its public fields and the selectors beside them.

pub mod advisor;
pub mod command;
pub mod effect;
pub mod errors;
pub mod facts;
#[cfg(test)]
mod fixtures;
pub mod guards;
pub mod history;
pub mod key;
pub mod model;
pub mod msg;
pub mod phase;
pub mod remedy;
pub mod report;
pub mod requests;
pub mod screen;
pub mod share;
pub mod update;

pub use effect::Effect;
pub use model::Model;
pub use msg::{Answer, Envelope, Msg};
