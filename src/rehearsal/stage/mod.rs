//! The rehearsal's place on this machine: one private directory, loopback ports, child processes.
//!
//! One rule: nothing outlives the rehearsal. Every child is told by the kernel when we die
//! (`setpriv --pdeathsig`), is written down with its start time, and is stopped by [`Stage::close`]; what a
//! `kill -9` leaves is found through the `registry` and removed by the next start.

mod account;
mod error;
mod identity;
mod port;
mod process;
mod ready;
mod registry;
mod search;
mod shared_memory;
mod spawner;
#[cfg(test)]
mod tests;

use std::{
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
    sync::Arc,
};

pub use account::Account;
pub use error::StageError;
pub use identity::Identity;
pub use port::free_port;
pub use process::{Process, Program, Stop};
pub use ready::await_ready;
pub use registry::Swept;
pub(crate) use registry::cache_folder;
pub use search::find_program;
pub use shared_memory::give_back as give_back_shared_memory;

use registry::{Ledger, Registry};

/// The directory of one rehearsal and the list of what runs in it.
pub struct Stage {
    dir: PathBuf,
    made: bool,
    closed: bool,
    account: Option<Account>,
    ledger: Arc<Ledger>,
    swept: Vec<Swept>,
}

impl Stage {
    /// Cleans what dead rehearsals left, then takes `dir` (created, or empty) or a fresh temporary one.
    ///
    /// # Errors
    /// [`StageError::Busy`] while another rehearsal lives there, [`StageError::NotEmpty`] where the
    /// directory holds anything that is not ours.
    pub async fn open(dir: Option<PathBuf>) -> Result<Self, StageError> {
        Self::open_with(Registry::of_user()?, dir).await
    }

    async fn open_with(registry: Registry, dir: Option<PathBuf>) -> Result<Self, StageError> {
        let swept = registry.sweep().await;
        let account = Account::for_services();
        let (dir, made) = match dir {
            Some(dir) => take(&dir)?,
            None => (fresh()?, true),
        };
        // Root's services run as another user, who must be able to pass through to the room that is his.
        let passable = if account.is_some() { 0o711 } else { 0o700 };
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(passable)).map_err(StageError::at(&dir))?;
        let ledger = Arc::new(Ledger::create(&registry, &dir, made)?);
        Ok(Self { dir, made, closed: false, account, ledger, swept })
    }

    /// The directory; absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What this start found of dead rehearsals and removed.
    pub fn swept(&self) -> &[Swept] {
        &self.swept
    }

    /// The user that servers refusing root run as; `None` when we are not root.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// A private subdirectory (0700) of ours.
    pub fn room(&self, name: &str) -> Result<PathBuf, StageError> {
        let room = self.dir.join(name);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&room)
            .map_err(StageError::at(&room))?;
        Ok(room)
    }

    /// A private subdirectory that belongs to [`Stage::account`].
    pub fn service_room(&self, name: &str) -> Result<PathBuf, StageError> {
        let room = self.room(name)?;
        if let Some(account) = &self.account {
            account.can_reach(&room).map_err(StageError::at(&room))?;
            chown(&room, Some(account.uid), Some(account.gid)).map_err(StageError::at(&room))?;
        }
        Ok(room)
    }

    /// Starts `program`; its output goes to `logs/NAME.log`.
    pub async fn spawn(&self, program: Program) -> Result<Process, StageError> {
        let log = self.room("logs")?.join(format!("{}.log", program.name));
        Process::start(program, log, &self.ledger).await
    }

    /// A handle that starts programs later, for faults that restart a store.
    pub fn starter(&self) -> Result<Starter, StageError> {
        Ok(Starter { logs: self.room("logs")?, ledger: Arc::clone(&self.ledger) })
    }

    /// Leaves the directory in place when the rehearsal ends (`--keep`), also when it is killed.
    pub fn keep(&self) -> Result<(), StageError> {
        self.ledger.keep()
    }

    /// Ends what still runs and removes the directory; call it after the parts were stopped in their order.
    pub async fn close(mut self) -> Result<(), StageError> {
        self.closed = true;
        self.ledger.end_all().await;
        self.remove()
    }

    fn remove(&self) -> Result<(), StageError> {
        shared_memory::give_back_below(&self.dir);
        if self.ledger.is_kept() {
            return self.ledger.forget();
        }
        registry::remove_contents(&self.dir, self.made).map_err(StageError::at(&self.dir))?;
        self.ledger.forget()
    }
}

impl Drop for Stage {
    /// The way out of a panic or an error: no waiting, so what is still closing is left to the next start.
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        self.ledger.kill_all();
        if let Err(left) = self.remove() {
            tracing::debug!("left for the next start: {left}");
        }
    }
}

/// Starts programs on a stage that something else owns.
#[derive(Clone)]
pub struct Starter {
    logs: PathBuf,
    ledger: Arc<Ledger>,
}

impl Starter {
    /// As [`Stage::spawn`].
    pub async fn spawn(&self, program: Program) -> Result<Process, StageError> {
        let log = self.logs.join(format!("{}.log", program.name));
        Process::start(program, log, &self.ledger).await
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    open.and_then(|mut open| open.write_all(text.as_bytes()))
}

fn fresh() -> Result<PathBuf, StageError> {
    let base = std::env::temp_dir();
    let made = tempfile::Builder::new()
        .prefix("cutover-rehearsal-")
        .permissions(PermissionsExt::from_mode(0o700))
        .tempdir_in(&base)
        .map_err(StageError::at(&base))?;
    Ok(made.keep())
}

fn take(dir: &Path) -> Result<(PathBuf, bool), StageError> {
    let made = !dir.exists();
    if made {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(StageError::at(dir))?;
    }
    let dir = dir.canonicalize().map_err(StageError::at(dir))?;
    if let Some(pid) = registry::living_owner(&dir) {
        return Err(StageError::Busy { dir, pid });
    }
    if std::fs::read_dir(&dir).map_err(StageError::at(&dir))?.next().is_some() {
        return Err(StageError::NotEmpty { dir });
    }
    Ok((dir, made))
}
