//! Tests against real servers.

pub(crate) mod servers;
