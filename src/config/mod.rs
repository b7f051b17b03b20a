//! The validated configuration, with the origin of every value.
//!
//! One rule: flags over environment over file over defaults, and a value never forgets which of them it was.

pub mod credential;
pub mod file;
pub mod keys;
pub mod load;
pub mod origin;
pub mod problem;
pub mod rules;
pub mod settings;
pub mod show;
pub mod targets;
pub mod value;

pub use credential::{Credential, SecretKey, Vault};
pub use load::{Inputs, load};
pub use origin::Origin;
pub use problem::{Problem, Problems};
pub use settings::Config;
pub use targets::{Built, targets};
