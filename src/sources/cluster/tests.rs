//! Objects folded without a server.

use serde_json::json;

use super::*;
use crate::domain::cluster::Role;

fn pod(name: &str, ready: &str, restarts: i32) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"pod-template-hash": "abc"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "langfuse-worker-abc", "uid": "u",
                "controller": true}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "w", "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-01-02T03:04:05Z"}}}]}
    }))
    .unwrap()
}

fn deployment() -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "langfuse-worker"},
        "spec": {"replicas": 2, "selector": {}, "template": {"spec": {"containers": [{"name": "w",
            "image": "langfuse/langfuse-worker:3.29.0",
            "env": [{"name": "LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS", "value": "false"}]}]}}},
        "status": {"readyReplicas": 1, "updatedReplicas": 2}
    }))
    .unwrap()
}

#[test]
fn restarts_and_reasons_reach_the_workload() {
    let mut fold = Fold::default();
    fold.deployment(&deployment());
    fold.pod(&pod("a", "True", 2));
    fold.pod(&pod("b", "False", 1));
    let fact = fold.fact(&[]);
    let worker = &fact.workloads[0];
    assert_eq!((worker.role, worker.ready, worker.desired, worker.restarts), (Role::Worker, 1, 2, 3));
    assert_eq!(worker.last_restart.as_ref().unwrap().reason, "OOMKilled, exit 137");
    assert_eq!(worker.trouble.as_deref(), Some("CrashLoopBackOff"));
    assert_eq!(worker.migrations_enabled, Some(false));
    assert_eq!((fact.pods, fact.pods_ready), (2, 1));
    fold.pod_gone("b");
    assert_eq!(fold.fact(&[]).workloads[0].restarts, 2);
}

#[test]
fn five_thousand_pods_stay_small() {
    let mut fold = Fold::default();
    for n in 0..5_000 {
        fold.pod(&pod(&format!("langfuse-worker-abc-{n}"), "True", 0));
    }
    assert_eq!(fold.fact(&[]).pods_ready, 5_000);
}

#[test]
fn what_may_not_be_read_is_said() {
    let denied = Trouble::new(Kind::Forbidden, "Kubernetes", "watch events: 403").remedy("grant it");
    let fact = Fold::default().fact(&[denied]);
    assert_eq!((fact.events[0].reason.as_str(), fact.events[0].warning), ("forbidden", true));
}
