//! A running rehearsal, started as a stranger would start it, gone when the test is over.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use cutover::clients::target::{Address, ClickhouseTarget, PostgresTarget, TlsOptions};
use cutover::domain::Secret;

/// The program under test.
pub const CUTOVER: &str = env!("CARGO_BIN_EXE_cutover");
/// A rehearsal that is not up by then is a failure.
const READY: Duration = Duration::from_secs(120);

/// `cutover rehearse --no-tui`, with the line it printed.
pub struct Rehearsal {
    child: Child,
    /// The JSON object of its first line.
    pub info: serde_json::Value,
}

impl Rehearsal {
    /// Starts one and waits until everything is up.
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(args: &[&str], variables: &[(&str, &std::path::Path)]) -> Self {
        let mut child = Command::new(CUTOVER)
            .args(["rehearse", "--no-tui"])
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (send, line) = std::sync::mpsc::channel();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut first = String::new();
            out.read_line(&mut first).unwrap();
            send.send(first).unwrap();
            std::io::copy(&mut out, &mut std::io::sink())
        });
        let Ok(line) = line.recv_timeout(READY) else {
            let _ = child.kill();
            panic!("the rehearsal was not up within {READY:?}");
        };
        // It is ended, too, when its line says nothing.
        let mut rehearsal = Self { child, info: serde_json::Value::Null };
        rehearsal.info = serde_json::from_str(&line).unwrap_or_else(|e| panic!("first line {line:?}: {e}"));
        rehearsal
    }

    /// One field of its first line.
    pub fn field(&self, name: &str) -> &str {
        self.info[name].as_str().unwrap_or_else(|| panic!("no {name} in {}", self.info))
    }

    /// The configuration it wrote.
    pub fn config(&self) -> PathBuf {
        PathBuf::from(self.field("config"))
    }

    /// Both databases, as its configuration names them.
    pub fn databases(&self) -> (PostgresTarget, ClickhouseTarget) {
        let config: toml::Table = std::fs::read_to_string(self.config()).unwrap().parse().unwrap();
        let told = |key: &str| config["clickhouse"][key].as_str().unwrap().to_owned();
        let postgres = PostgresTarget {
            address: Address::url(self.field("postgres_url")),
            user: None,
            password: None,
            database: None,
            tls: TlsOptions::default(),
        };
        let clickhouse = ClickhouseTarget {
            address: Address::url(self.field("clickhouse_url")),
            user: Some(told("user")),
            password: Some(Secret::new(told("password"))),
            database: Some(told("database")),
            compression: false,
            tls: TlsOptions::default(),
        };
        (postgres, clickhouse)
    }

    /// Runs a verb against it.
    pub fn verb(&self, args: &[&str]) -> Output {
        self.verb_with(args, &[])
    }

    /// Runs a verb to its end, with more in its environment.
    pub fn verb_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Output {
        Command::new(CUTOVER)
            .arg("--config")
            .arg(self.config())
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a verb until `wanted` is true of its output.
    pub fn until(&self, args: &[&str], within: Duration, wanted: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let output = self.verb(args);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if wanted(&text) {
                return text;
            }
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(start.elapsed() < within, "not within {within:?}: {args:?}\n{text}\n{why}");
        }
    }

    /// The folder of everything.
    pub fn dir(&self) -> PathBuf {
        self.config().parent().unwrap().to_owned()
    }

    /// Fires a fault by hand, or with `--lift` takes it back; in this rehearsal, whatever else runs.
    pub fn fault(&self, args: &[&str]) {
        let mut command = Command::new(CUTOVER);
        let output =
            command.args(["rehearse", "fault", "--dir"]).arg(self.dir()).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends it with SIGTERM; gives its exit code and leaves nothing to the destructor.
    pub fn stop(mut self) -> Option<i32> {
        terminate(&self.child);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        terminate(&self.child);
        let _ = self.child.wait();
    }
}

fn terminate(child: &Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}
