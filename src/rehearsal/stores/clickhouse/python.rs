//! The private Python environment with chdb, made once per user and version.

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::rehearsal::{
    clock,
    stage::{Program, Stage, StageError, cache_folder, find_program},
    stores::StoreError,
};

/// The chdb release; its engine is ClickHouse 26.9.
const VERSION: &str = "4.4.0";
/// Written last, so that a half-made environment is never used.
const COMPLETE: &str = "complete";
const SLOW: Duration = Duration::from_secs(3);

/// The interpreter of an environment that has chdb; makes it where it is missing.
pub(super) async fn with_chdb(
    stage: &Stage,
    progress: &(dyn Fn(&str) + Sync),
) -> Result<PathBuf, StoreError> {
    let folder = cache_folder()?.join(format!("chdb-{VERSION}"));
    let python = folder.join("bin/python");
    if folder.join(COMPLETE).exists() && python.exists() {
        return Ok(python);
    }
    let _alone = lock(&cache_folder()?.join(format!("chdb-{VERSION}.lock")), progress).await?;
    if folder.join(COMPLETE).exists() && python.exists() {
        return Ok(python); // made by the start that held the lock
    }
    progress(&format!(
        "ClickHouse: installing chdb {VERSION} into {} (once; about 300 MB to download, half a minute)",
        folder.display()
    ));
    make(stage, &folder, &python).await?;
    Ok(python)
}

async fn make(stage: &Stage, folder: &Path, python: &Path) -> Result<(), StoreError> {
    let system = find_program(&["python3"], &[]).ok_or(StageError::Missing {
        program: "python3",
        place: "on PATH",
        remedy: "install it (apt-get install python3 python3-venv), or put a `clickhouse` binary on PATH",
    })?;
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(StageError::at(folder))?;
    }
    let venv = ["-m".as_ref(), "venv".as_ref(), folder.as_os_str()];
    run(stage, Program::new("python-venv", system, venv)).await?;
    let package = format!("chdb=={VERSION}");
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", &package];
    run(stage, Program::new("pip-chdb", python, install)).await?;
    let import = ["-E", "-s", "-c", "from chdb import _chdb; import pyarrow"];
    run(stage, Program::new("chdb-import", python, import)).await?;
    let complete = folder.join(COMPLETE);
    std::fs::write(&complete, VERSION).map_err(StageError::at(&complete))?;
    Ok(())
}

async fn run(stage: &Stage, program: Program) -> Result<(), StageError> {
    stage.spawn(program).await?.finish().await
}

/// One start at a time makes the environment; the others wait for it and say so.
async fn lock(file: &Path, progress: &(dyn Fn(&str) + Sync)) -> Result<File, StageError> {
    let open =
        std::fs::OpenOptions::new().create(true).append(true).open(file).map_err(StageError::at(file))?;
    let begun = clock::mono();
    let mut told = false;
    loop {
        match open.try_lock() {
            Ok(()) => return Ok(open),
            Err(TryLockError::Error(why)) => return Err(StageError::at(file)(why)),
            Err(TryLockError::WouldBlock) if !told && clock::since(begun) > SLOW => {
                progress("ClickHouse: another rehearsal is installing chdb; waiting for it");
                told = true;
            }
            Err(TryLockError::WouldBlock) => {}
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
