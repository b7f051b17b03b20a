//! Moving traffic, as pure values: what would be sent, whether it may be sent, and how far it has come.
//!
//! One rule: nothing here performs anything. [`machine::Shift::step`] answers every event in every state
//! with a new state and a list of [`machine::Act`]s, which the actuators carry out.

pub mod guard;
pub mod ladder;
pub mod machine;
pub mod patch;
pub mod plan;

pub use guard::{Check, Guards, Verdict};
pub use ladder::Ladder;
pub use machine::{Act, Event, Shift};
pub use patch::{Patch, PatchKind};
pub use plan::{Hindrance, Intent, OpId, Plan, V3Only};
