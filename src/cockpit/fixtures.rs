//! What the room's tests start from: a cockpit on a namespace, and the workloads in it.

use super::model::{Setup, Strategy};
use crate::domain::cluster::{Role, Workload};
use crate::domain::{Fact, Now, cluster::ClusterFact};
use crate::shift::Ladder;

/// A cockpit on a rehearsal.
pub(crate) fn setup(armed: bool) -> Setup {
    Setup {
        environment: "rehearsal".into(),
        production: false,
        context: "rehearsal".into(),
        namespace: "langfuse".into(),
        strategy: Strategy::ShiftFirst,
        ladder: Ladder::default(),
        armed,
        operator: "ops@bastion".into(),
        off: vec![],
        started: Now::at(0),
    }
}

/// A Deployment of v3 with one pod that is ready, its backfill switched off.
pub(crate) fn workload(name: &str, role: Role) -> Workload {
    Workload {
        kind: "Deployment".into(),
        name: name.into(),
        role,
        ready: 1,
        desired: 1,
        updated: 1,
        restarts: 0,
        last_restart: None,
        image: "langfuse/langfuse:3.29.0".into(),
        tag: "3.29.0".into(),
        trouble: None,
        migrations_enabled: Some(false),
    }
}

/// A namespace with v3's web and worker, changed as the test needs it.
pub(crate) fn cluster(change: impl FnOnce(&mut Workload, &mut Workload)) -> Fact {
    let mut web = workload("langfuse-web", Role::Web);
    let mut worker = workload("langfuse-worker", Role::Worker);
    change(&mut web, &mut worker);
    Fact::Cluster(ClusterFact { workloads: vec![web, worker], ..ClusterFact::default() })
}
