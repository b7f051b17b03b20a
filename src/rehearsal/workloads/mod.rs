//! Workloads of the rehearsal.
