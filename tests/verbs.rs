//! The verbs as a shell calls them: what they print, how they end. Against the rehearsal's API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(feature = "rehearsal")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cutover::rehearsal::kube::{Fault, Scope, Server, Token};
use serde_json::{Value, json};

/// A folder with a configuration, and a cluster when there is one.
struct Place {
    dir: tempfile::TempDir,
    server: Option<Server>,
}

impl Place {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cutover.toml"), config).unwrap();
        Self { dir, server: None }
    }

    async fn with_cluster(config: &str) -> Self {
        let mut place = Self::new("");
        place.server = Some(
            common::cluster::start(
                place.dir.path(),
                vec![Token::admin("rehearsal-admin", "admin")],
                "admin",
                config,
            )
            .await,
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn run(&self, args: &[&str]) -> (i32, String, String) {
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let here = self.dir.path().to_owned();
        let output = tokio::task::spawn_blocking(move || call(&here, &args)).await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    async fn status(&self) -> Value {
        let (_, out, err) = self.run(&["status", "--json", "--wait", "3"]).await;
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{err}"))
    }
}

fn call(here: &Path, args: &[String]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cutover"))
        .args(args)
        .current_dir(here)
        .env_clear()
        .env("HOME", here)
        .env("USER", "mia")
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_end_with_2_and_help_with_0() {
    let place = Place::new("[postgres]\npasword = \"HIDDEN\"\n");
    let (code, _, err) = place.run(&["status"]).await;
    assert!(
        code == 2 && err.contains("did you mean \"password\"") && !err.contains("HIDDEN"),
        "{code}: {err}"
    );
    assert_eq!(place.run(&["shift"]).await.0, 2);
    assert_eq!(place.run(&["--help"]).await.0, 0);
    let (code, out, _) = place.run(&["keys", "--markdown"]).await;
    assert!(code == 0 && out.starts_with("| key |"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_is_not_there_ends_with_3() {
    let place = Place::new("[kubernetes]\nkubeconfig = \"kubeconfig\"\n");
    let kubeconfig = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "lf"}}],
        "users": [{"name": "u", "user": {}}]});
    std::fs::write(place.path("kubeconfig"), kubeconfig.to_string()).unwrap();
    for verb in [&["status", "--wait", "3"][..], &["plan", "--to", "5"], &["rollback", "--yes"]] {
        let (code, _, err) = place.run(verb).await;
        assert!(code == 3 && err.contains("unreachable") && err.contains("->"), "{verb:?}: {code}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_the_traffic_is_said_when_the_api_server_is_silent() {
    let place = Place::with_cluster("").await;
    let faults = place.server.as_ref().unwrap().faults().clone();
    faults.freeze(true);
    for verb in [&["rollback", "--yes"][..], &["shift", "--to", "50", "--yes"]] {
        let (code, _, err) = place.run(verb).await;
        assert!(code == 3 && err.contains("timeout"), "{verb:?}: {code}: {err}");
        let next = format!("-> when `kubectl -n lf get ingress` answers, {} again", verb[0]);
        assert!(
            err.contains("nothing was sent: the traffic stays where it is") && err.contains(&next),
            "{err}"
        );
    }
    let (code, _, err) = place.run(&["hold", "--arm"]).await;
    assert!(code == 3 && err.contains("the hold is as it was"), "{code}: {err}");
    faults.freeze(false);

    // It reads and does not write: what was sent may have been carried out.
    faults.share(1.0, Scope::Writes, Fault::Freeze);
    let (code, _, err) = place.run(&["rollback", "--yes"]).await;
    assert!(
        code == 75 && err.contains("outcome not known") && err.contains("cutover status"),
        "{code}: {err}"
    );
    assert!(!err.contains("nothing was"), "{err}");
    let (code, _, err) = place.run(&["hold", "--arm"]).await;
    assert!(code == 3 && err.contains("the same again does no harm"), "{code}: {err}");
    faults.clear();
    assert_eq!(place.status().await["split"]["stored"], 25);
    let (code, _, err) = place.run(&["rollback", "--yes"]).await;
    assert_eq!(code, 0, "{err}");
}

/// One sentence for a cause that many readings share, with the name that may be meant.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_name_is_told_once_with_the_nearest() {
    let place = Place::with_cluster("").await;
    let wrong = [
        (["--context", "rehearsl"], "no context \"rehearsl\" -> did you mean rehearsal?", 2),
        (["--kubeconfig", "kubeconfg"], "no such file -> did you mean ", 2),
        (["--namespace", "lff"], "there is no such namespace in this cluster -> did you mean lf?", 3),
    ];
    for (flag, sentence, code) in wrong {
        for verb in [&["plan", "--to", "50"][..], &["rollback", "--yes"], &["status", "--wait", "4"]] {
            let (found, out, err) = place.run(&[&flag[..], verb].concat()).await;
            let expected = if verb[0] == "status" { 3 } else { code };
            assert_eq!(err.matches(sentence).count(), 1, "{flag:?} {verb:?}: {err}");
            assert_eq!(found, expected, "{flag:?} {verb:?}: {err}");
            for part in out.split("\nLog (") {
                let flat = part.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(flat.matches("did you mean").count() <= 1, "{flag:?} {verb:?}: {out}");
            }
        }
        // init asks no file that was not named.
        let init = ["--config", "cutover.toml", "init", "--output", "new.toml"];
        let (_, _, err) = place.run(&[&flag[..], &init].concat()).await;
        assert_eq!(err.matches(sentence).count(), 1, "{flag:?} init: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn look_plan_roll_back_hold_and_journal() {
    let place = Place::with_cluster("").await;
    assert_eq!(place.status().await["split"]["stored"], 25);

    let (code, out, err) = place.run(&["plan", "--to", "50"]).await;
    assert!(
        code == 4 && out.contains("\"nginx.ingress.kubernetes.io/canary-weight\":\"50\""),
        "{code}: {out}{err}"
    );
    assert!(out.contains("right to write: asked when it is sent"), "{out}");
    let plan: Value = serde_json::from_str(&place.run(&["plan", "--to", "50", "--json"]).await.1).unwrap();
    let guards = plan["guards"].as_array().unwrap();
    for id in ["armed", "lease"] {
        let guard = guards.iter().find(|g| g["id"] == id).unwrap_or_else(|| panic!("{id}: {plan}"));
        assert!(guard["verdict"].is_null() && guard["evidence"] == "asked when it is sent", "{plan}");
    }
    let (code, _, err) = place.run(&["shift", "--to", "50", "--yes"]).await;
    assert!(code == 4 && err.contains("refused"), "{code}: {err}");
    let (code, _, err) = place.run(&["rollback"]).await;
    assert!(code == 2 && err.contains("--yes"), "{code}: {err}");
    assert_eq!(place.status().await["split"]["stored"], 25, "nothing of this may have written");

    let (code, out, err) = place.run(&["rollback", "--yes"]).await;
    assert!(code == 0 && out.contains("25 % -> 0 %"), "{code}: {out}{err}");
    assert_eq!(place.status().await["split"]["stored"], 0);

    let (code, _, err) = place.run(&["hold"]).await;
    assert!(code == 4 && err.contains("start with --arm"), "{code}: {err}");
    let (code, out, _) = place.run(&["hold", "--arm"]).await;
    assert!(code == 0 && out.contains("held by mia@"), "{out}");
    assert!(place.status().await["split"]["hold"]["by"].as_str().unwrap().starts_with("mia@"));
    assert_eq!(place.run(&["hold", "--off", "--arm"]).await.0, 0);
    assert_eq!(place.status().await["split"]["hold"], Value::Null);

    assert_eq!(place.run(&["journal", "--verify"]).await.0, 0);
    let journal = place.path("journal/rehearsal/lf/journal.jsonl");
    let text = std::fs::read_to_string(&journal).unwrap_or_else(|e| panic!("{e}: {}", journal.display()));
    std::fs::write(&journal, text.replacen("\"from\":25", "\"from\":20", 1)).unwrap();
    let (code, _, err) = place.run(&["journal", "--verify"]).await;
    assert!(code == 1 && err.contains("line 1"), "{code}: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_named_and_not_there_is_said() {
    let place = Place::with_cluster("[traffic]\ningresses = [\"lf-canari\"]\n").await;
    let (code, _, err) = place.run(&["plan", "--to", "5"]).await;
    assert!(
        code == 3 && err.contains("Ingress lf/lf-canari") && err.contains("[traffic] ingresses"),
        "{code}: {err}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn init_writes_once() {
    let place = Place::with_cluster("").await;
    let args = ["--kubeconfig", "kubeconfig", "init", "--output", "found.toml"];
    let (code, _, err) = place.run(&args).await;
    assert!(code == 0 && err.contains("found     traffic.ingresses"), "{code}: {err}");
    let written = std::fs::read_to_string(place.path("found.toml")).unwrap();
    assert!(written.contains("ingresses = [\"lf-canary\"]"), "{written}");
    let (code, _, err) = place.run(&args).await;
    assert!(code == 4 && err.contains("it exists already"), "{code}: {err}");
    assert_eq!(std::fs::read_to_string(place.path("found.toml")).unwrap(), written);
}

/// A file that lies in the folder may be of another cluster: only one that was named says where to look.
#[tokio::test(flavor = "multi_thread")]
async fn init_asks_no_file_that_was_not_named() {
    let place = Place::with_cluster("").await;
    std::fs::write(place.path("cutover.toml"), "[kubernetes]\nnamespace = \"elsewhere\"\n").unwrap();
    let args = ["--kubeconfig", "kubeconfig", "init", "--output", "found.toml"];
    let (code, _, err) = place.run(&args).await;
    let written = std::fs::read_to_string(place.path("found.toml")).unwrap_or_default();
    assert!(code == 0 && written.contains("namespace = \"lf\""), "{code}: {err}{written}");
}

/// `fg` sends SIGCONT: it is no wish to end.
#[tokio::test(flavor = "multi_thread")]
async fn a_verb_that_is_continued_goes_on() {
    let place = Place::with_cluster("").await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_cutover"))
        .args(["status", "--watch", "--json", "--wait", "1"])
        .current_dir(place.dir.path())
        .env_clear()
        .env("HOME", place.dir.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let (id, signal) = (child.id().to_string(), |name: &str, id: &str| {
        assert!(Command::new("kill").args([name, id]).status().unwrap().success());
    });
    let (first, second) = tokio::task::spawn_blocking(move || {
        let first = lines.next();
        signal("-CONT", &id);
        let second = lines.next();
        signal("-TERM", &id);
        (first, second)
    })
    .await
    .unwrap();
    let code = child.wait().unwrap();
    assert!(first.is_some_and(|l| l.is_ok()), "no document at all: {code}");
    assert!(second.is_some_and(|l| l.is_ok()), "ended by SIGCONT: {code}");
}
