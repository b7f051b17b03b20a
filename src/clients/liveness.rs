//! A second pair of eyes on sessions that wait for long statements: a host that goes away without a word closes nothing,
//! and would be waited for for ever.
//!
//! One rule: whatever the server says shows that it is there, a refusal too; only silence, and a session that the same
//! server does not have any more, end the wait.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::time::Instant;

use super::failure::within;
use super::postgres;
use super::work::PostgresWork;
use crate::domain::{Kind, Trouble};

/// Every session of one server process (the same start, however we came there), by its backend's number.
const SESSIONS: &str =
    "SELECT pg_postmaster_start_time()::text, string_agg(pid::text, ' ') FROM pg_stat_activity";

/// How a server is watched.
#[derive(Debug, Clone, Copy)]
pub struct Pulse {
    /// From one look to the next.
    pub every: Duration,
    /// Until an answer to a look.
    pub answer: Duration,
    /// How long it may be silent.
    pub silence: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { every: secs(15), answer: secs(10), silence: secs(60) }
    }
}

/// A backend of PostgreSQL: when its server was started, and its number there.
type Backend = (String, i32);

/// The sessions that are open now.
#[derive(Debug, Clone, Default)]
pub(super) struct Open(Arc<Mutex<Vec<Backend>>>);

impl Open {
    fn change<T>(&self, change: impl FnOnce(&mut Vec<Backend>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes a session for as long as it is held.
    pub(super) fn hold(&self, connection: PgConnection, backend: Backend) -> Session {
        self.change(|open| open.push(backend.clone()));
        Session { connection, listed: Listed { open: self.clone(), backend } }
    }
}

#[derive(Debug)]
struct Listed {
    open: Open,
    backend: Backend,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.open.change(|open| {
            if let Some(at) = open.iter().position(|backend| *backend == self.backend) {
                open.swap_remove(at);
            }
        });
    }
}

/// A connection of its own, that [`PostgresWork::attended`] knows of.
#[derive(Debug)]
pub struct Session {
    connection: PgConnection,
    listed: Listed,
}

impl Session {
    /// Says goodbye to the server.
    ///
    /// # Errors
    /// The server did not hear it.
    pub async fn close(self) -> sqlx::Result<()> {
        let Self { connection, listed } = self;
        drop(listed);
        connection.close().await
    }
}

impl Deref for Session {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl PostgresWork {
    /// Does the work, for as long as the server is there.
    ///
    /// # Errors
    /// The work's own. [`Kind::Unreachable`]: the server was silent for [`Pulse::silence`], or has lost one of the
    /// sessions of this purpose in two looks; the work was dropped where it stood.
    pub async fn attended<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        tokio::select! {
            biased;
            done = work => done,
            gone = self.gone() => Err(gone),
        }
    }

    /// Comes back when the server is gone.
    async fn gone(&self) -> Trouble {
        let mut heard = Instant::now();
        let mut lost = BTreeSet::new();
        let mut eye = None;
        loop {
            tokio::time::sleep(self.pulse.every).await;
            let away = match self.look(&mut eye).await {
                Ok(now) => {
                    // One that has just ended may not have been let go of yet.
                    if now.intersection(&lost).next().is_some() {
                        let text = "the server has not got our session any more, and nothing told us so";
                        return Trouble::new(Kind::Unreachable, &self.object, text)
                            .remedy("check what stands between: it forgets connections that are silent");
                    }
                    lost = now;
                    None
                }
                Err(trouble) => matches!(trouble.kind, Kind::Unreachable | Kind::Timeout).then_some(trouble),
            };
            match away {
                None => heard = Instant::now(),
                Some(trouble) if heard.elapsed() >= self.pulse.silence => {
                    let text = format!(
                        "silent for {} s under a statement: {}",
                        heard.elapsed().as_secs(),
                        trouble.detail
                    );
                    return Trouble::new(Kind::Unreachable, &self.object, text)
                        .remedy("check the server's host; what was begun is begun again when it is back");
                }
                Some(_) => {}
            }
        }
    }

    /// Our sessions that the server we came to should have, and has not.
    async fn look(&self, eye: &mut Option<PgConnection>) -> Result<BTreeSet<i32>, Trouble> {
        within(self.pulse.answer, &self.object, "a look at our sessions", async {
            let mut connection = match eye.take() {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            let row = sqlx::raw_sql(SESSIONS).fetch_one(&mut connection).await;
            let row = row.map_err(|e| self.trouble(&e))?;
            let told = |e| postgres::trouble(&self.object, &e);
            let (server, all): (String, String) =
                (row.try_get(0).map_err(told)?, row.try_get(1).map_err(told)?);
            let there: BTreeSet<i32> = all.split(' ').filter_map(|pid| pid.parse().ok()).collect();
            *eye = Some(connection);
            Ok(self.open.change(|open| {
                let ours = open.iter().filter(|(of, _)| *of == server).map(|(_, pid)| *pid);
                ours.filter(|pid| !there.contains(pid)).collect()
            }))
        })
        .await
    }
}
