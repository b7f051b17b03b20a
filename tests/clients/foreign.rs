//! Interpreters of other languages with pinned packages, set up below `target/clients` when they are first asked
//! for.
//!
//! One rule: without an interpreter a test says that it is skipped and why; where `CI` is set that is a failure.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// A script that says nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(90);

/// An interpreter with its packages, and the folder its scripts are run from.
pub struct Foreign {
    program: PathBuf,
    scripts: PathBuf,
}

/// A Python environment with exactly the packages of `python/<name>.txt`.
pub fn python(name: &str) -> Option<Foreign> {
    let scripts = source("python");
    let list = scripts.join(format!("{name}.txt"));
    let folder = home().join(name);
    let ready = prepare(name, &[&list], |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"];
        run(Command::new(folder.join("bin/python")).args(pip).arg(&list))
    });
    available(name, ready, Foreign { program: folder.join("bin/python"), scripts })
}

/// Node.js with exactly the packages of `node/package-lock.json`.
pub fn node() -> Option<Foreign> {
    let bin = machine_node().or_else(|| Some(python("nodejs")?.program.parent()?.to_owned()))?;
    let source = source("node");
    let folder = home().join("node");
    // A module finds its packages beside itself: the scripts go where the packages are.
    let files: Vec<PathBuf> = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let ready = prepare("node", &files, |folder| {
        for file in &files {
            fs::copy(file, folder.join(file.file_name().unwrap())).map_err(|error| error.to_string())?;
        }
        // Not `npm ci`: native speed-ups of other platforms need not be in the lock file, nor on a mirror.
        let flags =
            ["install", "--no-save", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"];
        run(Command::new(bin.join("npm")).args(flags).current_dir(folder))
    });
    available("node", ready, Foreign { program: bin.join("node"), scripts: folder })
}

/// Where the machine has Node.js 20 or newer, as the packages ask for (npm only warns), with its npm; a
/// distribution's is often older, and then one of Python's registry is taken.
fn machine_node() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let bin =
        std::env::split_paths(&path).find(|bin| bin.join("node").exists() && bin.join("npm").exists())?;
    let old = "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)";
    run(Command::new(bin.join("node")).args(["-e", old])).ok().map(|()| bin)
}

impl Foreign {
    /// Runs a script to its end; gives the JSON of its last line.
    pub fn run(&self, script: &str, job: &Value) -> Value {
        let mut talk = self.talk(script, &[&job.to_string()]);
        talk.hear()
    }

    /// Starts a script that answers lines with lines.
    pub fn talk(&self, script: &str, arguments: &[&str]) -> Talk {
        let mut child = Command::new(&self.program)
            .arg(self.scripts.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Talk { input: child.stdin.take().unwrap(), child, lines, script: script.to_owned() }
    }
}

/// A running script; killed when it is dropped.
pub struct Talk {
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    script: String,
}

impl Talk {
    /// Says one line of JSON and waits for the answer.
    pub fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.input, "{question}").unwrap();
        let answer = self.hear();
        assert!(answer["error"].is_null(), "{question}: {answer}");
        answer
    }

    /// Waits for a line of JSON.
    pub fn hear(&mut self) -> Value {
        match self.lines.recv_timeout(SILENCE) {
            Ok(line) => {
                serde_json::from_str(&line).unwrap_or_else(|e| panic!("{}: {e}: {line}", self.script))
            }
            Err(why) => panic!("{} said nothing: {why}; {:?}", self.script, self.child.try_wait()),
        }
    }

    /// SIGKILL: it gets no chance to clean up.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of the machine, or `None` with the reason said.
pub fn program(name: &str) -> Option<Command> {
    let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    available(name, found.map(drop).map_err(|error| error.to_string()), Command::new(name))
}

fn available<T>(name: &str, ready: Result<(), String>, it: T) -> Option<T> {
    let Err(why) = ready else {
        return Some(it);
    };
    assert!(std::env::var_os("CI").is_none(), "{name} cannot be had, and CI skips nothing: {why}");
    eprintln!("SKIPPED: {name} cannot be had: {why}");
    None
}

fn source(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(folder)
}

fn home() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients")
}

/// Makes `target/clients/<name>` by `make` unless it was made of these files; one process at a time.
fn prepare(
    name: &str,
    files: &[&Path],
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let folder = home().join(name);
    fs::create_dir_all(home()).map_err(text)?;
    let lock = File::create(home().join(format!("{name}.lock"))).map_err(text)?;
    lock.lock().map_err(text)?;
    let wanted: Vec<String> = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let wanted = format!("{}\n{}", env!("CARGO_MANIFEST_DIR"), wanted.join("\n"));
    let stamp = folder.join("made-of");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    eprintln!("setting up {}", folder.display());
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).map_err(text)?;
    make(&folder)?;
    fs::write(stamp, wanted).map_err(text)
}

fn run(command: &mut Command) -> Result<(), String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let Output { status, stderr, .. } =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{shown}: {error}"))?;
    let said = String::from_utf8_lossy(&stderr);
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}: {}", said.trim())) }
}
