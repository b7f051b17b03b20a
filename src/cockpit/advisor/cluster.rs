//! Workloads: versions that do not belong together, containers that come and go.

use crate::domain::Now;
use crate::domain::cluster::{Role, Workload};

use super::super::Model;
use super::{Findings, Severity, add};

pub(super) fn advise(model: &Model, now: Now, findings: &mut Findings) {
    let Some(cluster) = model.facts.cluster.value() else {
        return;
    };
    let of = |role| cluster.of(role);
    if let (Some(web), Some(worker)) = (of(Role::Web), of(Role::Worker)) {
        if web.tag != worker.tag {
            add(
                findings,
                "tags-differ",
                Severity::Critical,
                "web and worker run different versions",
                format!("web {}, worker {}", web.tag, worker.tag),
                "give both the same tag: a worker cannot run migrations that it does not know",
            );
        }
        if [&web.tag, &worker.tag].iter().any(|t| major(t) >= Some(4)) {
            add(
                findings,
                "version-4",
                Severity::Critical,
                "this is Langfuse 4: its migrations drop v2's tables",
                format!("web {}, worker {}", web.tag, worker.tag),
                "stop; go back to 3.29.0 if its web has not started yet, and take a backup of PostgreSQL first",
            );
        }
    }
    for workload in cluster.workloads.iter().filter(|w| w.role != Role::Other) {
        restarts(workload, now, findings);
    }
}

fn major(tag: &str) -> Option<u32> {
    tag.trim_start_matches('v').split('.').next()?.parse().ok()
}

fn restarts(workload: &Workload, now: Now, findings: &mut Findings) {
    if workload.ready < workload.desired
        && let Some(trouble) = &workload.trouble
    {
        let title = format!("{} has {} of {} pods ready", workload.name, workload.ready, workload.desired);
        add(
            findings,
            "not-ready",
            Severity::Warning,
            title,
            trouble.clone(),
            "kubectl describe and logs --previous of its pods",
        );
    }
    let Some(restart) = &workload.last_restart else {
        return;
    };
    let Some(at) = restart.at.filter(|at| now.wall.duration_since(*at).as_secs() < 600) else {
        return;
    };
    add(
        findings,
        "restarted",
        Severity::Warning,
        format!("{} restarted at {at:.0}", workload.name),
        format!("{}; {} restarts in all", restart.reason, workload.restarts),
        if workload.role == Role::Worker {
            "a backfill that ran in it gives up when it restarts within 60 s: look at the lock age"
        } else {
            "logs --previous of its pods"
        },
    );
}
