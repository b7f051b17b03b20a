//! What every rehearsal of this user owns, written down so that a dead one's leftovers can be found.
//!
//! A rehearsal has a ledger `stage.json` in its directory (itself and its children by [`Identity`]) and a
//! pointer to it in the user's cache folder. Nothing is removed or killed on a name or number alone.

use std::{
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::{Identity, StageError, shared_memory::give_back_below};
use crate::rehearsal::clock;

const LEDGER: &str = "stage.json";
/// The ledger while it is written.
const NEXT: &str = "stage.json.next";
const KILL_GRACE: Duration = Duration::from_millis(500);
const REMOVALS: usize = 20;
const END_GRACE: Duration = Duration::from_secs(3);

#[derive(Serialize, Deserialize)]
struct Record {
    owner: Identity,
    /// Whether the directory itself may go, not only what is in it.
    made: bool,
    /// Whether everything is to stay when the rehearsal ends (`--keep`), in whatever way it does.
    #[serde(default)]
    kept: bool,
    children: Vec<Child>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Child {
    name: String,
    identity: Identity,
    /// Asked by SIGQUIT instead of SIGTERM: PostgreSQL's immediate shutdown, which gives its shared memory back.
    by_quit: bool,
}

impl Child {
    fn lives(&self) -> bool {
        self.identity.lives()
    }

    fn ask(&self) {
        self.identity.signal(if self.by_quit { Signal::QUIT } else { Signal::TERM });
    }
}

/// A dead rehearsal that was cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Its directory, now gone.
    pub dir: PathBuf,
    /// The children that were still running, by name.
    pub killed: Vec<String>,
}

/// The folder of pointers.
pub(super) struct Registry {
    pub(super) dir: PathBuf,
}

impl Registry {
    /// `$XDG_CACHE_HOME/cutover/rehearsals`.
    pub(super) fn of_user() -> Result<Self, StageError> {
        Self::at(cache_folder()?.join("rehearsals"))
    }

    pub(super) fn at(dir: PathBuf) -> Result<Self, StageError> {
        private_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Cleans every dead rehearsal; what cannot be cleaned is reported and left for the next start.
    pub(super) async fn sweep(&self) -> Vec<Swept> {
        let mut swept = Vec::new();
        for pointer in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let Ok(dir) = std::fs::read_to_string(pointer.path()).map(PathBuf::from) else {
                continue;
            };
            match read(&dir) {
                Some(record) if record.owner.lives() => continue,
                Some(record) => match clean(&dir, record).await {
                    Ok(done) => swept.extend(done),
                    Err(why) => {
                        tracing::warn!(
                            "{}: a dead rehearsal's leftovers cannot be removed: {why}",
                            dir.display()
                        );
                        continue;
                    }
                },
                // Written by another version of this program, which will know what to do with it.
                None if dir.join(LEDGER).exists() => continue,
                // Kept, removed by hand, or never begun: nothing there is known to be ours.
                None => {}
            }
            let _ = std::fs::remove_file(pointer.path());
        }
        swept
    }
}

/// Ends what still runs and removes the files; what was to be kept is only no longer ours.
async fn clean(dir: &Path, record: Record) -> io::Result<Option<Swept>> {
    let left: Vec<Child> = record.children.into_iter().filter(Child::lives).collect();
    end(&left).await;
    give_back_below(dir);
    if record.kept {
        return std::fs::remove_file(dir.join(LEDGER)).map(|()| None);
    }
    remove_contents(dir, record.made)?;
    let killed = left.into_iter().map(|child| child.name).collect();
    Ok(Some(Swept { dir: dir.to_path_buf(), killed }))
}

/// Asks, then kills.
async fn end(children: &[Child]) {
    let all = ask(children);
    let start = clock::mono();
    while clock::since(start) < END_GRACE && all.iter().any(Identity::lives) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kill(&all);
    while clock::since(start) < END_GRACE * 2 && all.iter().any(Identity::lives) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks the children to end, awake where they were paused; returns them with all that they started, which has
/// another parent once they are gone.
fn ask(children: &[Child]) -> Vec<Identity> {
    let family = |child: &Child| [vec![child.identity.clone()], child.identity.descendants()].concat();
    let all: Vec<Identity> = children.iter().flat_map(family).collect();
    for process in &all {
        process.signal(Signal::CONT);
    }
    children.iter().for_each(Child::ask);
    all
}

fn kill(processes: &[Identity]) {
    for process in processes {
        process.signal_group(Signal::KILL);
    }
}

/// Without a runtime to await on: the way out of a panic.
fn wait_briefly(processes: &[Identity]) {
    let start = clock::mono();
    while clock::since(start) < KILL_GRACE && processes.iter().any(Identity::lives) {
        std::thread::yield_now();
    }
}

/// The process that owns a rehearsal in `dir`, if it lives.
pub(super) fn living_owner(dir: &Path) -> Option<u32> {
    read(dir).filter(|record| record.owner.lives()).map(|record| record.owner.pid)
}

fn read(dir: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(dir.join(LEDGER)).ok()?).ok()
}

/// Empties `dir`, and removes it where it was made by us.
///
/// The ledger goes last, and only from a directory that holds nothing else: what a dying child has just written
/// must still be known as ours.
pub(super) fn remove_contents(dir: &Path, with_dir: bool) -> io::Result<()> {
    for _ in 0..REMOVALS {
        if remove_once(dir)? == 0 {
            std::fs::remove_file(dir.join(LEDGER))?;
            return if with_dir { std::fs::remove_dir(dir) } else { Ok(()) };
        }
    }
    Err(io::Error::other("something still writes there"))
}

/// Takes back what [`Ledger::create`] wrote before it failed.
fn give_back(dir: &Path, made: bool) {
    for name in [NEXT, LEDGER] {
        let _ = std::fs::remove_file(dir.join(name));
    }
    if made {
        let _ = std::fs::remove_dir(dir);
    }
}

/// Removes everything but the ledger; returns how much there was.
fn remove_once(dir: &Path) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == LEDGER {
            continue;
        }
        removed += 1;
        let gone = if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())
        } else {
            std::fs::remove_file(entry.path())
        };
        let writing = [io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty];
        if let Err(why) = gone
            && !writing.contains(&why.kind())
        {
            return Err(why);
        }
    }
    Ok(removed)
}

/// One rehearsal's own list.
pub(super) struct Ledger {
    file: PathBuf,
    pointer: PathBuf,
    record: Mutex<Record>,
}

impl Ledger {
    pub(super) fn create(registry: &Registry, dir: &Path, made: bool) -> Result<Self, StageError> {
        let owner = Identity::own().ok_or_else(|| StageError::Path {
            path: "/proc/self/stat".into(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let pointer = registry.dir.join(format!("{}-{}", owner.pid, uuid::Uuid::new_v4().simple()));
        let record = Mutex::new(Record { owner, made, kept: false, children: Vec::new() });
        let ledger = Self { file: dir.join(LEDGER), pointer, record };
        match ledger.begin(dir) {
            Ok(()) => Ok(ledger),
            Err(why) => {
                let _ = std::fs::remove_file(&ledger.pointer);
                give_back(dir, made);
                Err(why)
            }
        }
    }

    fn begin(&self, dir: &Path) -> Result<(), StageError> {
        self.write()?;
        std::fs::write(&self.pointer, dir.as_os_str().as_encoded_bytes()).map_err(in_cache(&self.pointer))
    }

    /// Everything stays when the rehearsal ends.
    pub(super) fn keep(&self) -> Result<(), StageError> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).kept = true;
        self.write()
    }

    /// Whether everything is to stay.
    pub(super) fn is_kept(&self) -> bool {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).kept
    }

    pub(super) fn add(&self, name: &str, identity: &Identity, by_quit: bool) -> Result<(), StageError> {
        let child = Child { name: name.to_owned(), identity: identity.clone(), by_quit };
        self.edit(|children| children.push(child));
        self.write()
    }

    pub(super) fn remove(&self, gone: &Identity) {
        self.edit(|children| children.retain(|child| child.identity != *gone));
        if self.file.exists() && self.write().is_err() {
            tracing::debug!("{} could not be written", self.file.display());
        }
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<Child>)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner).children);
    }

    fn children(&self) -> Vec<Child> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).children.clone()
    }

    /// Ends what is still listed.
    pub(super) async fn end_all(&self) {
        end(&self.children()).await;
    }

    /// As [`Ledger::end_all`], at once and without awaiting anything.
    pub(super) fn kill_all(&self) {
        let all = ask(&self.children());
        wait_briefly(&all);
        kill(&all);
        wait_briefly(&all); // what they had open must not be written any more
    }

    /// Drops the pointer and the ledger: nothing here is ours any more.
    pub(super) fn forget(&self) -> Result<(), StageError> {
        for file in [&self.file, &self.pointer] {
            match std::fs::remove_file(file) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(StageError::at(file)(why)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Replaces the file as a whole, so that a reader never sees half of it.
    fn write(&self) -> Result<(), StageError> {
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let text = serde_json::to_vec_pretty(&*record).map_err(io::Error::other);
        let next = self.file.with_file_name(NEXT);
        text.and_then(|text| std::fs::write(&next, text))
            .and_then(|()| std::fs::rename(&next, &self.file))
            .map_err(StageError::at(&self.file))
    }
}

/// `$XDG_CACHE_HOME/cutover` (or `~/.cache/cutover`), private; without a home a folder of this user in the
/// temporary directory.
pub(crate) fn cache_folder() -> Result<PathBuf, StageError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let folder = match base {
        Some(base) => base.join("cutover"),
        None => std::env::temp_dir().join(format!("cutover-{}", rustix::process::getuid().as_raw())),
    };
    private_dir(&folder)?;
    Ok(folder)
}

/// Creates `dir` (0700) and refuses one that belongs to somebody else.
fn private_dir(dir: &Path) -> Result<(), StageError> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(in_cache(dir))?;
    let owner = std::fs::symlink_metadata(dir).map_err(in_cache(dir))?.uid();
    if owner == rustix::process::getuid().as_raw() {
        return Ok(());
    }
    Err(in_cache(dir)(io::Error::new(io::ErrorKind::PermissionDenied, format!("belongs to user {owner}"))))
}

/// For `map_err`: an input/output error at `path` in the cache folder.
fn in_cache(path: &Path) -> impl FnOnce(io::Error) -> StageError + use<> {
    let path = path.to_path_buf();
    move |source| StageError::Cache { path, source }
}
