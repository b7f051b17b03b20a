//! Counts against real servers.
