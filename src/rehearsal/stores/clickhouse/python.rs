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
    if is_ready(&folder, &python) {
        return Ok(python);
    }
    let _alone = lock(&cache_folder()?.join(format!("chdb-{VERSION}.lock")), progress).await?;
    if is_ready(&folder, &python) {
        return Ok(python); // made by the start that held the lock
    }
    progress(&format!(
        "ClickHouse: installing chdb {VERSION} into {} (once; about 300 MB to download, half a minute)",
        folder.display()
    ));
    if let Err(why) = make(stage, &folder, &python).await {
        // Hundreds of megabytes that nobody could use; perhaps the disk is full because of them.
        let _ = std::fs::remove_dir_all(&folder);
        return Err(why);
    }
    Ok(python)
}

/// Whether an environment was made to its end, and its interpreter is still the one it was made with: after an
/// upgrade of the system's Python the link leads to one that looks for packages in another folder.
fn is_ready(folder: &Path, python: &Path) -> bool {
    let Ok(interpreter) = python.canonicalize() else {
        return false;
    };
    let name = interpreter.file_name().unwrap_or_default();
    let minor = name.to_str().and_then(|name| name.strip_prefix("python3."));
    let is_numbered = minor.is_some_and(|minor| minor.parse::<u16>().is_ok());
    folder.join(COMPLETE).exists() && (!is_numbered || folder.join("lib").join(name).is_dir())
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
    run(stage, folder, Program::new("python-venv", system, venv)).await?;
    let package = format!("chdb=={VERSION}");
    let install = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", &package];
    run(stage, folder, Program::new("pip-chdb", python, install)).await?;
    let import = ["-E", "-s", "-c", "from chdb import _chdb; import pyarrow"];
    run(stage, folder, Program::new("chdb-import", python, import)).await?;
    let complete = folder.join(COMPLETE);
    std::fs::write(&complete, VERSION).map_err(StageError::at(&complete))?;
    Ok(())
}

async fn run(stage: &Stage, folder: &Path, program: Program) -> Result<(), StoreError> {
    let ended = async { stage.spawn(program).await?.finish().await };
    ended.await.map_err(|source| StoreError::Engine { folder: folder.to_path_buf(), source })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_of_another_python_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        let (folder, system) = (home.path().join("chdb"), home.path().join("python3.13"));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        std::fs::create_dir_all(folder.join("lib/python3.12")).unwrap();
        std::fs::write(folder.join(COMPLETE), VERSION).unwrap();
        let python = folder.join("bin/python");
        std::os::unix::fs::symlink(&system, &python).unwrap();
        assert!(!is_ready(&folder, &python), "the interpreter is gone");
        std::fs::write(&system, "").unwrap();
        assert!(!is_ready(&folder, &python), "it is a newer one");
        std::fs::create_dir(folder.join("lib/python3.13")).unwrap();
        assert!(is_ready(&folder, &python));
        std::fs::remove_file(folder.join(COMPLETE)).unwrap();
        assert!(!is_ready(&folder, &python), "it was not made to its end");
    }
}
