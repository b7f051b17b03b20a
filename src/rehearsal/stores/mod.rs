//! Stores of the rehearsal.
