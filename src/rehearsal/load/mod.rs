//! Load of the rehearsal.
