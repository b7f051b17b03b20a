//! A connection that comes back: sessions end when a server restarts, the copy does not.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use crate::clients::liveness::Session;
use crate::clients::work::PostgresWork;
use crate::data::clock;
use crate::domain::{Kind, Trouble};

/// One session, opened when it is needed.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) work: PostgresWork,
    session: Option<Session>,
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

    async fn open(&self) -> Result<Session, Trouble> {
        let mut session = self.work.session().await?;
        for setting in self.settings {
            sqlx::query(*setting).execute(&mut *session).await.map_err(|e| self.work.trouble(&e))?;
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
    long: u32,
}

/// Attempts that lasted long and failed all the same, after which it is no accident.
const LONG: u32 = 10;

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, since: None, turn: 0, long: 0 }
    }

    /// How long it lasts.
    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    /// All is well again.
    pub(super) const fn calm(&mut self) {
        self.since = None;
        self.turn = 0;
    }

    /// An attempt that began at `begun` failed: where it lasted longer than the patience, all was well until then.
    pub(super) fn lasted(&mut self, begun: Instant) {
        if clock::since(begun) > self.limit && self.long < LONG {
            self.calm();
            self.long += 1;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    fn cut() -> Trouble {
        Trouble::new(Kind::Unreachable, "PostgreSQL x", "the connection was cut")
    }

    #[tokio::test]
    async fn cuts_that_lie_apart_are_not_one_outage() {
        let mut patience = Patience::new(LIMIT);
        for _ in 0..LONG {
            let begun = clock::mono();
            tokio::time::sleep(LIMIT + LIMIT / 4).await;
            patience.lasted(begun);
            patience.wait(cut()).await.unwrap();
        }
        let begun = clock::mono();
        tokio::time::sleep(LIMIT + LIMIT / 4).await;
        patience.lasted(begun);
        patience.wait(cut()).await.expect_err("it will not end well any more");
    }

    #[tokio::test]
    async fn attempts_that_fail_at_once_are() {
        let mut patience = Patience::new(LIMIT);
        patience.lasted(clock::mono());
        patience.wait(cut()).await.unwrap();
        patience.lasted(clock::mono());
        patience.wait(cut()).await.expect_err("it is away for longer than the limit");
    }
}
