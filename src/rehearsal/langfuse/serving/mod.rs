//! What v2 and v3 web have in common: the listener, authentication, health, and the shape of answers.

pub(crate) mod answer;
pub(crate) mod api;
pub(crate) mod auth;
pub(crate) mod fault;
pub(crate) mod health;
pub(crate) mod intake;
pub(crate) mod listener;
pub(crate) mod query;
