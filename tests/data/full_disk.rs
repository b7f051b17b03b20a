//! PostgreSQL's disk fills up while v3's rows are written back: a small file system under one of its tables.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::rehearsal::Rehearsal;
use crate::forward::{ask, compare_but, sql, waiting};
use crate::kills::{ROWS, v3_writes};

/// A file system in memory, gone with the value.
struct Small(PathBuf);

impl Small {
    /// Of so many KiB, for the user that owns `like`; the reason where this user or machine cannot mount one.
    fn mount(kib: u32, like: &Path) -> Result<Self, String> {
        let at = std::env::temp_dir().join(format!("cutover-small-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&at).unwrap();
        let (user, group) = std::fs::metadata(like).map(|m| (m.uid(), m.gid())).unwrap();
        let options = format!("size={kib}k,mode=700,uid={user},gid={group}");
        let small = Self(at);
        mount(&small.0, &options).map(|()| small)
    }

    /// Makes room.
    fn grow(&self, kib: u32) {
        mount(&self.0, &format!("remount,size={kib}k")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn mount(at: &Path, options: &str) -> Result<(), String> {
    let mut command = Command::new("mount");
    let output = command.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
    let output = output.map_err(|e| e.to_string())?;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

async fn traces(rehearsal: &Rehearsal) -> usize {
    ask(rehearsal, "SELECT count(*)::text FROM traces").await.parse().unwrap()
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_rest_follows_when_there_is_room() {
    let rehearsal = waiting("50", &[]).await;
    let data = PathBuf::from(ask(&rehearsal, "SHOW data_directory").await);
    let small = match Small::mount(1536, &data) {
        Ok(small) => small,
        Err(why) => {
            eprintln!("SKIPPED: a small file system cannot be mounted here (this needs root): {why}");
            return;
        }
    };
    sql(&rehearsal, "TRUNCATE traces, observations, scores").await;
    // Not within a transaction.
    sql(&rehearsal, &format!("CREATE TABLESPACE small LOCATION '{}'", small.0.display())).await;
    sql(&rehearsal, "ALTER TABLE traces SET TABLESPACE small").await;
    v3_writes(&rehearsal).await;

    let mut before = 0;
    for turn in 1..=2 {
        let output = rehearsal.verb(&["restore", "--yes"]);
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{words}");
        for word in ["No space left on device", "53100", "make room and start again"] {
            assert!(words.contains(word), "{word}: {words}");
        }
        let rows = traces(&rehearsal).await;
        assert!(rows < ROWS && rows % 500 == 0 && rows >= before, "turn {turn}: {rows} are no whole batches");
        before = rows;
    }
    assert!(before > 0, "there was no room for a single batch: nothing was in the middle");
    // Nothing that needs a trace was written without it.
    let orphans = "SELECT count(*)::text FROM observations o WHERE NOT EXISTS (SELECT FROM traces t WHERE t.id = o.trace_id)";
    assert_eq!(ask(&rehearsal, orphans).await, "0");

    small.grow(64 << 10);
    let output = rehearsal.verb(&["restore", "--yes"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(compare_but(&rehearsal, &[], &["event_ts"], 0).await, 3 * ROWS);
    drop(rehearsal);
}
