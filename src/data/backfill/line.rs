//! A connection that comes back: sessions end when a server restarts, the copy does not.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::clients::work::PostgresWork;
use crate::data::clock;
use crate::domain::{Kind, Trouble};

/// One session, opened when it is needed.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) work: PostgresWork,
    session: Option<PgConnection>,
    settings: &'static [&'static str],
}

impl Line {
    /// `settings` are statements that every new session begins with.
    pub(super) fn new(work: &PostgresWork, settings: &'static [&'static str]) -> Self {
        Self { work: work.clone(), session: None, settings }
    }

    /// The session, opened now if there is none.
    pub(super) async fn get(&mut self) -> Result<&mut PgConnection, Trouble> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.open().await?,
        };
        Ok(self.session.insert(session))
    }

    async fn open(&self) -> Result<PgConnection, Trouble> {
        let mut session = self.work.session().await?;
        for setting in self.settings {
            sqlx::query(*setting).execute(&mut session).await.map_err(|e| self.work.trouble(&e))?;
        }
        Ok(session)
    }

    /// Forgets the session: after an error it may be broken, or in the middle of a COPY.
    pub(super) fn drop_session(&mut self) {
        self.session = None;
    }
}

/// Waits between attempts, longer each time, until patience is over.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    since: Option<Instant>,
    turn: u32,
}

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, since: None, turn: 0 }
    }

    /// All is well again.
    pub(super) const fn calm(&mut self) {
        self.since = None;
        self.turn = 0;
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The trouble itself, when waiting cannot help or has lasted too long.
    pub(super) async fn wait(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let since = *self.since.get_or_insert_with(clock::mono);
        if !may_pass(&trouble) || clock::since(since) >= self.limit {
            return Err(trouble);
        }
        tracing::warn!(target: "backfill", "tried again: {trouble}");
        let pause = Duration::from_millis(250 << self.turn.min(5));
        self.turn += 1;
        tokio::time::sleep(pause.min(self.limit)).await;
        Ok(())
    }
}

/// Whether the same attempt may succeed later.
fn may_pass(trouble: &Trouble) -> bool {
    !matches!(
        trouble.kind,
        Kind::Unauthorized | Kind::Forbidden | Kind::Missing | Kind::NotConfigured | Kind::Tls
    )
}
