//! Gateway of the rehearsal.
