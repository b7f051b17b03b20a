//! Sources against real servers.
