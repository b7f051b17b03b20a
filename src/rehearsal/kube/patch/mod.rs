//! The four ways to change an object by a patch, each a pure function on JSON.

pub(super) mod apply;
pub(super) mod json;
pub(super) mod merge;
pub(super) mod strategic;
