//! The stage against real processes, one of them killed with SIGKILL.

use std::{path::Path, process::Command, time::Duration};

use super::{registry::Registry, *};
use crate::rehearsal::clock;

fn sleeper(name: &str) -> Program {
    Program::new(name, "/bin/sleep", ["600"])
}

fn registry(dir: &Path) -> Registry {
    Registry::at(dir.join("registry")).unwrap()
}

#[tokio::test]
async fn nothing_is_left_after_close() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::open_with(registry(home.path()), None).await.unwrap();
    let dir = stage.dir().to_path_buf();
    let running = stage.spawn(sleeper("a")).await.unwrap();
    let stopped = stage.spawn(sleeper("b")).await.unwrap();
    let identity = Identity::of(running.pid()).unwrap();
    stopped.stop(Duration::from_secs(5)).await;
    stage.close().await.unwrap();
    assert!(!identity.lives() && !dir.exists());
    assert_eq!(std::fs::read_dir(home.path().join("registry")).unwrap().count(), 0);
    drop(running);
}

#[tokio::test]
async fn a_directory_with_other_files_is_refused_and_a_kept_one_stays() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("mine");
    let stage = Stage::open_with(registry(home.path()), Some(dir.clone())).await.unwrap();
    let busy = Stage::open_with(registry(home.path()), Some(dir.clone())).await.err().unwrap();
    assert!(matches!(busy, StageError::Busy { .. }), "{busy}");
    stage.room("data").unwrap();
    stage.keep().unwrap();
    stage.close().await.unwrap();
    assert!(dir.join("data").exists());
    let full = Stage::open_with(registry(home.path()), Some(dir)).await.err().unwrap();
    assert!(matches!(full, StageError::NotEmpty { .. }), "{full}");
}

#[tokio::test]
async fn what_another_version_wrote_is_left_to_it() {
    let home = tempfile::tempdir().unwrap();
    let theirs = home.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("stage.json"), "{\"version\": 9}").unwrap();
    let registry_dir = registry(home.path()).dir;
    std::fs::write(registry_dir.join("1-theirs"), theirs.to_str().unwrap()).unwrap();
    std::fs::write(registry_dir.join("2-gone"), "/nowhere").unwrap();
    let stage = Stage::open_with(registry(home.path()), None).await.unwrap();
    assert!(stage.swept().is_empty() && theirs.exists());
    stage.close().await.unwrap();
    assert!(registry_dir.join("1-theirs").exists() && !registry_dir.join("2-gone").exists());
}

#[tokio::test]
async fn a_kept_one_that_was_killed_stays_too() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::open_with(registry(home.path()), Some(home.path().join("mine"))).await.unwrap();
    let data = stage.room("data").unwrap();
    stage.keep().unwrap();
    let ledger = stage.dir().join("stage.json");
    let mut written: serde_json::Value = serde_json::from_slice(&std::fs::read(&ledger).unwrap()).unwrap();
    written["owner"]["started"] = 0.into(); // as if its process were gone
    std::fs::write(&ledger, written.to_string()).unwrap();
    let next = Stage::open_with(registry(home.path()), None).await.unwrap();
    assert!(next.swept().is_empty() && data.exists() && !ledger.exists());
    next.close().await.unwrap();
    stage.close().await.unwrap();
    assert!(data.exists());
}

#[tokio::test]
async fn what_was_paused_and_what_left_its_group_is_ended() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::open_with(registry(home.path()), None).await.unwrap();
    let parent = Program::new("parent", "/bin/sh", ["-c", "setsid sleep 600 & wait"]);
    let parent = stage.spawn(parent).await.unwrap();
    let family = || Identity::of(parent.pid()).map(|parent| parent.descendants()).unwrap_or_default();
    let sleeps = |process: &Identity| {
        std::fs::read(format!("/proc/{}/cmdline", process.pid)).is_ok_and(|line| line.starts_with(b"sleep"))
    };
    until(|| family().iter().any(sleeps)).await;
    let sleeper = family().into_iter().find(sleeps).unwrap();
    parent.signal_tree(rustix::process::Signal::STOP);
    stage.close().await.unwrap();
    assert!(!sleeper.lives());
    drop(parent);
}

#[tokio::test]
async fn a_directory_that_could_not_be_listed_is_given_back() {
    let home = tempfile::tempdir().unwrap();
    let registry = registry(home.path());
    std::fs::remove_dir(&registry.dir).unwrap(); // no pointer can be written
    let dir = home.path().join("mine");
    let why = Stage::open_with(registry, Some(dir.clone())).await.err().unwrap().to_string();
    assert!(why.contains("XDG_CACHE_HOME") && !dir.exists(), "{why}");
}

#[tokio::test]
async fn a_program_that_ends_shows_its_log() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::open_with(registry(home.path()), None).await.unwrap();
    let failing = Program::new("failing", "/bin/sh", ["-c", "echo the reason >&2; exit 3"]);
    let failure = stage.spawn(failing).await.unwrap().finish().await.unwrap_err().to_string();
    assert!(failure.contains("the reason") && failure.contains('3'), "{failure}");
    stage.close().await.unwrap();
}

/// The body of the process that is killed: this test binary, run again by the test below.
#[tokio::test]
#[ignore = "run by a_killed_rehearsal_is_cleaned_by_the_next_start"]
async fn a_rehearsal_that_will_be_killed() {
    let Some(home) = std::env::var_os("CUTOVER_TEST_HOME").map(std::path::PathBuf::from) else {
        return;
    };
    let stage = Stage::open_with(registry(&home), None).await.unwrap();
    stage.room("data").unwrap();
    let child = stage.spawn(sleeper("sleeper")).await.unwrap();
    // Ignores the parent-death signal, as a process does that forked off: only the next start can end it.
    let deaf = home.join("deaf");
    let script = "trap '' TERM QUIT; : > \"$0\"; sleep 600";
    let stubborn = Program::new("stubborn", "/bin/sh", ["-c".as_ref(), script.as_ref(), deaf.as_os_str()]);
    let stubborn = stage.spawn(stubborn).await.unwrap();
    until(|| deaf.exists()).await;
    let fact = format!("{} {} {}", stage.dir().display(), child.pid(), stubborn.pid());
    std::fs::write(home.join("fact.next"), fact).unwrap();
    std::fs::rename(home.join("fact.next"), home.join("fact")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_rehearsal_is_cleaned_by_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "rehearsal::stage::tests::a_rehearsal_that_will_be_killed"])
        .env("CUTOVER_TEST_HOME", home.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let fact = home.path().join("fact");
    until(|| fact.exists()).await;
    let fact = std::fs::read_to_string(fact).unwrap();
    let mut words = fact.split(' ');
    let dir = std::path::PathBuf::from(words.next().unwrap());
    let child = Identity::of(words.next().unwrap().parse().unwrap()).unwrap();
    let stubborn = Identity::of(words.next().unwrap().parse().unwrap()).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    until(|| !child.lives()).await; // by the kernel, at once
    assert!(stubborn.lives() && dir.join("data").exists());

    let next = Stage::open_with(registry(home.path()), None).await.unwrap();
    assert_eq!(next.swept(), [Swept { dir: dir.clone(), killed: vec!["stubborn".into()] }]);
    assert!(!stubborn.lives() && !dir.exists());
    next.close().await.unwrap();
}

#[tokio::test]
async fn a_number_that_was_taken_over_is_never_killed() {
    let mut bystander = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let mut recycled = Identity::of(bystander.id()).unwrap();
    recycled.started -= 1;
    assert!(!recycled.lives());
    assert!(!recycled.signal_group(rustix::process::Signal::KILL));
    assert!(bystander.try_wait().unwrap().is_none());
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}

async fn until(mut happened: impl FnMut() -> bool) {
    let start = clock::mono();
    while !happened() {
        assert!(clock::since(start) < Duration::from_secs(20), "it never happened");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
