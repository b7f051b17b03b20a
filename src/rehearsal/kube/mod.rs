//! Kube of the rehearsal.
