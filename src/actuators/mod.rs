//! Actuators.
