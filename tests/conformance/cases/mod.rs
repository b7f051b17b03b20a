//! The table of cases. A case is added by one entry in the list of its subject.

mod applies;
mod defaults;
mod kinds;
mod lists;
pub mod objects;
mod patches;
mod refusals;
mod watches;

use super::request::Case;

/// All of them.
pub fn all() -> Vec<Case> {
    [
        lists::cases(),
        watches::cases(),
        patches::cases(),
        applies::cases(),
        kinds::cases(),
        defaults::cases(),
        refusals::cases(),
    ]
    .concat()
}
