//! Langfuse of the rehearsal.
