//! History of the rehearsal.
