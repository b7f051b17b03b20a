//! Where this program lies on disk, for those of its kind that it starts: a watchdog, a verb.
//!
//! One rule: it is there. A program that was replaced while it runs is called by its name "(deleted)", and whoever
//! starts that through another program is not told that nothing runs.

use std::io;
use std::path::{Path, PathBuf};

/// What the kernel puts behind the name of a file that is gone.
const GONE: &str = " (deleted)";

/// The file of this program; the one that took its place where it was replaced.
///
/// # Errors
/// There is none.
pub(super) fn find() -> io::Result<PathBuf> {
    placed(&std::env::current_exe()?)
}

fn placed(file: &Path) -> io::Result<PathBuf> {
    let newer = || file.to_str()?.strip_suffix(GONE).map(PathBuf::from);
    let there = [Some(file.to_owned()), newer()].into_iter().flatten().find(|file| file.is_file());
    there.ok_or_else(|| {
        let text = format!("{} is gone: was the program removed while it runs?", file.display());
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_replaced_is_found_and_a_removed_one_is_told() {
        assert!(find().unwrap().is_file());
        let folder = tempfile::tempdir().unwrap();
        let (file, gone) = (folder.path().join("cutover"), folder.path().join("cutover (deleted)"));
        let refused = placed(&gone).unwrap_err().to_string();
        assert!(refused.contains("cutover (deleted) is gone"), "{refused}");
        std::fs::write(&file, "").unwrap();
        assert_eq!(placed(&gone).unwrap(), file);
        assert_eq!(placed(&file).unwrap(), file);
    }
}
