//! The manager: it runs once, when the worker starts, and quits for good when there is nothing to do or when
//! somebody else's lock is fresh. It is no poller, and that is the trap (sheet 1.5 A).

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;

use super::super::LangfuseError;
use super::super::process::{Context, Crew};
use super::super::stores::clickhouse::ClickHouse;
use super::lock::{self, Claimed};
use super::validate::validate;
use super::{SCRIPTS, Script, Tools, copy, cost};

/// How often a held lock is renewed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// What the real manager's `failed_reason` says of PostgreSQL's serialization failures.
const WRITE_CONFLICT: &str =
    "Transaction failed due to a write conflict or a deadlock. Please retry your transaction";

/// The background migrations of one worker process.
#[derive(Clone)]
pub(crate) struct Manager {
    tools: Tools,
    worker: String,
    active: Arc<Mutex<Option<Claimed>>>,
}

impl Manager {
    /// Each process is a worker of its own name: a random UUID.
    pub(crate) fn new(context: &Context, pool: PgPool, clickhouse: ClickHouse) -> Self {
        let settings = context.settings.clickhouse.as_ref();
        let credentials = settings
            .is_some_and(|it| !it.url.is_empty() && !it.user.is_empty() && !it.password.expose().is_empty());
        Self {
            tools: Tools {
                pool,
                clickhouse,
                credentials,
                log: context.log.clone(),
                faults: context.faults.clone(),
                crew: context.crew.clone(),
                aborted: Arc::default(),
            },
            worker: uuid::Uuid::new_v4().to_string(),
            active: Arc::default(),
        }
    }

    /// Runs beside the queues until it quits.
    pub(crate) fn start(&self, crew: &Crew) {
        let heart = self.clone();
        crew.spawn(async move { heart.keep_beating().await });
        let manager = self.clone();
        crew.spawn(async move {
            if let Err(error) = manager.run().await {
                manager.tools.log.error(&format!("Error running background migrations {error}"));
            }
        });
    }

    /// SIGTERM: stops after the batch in work and gives the lock back. The loop of the real manager then goes round
    /// once more and takes the same row again, as long as its process lives: there, a pod that is killed at the end
    /// of its grace can leave a fresh lock after all. Not played here.
    pub(crate) async fn close(&self) -> Result<(), LangfuseError> {
        let Some(claimed) = self.active() else {
            return Ok(());
        };
        self.tools.aborted.store(true, Relaxed);
        lock::release(&self.tools.pool, &claimed.id, &self.worker).await?;
        self.tools.log.info(&format!("[Background Migration] Aborted active migration {}", claimed.name));
        self.set_active(None);
        Ok(())
    }

    async fn run(&self) -> Result<(), LangfuseError> {
        let log = &self.tools.log;
        while let Some(claimed) =
            lock::claim(&self.tools.pool, &self.worker).await.map_err(in_prismas_words)?
        {
            let name = &claimed.name;
            log.info(&format!("[Background Migration] Found background migrations {name} to run"));
            log.info(&format!("[Background Migration] Acquired lock for background migration {name}"));
            let script = SCRIPTS.iter().find(|row| row.0 == claimed.script).map(|row| row.1);
            let script = script.ok_or_else(|| {
                LangfuseError::refused(format!("Cannot find module './{}'", claimed.script))
            })?;
            self.set_active(Some(claimed.clone()));
            lock::beat(&self.tools.pool, &claimed.id, &self.worker).await?;
            self.run_one(&claimed, script).await?;
            if self.tools.is_aborted() {
                return Ok(());
            }
        }
        log.info("[Background Migration] No background migrations to run");
        Ok(())
    }

    async fn run_one(&self, claimed: &Claimed, script: Script) -> Result<(), LangfuseError> {
        let (log, pool, name) = (&self.tools.log, &self.tools.pool, &claimed.name);
        // An error here (ClickHouse unreachable) ends the manager while the heart goes on beating: the row looks
        // active for as long as the process lives.
        if let Err(reason) = validate(&self.tools, script).await? {
            log.error(&format!(
                "[Background Migration] Validation failed for background migration {name}: {reason}"
            ));
            return lock::fail(pool, &claimed.id, &self.worker, &reason).await;
        }
        let outcome = match script {
            Script::Cost => cost::run(&self.tools, &claimed.args).await,
            Script::Copy(source) => copy::run(&self.tools, source, &claimed.args).await,
        };
        match outcome.map_err(in_prismas_words) {
            Ok(()) => {
                // The real manager looks at its active migration alone, and so can mark an aborted one finished
                // when the last batch ends while SIGTERM's unlock is under way: rare there, not played here.
                if !self.tools.is_aborted() {
                    lock::finish(pool, &claimed.id, &self.worker).await?;
                    log.info(&format!("[Background Migration] Finished background migration {name}"));
                }
            }
            Err(error) => {
                log.error(&format!(
                    "[Background Migration] Failed to run background migration {name}: Error: {error}"
                ));
                lock::fail(pool, &claimed.id, &self.worker, &error.to_string()).await?;
            }
        }
        self.set_active(None);
        Ok(())
    }

    async fn keep_beating(&self) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            self.tools.faults.thawed().await;
            if let Some(claimed) = self.active() {
                // A missed beat is made up for by the next; three of them lose the lock.
                let _ = lock::beat(&self.tools.pool, &claimed.id, &self.worker).await;
            }
        }
    }

    fn active(&self) -> Option<Claimed> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_active(&self, claimed: Option<Claimed>) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = claimed;
    }
}

/// Serialization failures and deadlocks as Prisma names them.
fn in_prismas_words(error: LangfuseError) -> LangfuseError {
    if let LangfuseError::Postgres(sqlx::Error::Database(inner)) = &error
        && matches!(inner.code().as_deref(), Some("40001" | "40P01"))
    {
        return LangfuseError::refused(WRITE_CONFLICT);
    }
    error
}

/// The failure a scenario asks for.
pub(super) fn write_conflict() -> LangfuseError {
    LangfuseError::refused(WRITE_CONFLICT)
}
