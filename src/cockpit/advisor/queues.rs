//! Queues that are not worked off.

use std::time::Duration;

use crate::domain::Now;
use crate::domain::queue::Queue;
use crate::domain::units::{grouped, span};

use super::super::Model;
use super::super::guards::QUEUE_LATE;
use super::super::history::QueueHistory;
use super::{Findings, Severity, add};

pub(super) fn advise(model: &Model, _: Now, findings: &mut Findings) {
    let Some(fact) = model.facts.queues.value() else {
        return;
    };
    for queue in &fact.queues {
        let ingestion = queue.name.contains("ingestion-queue");
        if ingestion {
            let still = model.history.queues.get(&queue.name).and_then(QueueHistory::still);
            stalled(queue, still, findings);
        }
        if queue.failed > 0 && (ingestion || queue.name.contains("trace-upsert")) {
            add(
                findings,
                "queue-failed",
                Severity::Warning,
                format!("{} has failed jobs", queue.name),
                format!("{} jobs after all their attempts", grouped(queue.failed)),
                "their events are in S3: mend the cause, then retry them (admin API: POST /api/admin/bullmq, action retry)",
            );
        }
    }
}

fn stalled(queue: &Queue, still: Option<Duration>, findings: &mut Findings) {
    let evidence = format!(
        "{} to do, {} active, oldest {}",
        grouped(queue.waiting + queue.overdue),
        grouped(queue.active),
        queue.oldest.map_or_else(|| "-".into(), span)
    );
    if queue.paused {
        let remedy = "resume it: what v3 accepted is in S3 and not yet visible";
        add(
            findings,
            "queue-paused",
            Severity::Critical,
            format!("{} is paused", queue.name),
            evidence,
            remedy,
        );
    } else if queue.consumers == Some(0) && queue.depth() > 0 {
        let remedy = "start or restart the v3 worker; what v3 accepted waits here";
        add(
            findings,
            "queue-no-worker",
            Severity::Critical,
            format!("{} has no worker", queue.name),
            evidence,
            remedy,
        );
    } else if queue.oldest.is_some_and(|age| age > QUEUE_LATE) {
        let remedy = "look at the worker's log and at ClickHouse; hold the split until it is worked off";
        add(
            findings,
            "queue-late",
            Severity::Critical,
            format!("{} falls behind", queue.name),
            evidence,
            remedy,
        );
    } else if let Some(still) = still.filter(|_| queue.waiting + queue.overdue > 0) {
        let remedy = "look at the worker's log and at ClickHouse before the next step";
        let evidence = format!("no job was done for {}; {evidence}", span(still));
        add(
            findings,
            "queue-still",
            Severity::Warning,
            format!("{} stands still", queue.name),
            evidence,
            remedy,
        );
    }
}
