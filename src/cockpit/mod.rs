//! Cockpit.
