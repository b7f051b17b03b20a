//! Stage of the rehearsal.
