//! The shared memory of a PostgreSQL server that was killed: only a restart on the same directory would remove it.
//!
//! One rule: a segment goes only when its number and its key are those that the dead server wrote down.

use std::path::Path;

use super::find_program;

/// The System V segments of this machine (proc(5)).
const SEGMENTS: &str = "/proc/sysvipc/shm";

/// Removes the segment (56 bytes) of the server that died in the data directory `data`, if it left one.
pub fn give_back(data: &Path) {
    let written = std::fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let segments = std::fs::read_to_string(SEGMENTS).unwrap_or_default();
    if let (Some(id), Some(ipcrm)) = (left(&written, &segments), find_program(&["ipcrm"], &[])) {
        let removed = std::process::Command::new(ipcrm).args(["-m", id]).output();
        tracing::debug!("shared memory {id}: {removed:?}");
    }
}

/// As [`give_back`], for the data directory in any room of `dir`.
pub(super) fn give_back_below(dir: &Path) {
    for room in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        give_back(&room.path().join("data"));
    }
}

/// The number of the segment in line 7 of `postmaster.pid` (`key id`), where the table (`key shmid …`) has it.
fn left<'a>(written: &'a str, segments: &str) -> Option<&'a str> {
    let mut words = written.lines().nth(6)?.split_whitespace();
    let (key, id) = (words.next()?, words.next()?);
    let row = |line: &str| line.split_whitespace().take(2).eq([key, id]);
    segments.lines().any(row).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_key_must_both_be_there() {
        let written = "24346\n/data\n1763862000\n15001\n/tmp\n127.0.0.1\n  10453034   5079077\nready   \n";
        let table =
            "       key      shmid perms       size  cpid\n  10453034    5079077   600         56 24346\n";
        assert_eq!(left(written, table), Some("5079077"));
        assert_eq!(left(written, &table.replace("10453034", "10453035")), None, "somebody else's");
        assert_eq!(left(written, "       key      shmid perms\n"), None, "removed before");
        assert_eq!(left("24346\n/data\n", table), None, "ended before it had one");
    }
}
