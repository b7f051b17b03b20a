//! Against a real redis-server, started privately on a free port.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::AsyncCommands as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Keys, Pace, Queue, Worker, counts, retry_failed};
use crate::rehearsal::langfuse::faults::Faults;
use crate::rehearsal::langfuse::stores::redis::Redis;
use crate::rehearsal::langfuse::tests::servers::RedisServer;

const QUEUE: &str = "ingestion-queue";

fn worker(redis: &Redis, pace: Pace) -> Worker {
    Worker { queue: QUEUE, concurrency: 3, pace, redis: redis.clone(), faults: Faults::new() }
}

async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("waited 10 s for: {what}");
}

#[tokio::test]
async fn a_job_passes_delayed_and_leaves_nothing_behind() {
    let server = RedisServer::start().await;
    let redis = server.open();
    let mut connection = redis.commands();
    let queue = Queue::new(QUEUE, redis.commands());
    let id = queue.add("ingestion-job", &json!({"n": 1}), Duration::from_millis(300)).await.unwrap();
    let found = counts(&mut connection, QUEUE).await.unwrap();
    assert_eq!((found.delayed, found.waiting), (1, 0));
    let score: f64 = connection.zscore("bull:ingestion-queue:delayed", &id).await.unwrap();
    let added: i64 = connection.hget("bull:ingestion-queue:1", "timestamp").await.unwrap();
    assert_eq!(score as i64 / 4096, added + 300);

    let seen = Arc::new(Mutex::new(Vec::new()));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (seen, stop, worker) = (seen.clone(), stop.clone(), worker(&redis, Pace::default()));
        async move {
            worker
                .run(stop, |job| {
                    seen.lock().unwrap().push((job.name, job.data));
                    async { Ok(()) }
                })
                .await;
        }
    });
    until("the job is worked", async || !seen.lock().unwrap().is_empty()).await;
    assert_eq!(seen.lock().unwrap()[0], ("ingestion-job".to_owned(), json!({"n": 1})));
    until("the job is gone", async || !connection.exists("bull:ingestion-queue:1").await.unwrap_or(true))
        .await;
    let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(&mut connection).await.unwrap();
    assert!(clients.contains("name=bull:aW5nZXN0aW9uLXF1ZXVl"), "{clients}");
    let version: String = connection.hget("bull:ingestion-queue:meta", "version").await.unwrap();
    assert!(version.starts_with("bullmq:5."));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(counts(&mut connection, QUEUE).await.unwrap(), super::Counts::default());
}

#[tokio::test]
async fn a_failing_job_is_retried_then_kept_and_can_be_retried_again() {
    let server = RedisServer::start().await;
    let redis = server.open();
    let mut connection = redis.commands();
    let queue = Queue::new(QUEUE, redis.commands());
    queue.add("ingestion-job", &json!({}), Duration::ZERO).await.unwrap();
    // Shorter back-off than Langfuse's, so that the test is quick.
    let options = json!({"attempts": 2, "backoff": {"delay": 20}}).to_string();
    let () = connection.hset("bull:ingestion-queue:1", "opts", options).await.unwrap();
    let tries = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (tries, stop, worker) = (tries.clone(), stop.clone(), worker(&redis, Pace::default()));
        async move {
            worker
                .run(stop, |_| {
                    let before = tries.fetch_add(1, SeqCst);
                    async move { if before < 2 { Err("no bucket".into()) } else { Ok(()) } }
                })
                .await;
        }
    });
    until("the job failed", async || counts(&mut connection, QUEUE).await.unwrap().failed == 1).await;
    assert_eq!(tries.load(SeqCst), 2);
    let reason: String = connection.hget("bull:ingestion-queue:1", "failedReason").await.unwrap();
    assert_eq!(reason, "no bucket");
    assert_eq!(retry_failed(&mut connection, &Keys::new(QUEUE)).await.unwrap(), 1);
    until("the job is done", async || tries.load(SeqCst) == 3).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(counts(&mut connection, QUEUE).await.unwrap().failed, 0);
}

#[tokio::test]
async fn a_dead_workers_job_goes_back_after_its_lock_ran_out() {
    let server = RedisServer::start().await;
    let redis = server.open();
    let mut connection = redis.commands();
    let pace = Pace { lock: Duration::from_millis(400), stalled_check: Duration::from_millis(300) };
    Queue::new(QUEUE, redis.commands()).add("ingestion-job", &json!({}), Duration::ZERO).await.unwrap();
    let doomed = tokio::spawn({
        let worker = worker(&redis, pace);
        async move {
            worker.run(CancellationToken::new(), |_| std::future::pending()).await;
        }
    });
    until("the job is active", async || counts(&mut connection, QUEUE).await.unwrap().active == 1).await;
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(
        connection.exists::<_, bool>("bull:ingestion-queue:1:lock").await.unwrap(),
        "the lock is renewed"
    );
    doomed.abort();
    let done = Arc::new(AtomicUsize::new(0));
    let stop = CancellationToken::new();
    let alive = tokio::spawn({
        let (done, stop, worker) = (done.clone(), stop.clone(), worker(&redis, pace));
        async move {
            worker
                .run(stop, |_| {
                    done.fetch_add(1, SeqCst);
                    async { Ok(()) }
                })
                .await;
        }
    });
    until("the stalled job is worked", async || done.load(SeqCst) == 1).await;
    stop.cancel();
    alive.await.unwrap();
    assert_eq!(counts(&mut connection, QUEUE).await.unwrap(), super::Counts::default());
}

#[tokio::test]
async fn a_stalled_queue_grows_and_flows_again() {
    let server = RedisServer::start().await;
    let redis = server.open();
    let mut connection = redis.commands();
    let queue = Queue::new(QUEUE, redis.commands());
    let stop = CancellationToken::new();
    let worker = worker(&redis, Pace::default());
    let faults = worker.faults.clone();
    faults.set_queue_stalled(true);
    let running = tokio::spawn({
        let stop = stop.clone();
        async move {
            worker.run(stop, async |_| Ok(())).await;
        }
    });
    for n in 0..20 {
        queue.add("ingestion-job", &json!({"n": n}), Duration::ZERO).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(counts(&mut connection, QUEUE).await.unwrap().delayed, 20);
    faults.set_queue_stalled(false);
    until("the queue is empty", async || {
        counts(&mut connection, QUEUE).await.unwrap() == super::Counts::default()
    })
    .await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_job_in_work_ends_while_the_queue_is_stalled() {
    let server = RedisServer::start().await;
    let redis = server.open();
    let mut connection = redis.commands();
    Queue::new(QUEUE, redis.commands()).add("ingestion-job", &json!({}), Duration::ZERO).await.unwrap();
    let (stop, go) = (CancellationToken::new(), CancellationToken::new());
    let worker = worker(&redis, Pace::default());
    let faults = worker.faults.clone();
    let running = tokio::spawn({
        let (stop, go) = (stop.clone(), go.clone());
        async move {
            let work = async |_| {
                go.cancelled().await;
                Ok(())
            };
            worker.run(stop, work).await;
        }
    });
    until("the job is active", async || counts(&mut connection, QUEUE).await.unwrap().active == 1).await;
    faults.set_queue_stalled(true);
    go.cancel();
    until("the job is done", async || counts(&mut connection, QUEUE).await.unwrap().active == 0).await;
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_retry_takes_what_has_failed_by_now_and_heeds_a_pause() {
    let server = RedisServer::start().await;
    let mut connection = server.open().commands();
    let later = crate::rehearsal::clock::now_ms() + 3_600_000;
    let failed = "bull:ingestion-queue:failed";
    let () = connection.zadd_multiple(failed, &[(1_000, "1"), (later, "2")]).await.unwrap();
    assert_eq!(retry_failed(&mut connection, &Keys::new(QUEUE)).await.unwrap(), 1);
    let found = counts(&mut connection, QUEUE).await.unwrap();
    assert_eq!((found.failed, found.waiting), (1, 1), "what fails meanwhile stays");

    let () = connection.hset("bull:ingestion-queue:meta", "paused", 1).await.unwrap();
    let () = connection.zadd(failed, "3", 1_000).await.unwrap();
    assert_eq!(retry_failed(&mut connection, &Keys::new(QUEUE)).await.unwrap(), 1);
    let found = counts(&mut connection, QUEUE).await.unwrap();
    assert_eq!((found.paused, found.waiting), (1, 1));
}
