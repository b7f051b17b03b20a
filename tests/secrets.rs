//! Known secrets in every place a configuration can have them, and a search for them everywhere else: screen, log,
//! journal, every verb's output, error texts, arguments and environments of processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has a clock of its own")]
#![cfg(feature = "rehearsal")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use common::cluster;
use common::person::Person;
use common::rehearsal::CUTOVER;
use cutover::rehearsal::kube::{Server, Token};
use serde_json::json;

/// Every secret, by where it is.
const KUBECONFIG: &str = "PlantedKubeconfigToken";
const PROBE: &str = "PlantedTomlProbeKey";
const POSTGRES_URL: &str = "PlantedTomlPostgresUrl";
const CLICKHOUSE_ENV: &str = "PlantedNamedVariable";
const REDIS_ENV: &str = "PlantedCutoverVariable";
const S3_FILE: &str = "PlantedFileAccessKey";
const S3_SECRET: &str = "PlantedKubernetesSecret";
const PLANTED: [&str; 7] = [KUBECONFIG, PROBE, POSTGRES_URL, CLICKHOUSE_ENV, REDIS_ENV, S3_FILE, S3_SECRET];

/// As it is, and as it travels in a header.
fn spellings() -> Vec<String> {
    let base64 = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let users = ["", "lf:", "langfuse:", "default:", "pk-lf-canary:", ":"];
    let travelling = PLANTED.iter().flat_map(|p| users.iter().map(move |u| base64(format!("{u}{p}"))));
    PLANTED.iter().map(ToString::to_string).chain(travelling).collect()
}

#[track_caller]
fn assert_clean(what: &str, text: &str) {
    for secret in spellings() {
        if let Some(at) = text.find(&secret) {
            let from = text[..at].char_indices().rev().nth(200).map_or(0, |(i, _)| i);
            panic!("{secret} in {what}: …{}", &text[from..at + secret.len()]);
        }
    }
}

/// A folder whose configuration is full of secrets; of the stores behind it none answers.
async fn plant(dir: &Path) -> Server {
    let tokens = vec![Token::admin(KUBECONFIG, "admin")];
    let more = format!(
        "[postgres]\nurl = \"postgres://lf:{POSTGRES_URL}@127.0.0.1:9/lf\"\n\
         [clickhouse]\nurl = \"http://127.0.0.1:9\"\nuser = \"default\"\npassword = {{ env = \"NAMED\" }}\n\
         [redis]\nurl = \"redis://127.0.0.1:9\"\n\
         [s3]\nurl = \"http://127.0.0.1:9\"\nbucket = \"b\"\naccess_key = {{ file = \"s3.key\" }}\n\
         secret_key = {{ secret = \"lf-s3/key\" }}\n\
         [v2]\nurl = \"http://127.0.0.1:9\"\n[v3]\nurl = \"http://127.0.0.1:9\"\n\
         [probe]\npublic_key = \"pk-lf-canary\"\nsecret_key = \"{PROBE}\"\n"
    );
    let server = cluster::start(dir, tokens, "admin", &more).await;
    cluster::make_ready(&server);
    std::fs::write(dir.join("s3.key"), S3_FILE).unwrap();
    let value = base64::engine::general_purpose::STANDARD.encode(S3_SECRET);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "lf-s3", "namespace": "lf"},
        "data": {"key": value}});
    server.store().create("test", secret).unwrap();
    server
}

fn environment() -> [(&'static str, &'static str); 4] {
    [
        ("NAMED", CLICKHOUSE_ENV),
        ("CUTOVER_REDIS_PASSWORD", REDIS_ENV),
        ("CUTOVER_LOG", "trace"),
        ("USER", "mia"),
    ]
}

fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(CUTOVER);
    command.arg("--config").arg(dir.join("cutover.toml")).args(args).current_dir(dir).envs(environment());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Arguments and environments of every process that was told of this folder, by what it is.
fn processes(dir: &Path, seen: &mut BTreeMap<String, String>) {
    let here = dir.to_str().unwrap();
    for process in std::fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let read = |name: &str| {
            String::from_utf8_lossy(&std::fs::read(process.path().join(name)).unwrap_or_default())
                .replace('\0', " ")
        };
        let line = read("cmdline");
        // The test itself is one that reads these.
        if line.contains(here) && process.file_name() != *std::process::id().to_string() {
            seen.insert(line, read("environ"));
        }
    }
}

/// Runs a verb while its processes are looked at.
fn run(dir: &Path, args: &[&str], seen: &mut BTreeMap<String, String>) -> String {
    let mut child = program(dir, args).spawn().unwrap();
    processes(dir, seen);
    let read = |mut from: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            from.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let out = read(Box::new(child.stdout.take().unwrap()));
    let err = read(Box::new(child.stderr.take().unwrap()));
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        processes(dir, seen);
        if begun.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    format!("{}{}", out.join().unwrap(), err.join().unwrap())
}

/// What a verb wrote down.
fn files(dir: &Path) -> Vec<(String, String)> {
    let inputs = ["cutover.toml", "kubeconfig", "s3.key"];
    let (mut todo, mut found) = (vec![dir.to_owned()], vec![]);
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            if entry.path().is_dir() {
                todo.push(entry.path());
            } else if !inputs.iter().any(|input| entry.file_name() == **input) {
                let bytes = std::fs::read(entry.path()).unwrap();
                found
                    .push((entry.path().display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    found
}

fn look_everywhere(dir: &Path) {
    let mut seen = BTreeMap::new();
    for args in [
        &["config", "check"][..],
        &["status", "--wait", "5"],
        &["status", "--json", "--wait", "5"],
        &["plan", "--to", "50"],
        &["shift", "--to", "50", "--yes"],
        &["census"],
        &["verify"],
        &["catch-up"],
        &["restore"],
        &["backfill"],
        &["init", "--output", "-"],
        &["rollback", "--all", "--yes"],
        &["hold"],
        &["hold", "--off"],
        &["journal"],
        &["journal", "--json"],
    ] {
        let said = run(dir, args, &mut seen);
        assert!(!said.is_empty(), "{args:?} says nothing");
        assert_clean(&format!("{args:?}"), &said);
    }
    let config = dir.join("cutover.toml");
    let mut person = Person::start(200, 60, &["--config", config.to_str().unwrap(), "--arm"], &environment());
    person.see("Traffic");
    for keys in ["LLL7z", "z5z", "z6z", "z4z", "z"] {
        person.press(keys);
        person.look(Duration::from_millis(1500));
        processes(dir, &mut seen);
        assert_clean("the screen", &person.text());
    }
    person.press("q");
    person.leave();
    assert_clean("what was drawn", &String::from_utf8_lossy(&person.bytes));
    let written = files(dir);
    assert!(written.iter().any(|(path, text)| path.ends_with("journal.jsonl") && text.contains("rollback")));
    for (path, text) in written {
        assert_clean(&path, &text);
    }
    // A verb with nothing to do may end between two looks; the cockpit and what waits for an answer do not.
    let looked_at = |verb: &str| seen.keys().any(|arguments| arguments.contains(verb));
    for verb in ["--arm", "status --wait", "shift --to"] {
        assert!(looked_at(verb), "{verb}: {:?}", seen.keys());
    }
    for (arguments, environ) in seen {
        assert_clean("the arguments of a process", &arguments);
        // What the operator gave in the environment is there, and nothing else is added to it.
        assert_clean(&arguments, &environ.replace(CLICKHOUSE_ENV, "").replace(REDIS_ENV, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaves_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let _server = plant(dir.path()).await;
    let path = dir.path().to_owned();
    tokio::task::spawn_blocking(move || look_everywhere(&path)).await.unwrap();
}

/// Mistakes beside a secret, and in it: what is wrong is said, and what it is about is not.
#[test]
fn no_mistake_shows_the_secret_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let secret = PROBE;
    let kubeconfig = dir.path().join("kubeconfig");
    std::fs::write(&kubeconfig, "apiVersion: v1\nkind: Config\n").unwrap();
    for text in [
        format!("[postgres]\npassword = \"{secret}\n"),
        format!("[postgres]\npassword = {secret}\n"),
        format!("[postgres]\npassword = [\"{secret}\"]\n"),
        format!("[postgres]\npassword = \"{secret}\" x\n"),
        format!("[postgres]\npasswort = \"{secret}\"\n"),
        format!("[postgres\npassword = \"{secret}\"\n"),
        format!("[postgres]\nurl = \"mysql://u:{secret}@h/x\"\n"),
        format!("[postgres]\nurl = \"postgres://u:{secret}@h:port/x\"\n"),
        format!("[clickhouse]\nurl = \"http://u:{secret}@[h\"\n"),
        format!("[redis]\nurl = \"redis//:{secret}@h\"\n"),
        format!("[probe]\nsecret_key = {{ \"{secret}\" = 1 }}\n"),
        format!("[probe]\nsecret_key = \"{secret}\"\nsecret_key = \"{secret}\"\n"),
        format!("[s3]\nsecret_key = \"{secret}\\q\"\n"),
    ] {
        std::fs::write(dir.path().join("cutover.toml"), &text).unwrap();
        for args in [&["status", "--wait", "3"][..], &["config", "check"]] {
            let output = program(dir.path(), args).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!said.is_empty(), "{text}");
            assert_clean(&text, &said);
        }
    }
    std::fs::write(dir.path().join("cutover.toml"), "[kubernetes]\nkubeconfig = \"kubeconfig\"\n").unwrap();
    for user in [
        format!("{{token: [{secret}"),
        format!("{{token: {{{secret}: 1}}}}"),
        format!("{{client-key-data: {secret}}}"),
        format!("{{token: {secret}, username: 1, tokenFile: 7}}"),
    ] {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:9'}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {user}}}]\n"
        );
        std::fs::write(&kubeconfig, &text).unwrap();
        let output = program(dir.path(), &["plan", "--to", "5"]).output().unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!said.is_empty(), "{text}");
        assert_clean(&text, &said);
    }
}
