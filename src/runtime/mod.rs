//! The event loop and everything that touches clock, terminal, tasks and signals.
//!
//! One rule: messages are taken one at a time, each with one reading of the clocks; a key is never behind a
//! slow source, a slow terminal or an answer.

pub mod clock;
pub mod cockpit;
pub mod frame;
pub mod input;
pub mod pacer;
pub mod panic;
pub mod session;
pub mod signals;
pub mod terminal;
pub mod timers;
pub mod trace;
pub mod writer;

pub use clock::Clock;
