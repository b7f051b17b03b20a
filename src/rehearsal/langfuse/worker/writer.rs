//! Rows on their way to ClickHouse: collected in memory, flushed by size and by time.
//!
//! The job of a row is already completed when it waits here: a process that dies, or a ClickHouse that refuses
//! three times, loses it, and only S3 still has the event (sheet 4.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::super::pod::Log;
use super::super::process::Crew;
use super::super::settings::Settings;
use super::super::stores::clickhouse::{ClickHouse, Row};

/// The tables written here, in flush order.
const TABLES: &[&str] = &["traces", "scores", "observations", "event_log"];

/// Collects and writes rows; cheap to clone.
#[derive(Clone)]
pub(super) struct Writer(Arc<Inner>);

struct Inner {
    server: ClickHouse,
    log: Log,
    batch: usize,
    interval: Duration,
    attempts: u32,
    waiting: Mutex<BTreeMap<&'static str, Vec<Item>>>,
    /// Shared by every insert under way: whoever has it alone knows that there is none.
    under_way: tokio::sync::RwLock<()>,
}

struct Item {
    attempts: u32,
    row: Row,
}

impl Writer {
    pub(super) fn new(server: ClickHouse, settings: &Settings, log: Log) -> Self {
        Self(Arc::new(Inner {
            server,
            log,
            batch: settings.write_batch.max(1),
            interval: settings.write_interval.max(Duration::from_millis(1)),
            attempts: settings.write_attempts,
            waiting: Mutex::default(),
            under_way: tokio::sync::RwLock::default(),
        }))
    }

    /// Flushes every interval for as long as the process lives.
    pub(super) fn start(&self, crew: &Crew) {
        let writer = self.clone();
        let (interval, batch) = (writer.0.interval.as_millis(), writer.0.batch);
        self.0.log.info(&format!(
            "Starting ClickhouseWriter. Max interval: {interval} ms, Max batch size: {batch}"
        ));
        crew.spawn(async move {
            loop {
                tokio::time::sleep(writer.0.interval).await;
                writer.flush_all(false).await;
            }
        });
    }

    /// Takes a row; a full batch is flushed at once.
    pub(super) fn add(&self, crew: &Crew, table: &'static str, row: Row) {
        let full = {
            let mut waiting = self.lock();
            let queue = waiting.entry(table).or_default();
            queue.push(Item { attempts: 1, row });
            queue.len() >= self.0.batch
        };
        if full {
            let writer = self.clone();
            crew.spawn(async move { writer.flush(table, false).await });
        }
    }

    /// Writes everything that waits, once. An insert that is under way is waited for: the real process lives
    /// until its answer has come.
    pub(super) async fn shutdown(&self) {
        self.0.log.info("Shutting down ClickhouseWriter...");
        self.flush_all(true).await;
        drop(self.0.under_way.write().await);
        self.0.log.info("ClickhouseWriter shutdown complete.");
    }

    async fn flush_all(&self, everything: bool) {
        for table in TABLES {
            self.flush(table, everything).await;
        }
    }

    async fn flush(&self, table: &'static str, everything: bool) {
        // Taken before the rows leave the queue: between the two they would be nobody's.
        let _under_way = self.0.under_way.read().await;
        let mut items = {
            let mut waiting = self.lock();
            let queue = waiting.entry(table).or_default();
            let count = if everything { queue.len() } else { queue.len().min(self.0.batch) };
            queue.drain(..count).collect::<Vec<_>>()
        };
        if items.is_empty() {
            return;
        }
        let rows: Vec<Row> = items.iter_mut().map(|item| std::mem::take(&mut item.row)).collect();
        let Err(error) = self.0.server.insert(table, &rows).await else {
            return;
        };
        self.0.log.error(&format!("ClickhouseWriter.writeToClickhouse {error}"));
        self.0.log.error(&format!("ClickhouseWriter.flush {table} {error}"));
        let mut waiting = self.lock();
        let queue = waiting.entry(table).or_default();
        for (item, row) in items.into_iter().zip(rows) {
            if item.attempts < self.0.attempts {
                queue.push(Item { attempts: item.attempts + 1, row });
            } else {
                self.0.log.error(&format!(
                    "Max attempts reached for {table} record. Dropping record {}",
                    row["id"]
                ));
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Vec<Item>>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::super::super::{Faults, Kind, Pod};
    use super::*;

    /// A writer whose ClickHouse answers when `answer` is cancelled, and cancels `asked` when it is asked.
    async fn writer(asked: CancellationToken, answer: CancellationToken) -> Writer {
        crate::clients::tls::install_provider();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let slow = axum::Router::new().fallback(async move || {
            asked.cancel();
            answer.cancelled().await;
        });
        tokio::spawn(async move { axum::serve(listener, slow).await });
        let env = [
            ("DATABASE_URL", "postgresql://nobody"),
            ("CLICKHOUSE_URL", &url),
            ("CLICKHOUSE_USER", "default"),
            ("CLICKHOUSE_PASSWORD", ""),
            ("REDIS_CONNECTION_STRING", "redis://nobody"),
            ("LANGFUSE_S3_EVENT_UPLOAD_BUCKET", "events"),
        ];
        let env = env.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let settings = Settings::read(Kind::V3Worker, &env).unwrap();
        let server = ClickHouse::open(settings.clickhouse.as_ref().unwrap()).unwrap();
        Writer::new(server, &settings, Pod::new("worker", |_| {}, Faults::new()).log().clone())
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_the_insert_under_way() {
        let (asked, answer) = (CancellationToken::new(), CancellationToken::new());
        let writer = writer(asked.clone(), answer.clone()).await;
        writer.lock().entry("traces").or_default().push(Item { attempts: 1, row: Row::new() });
        let flush = tokio::spawn({
            let writer = writer.clone();
            async move { writer.flush("traces", false).await }
        });
        asked.cancelled().await;
        let mut shutdown = std::pin::pin!(writer.shutdown());
        let early = tokio::time::timeout(Duration::from_millis(200), &mut shutdown).await;
        assert!(early.is_err(), "the row is neither in memory nor stored yet");
        answer.cancel();
        shutdown.await;
        flush.await.unwrap();
    }
}
