//! What the tests of the cockpit do as a person does: sit down, shift, zoom, take back; and a shell that watches.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::person::Person;
use super::rehearsal::{CUTOVER, Rehearsal};

/// What a fault may take to be told.
pub const LONG: Duration = Duration::from_secs(100);

/// A small rehearsal of a scenario.
pub fn rehearse(scenario: &str) -> Rehearsal {
    Rehearsal::start(&["--traces", "1000", "--rate", "10", "--seed", "7", "--scenario", scenario])
}

/// A cockpit on it, with the right to write.
pub fn sit_down(rehearsal: &Rehearsal) -> Person {
    sit_at(&rehearsal.config(), 120, 36)
}

/// A cockpit on any configuration.
pub fn sit_at(config: &Path, columns: u16, rows: u16) -> Person {
    Person::start(columns, rows, &["--config", config.to_str().unwrap(), "--arm"], &[])
}

/// A forward shift by keys, up to Enter; what comes of it is the caller's to see.
pub fn send_to(person: &mut Person, percent: u8) {
    open_shift(person, percent);
    person.answer(&format!("{percent}"), &format!("▶ Send {percent} % to v3"));
    person.press("\r");
}

/// Opens the question for a split as soon as the guards allow it.
pub fn ask_for_a_split(person: &mut Person) {
    let start = Instant::now();
    while start.elapsed() < LONG {
        person.press("s");
        person.look(Duration::from_millis(500));
        if person.text().contains("Per cent of the requests") {
            return;
        }
    }
    panic!("no split may be asked for:\n{}", person.text());
}

/// The plan of a forward shift, by keys. A cockpit that just started has not read everything a guard asks for:
/// a person reads why and asks again.
pub fn open_shift(person: &mut Person, percent: u8) {
    ask_for_a_split(person);
    person.press(&format!("{percent}\r"));
    person.see("Type the number");
}

/// A forward shift that works.
pub fn shift_to(person: &mut Person, percent: u8) {
    send_to(person, percent);
    person.see(&format!("-> {percent} % done"));
}

/// All traffic back to v2 with two keys.
pub fn take_all_back(person: &mut Person) {
    person.press("V");
    person.see("Take all traffic back to v2");
    person.answer("\r", "-> 0 % done");
}

/// Gives the pane of a digit key the whole screen, or puts it back.
pub fn zoom(person: &mut Person, pane: char) {
    person.press(&format!("{pane}z"));
}

/// The text of the screen without its line breaks and frames, so that a wrapped sentence can be found.
pub fn flat(screen: &str) -> String {
    screen.replace(['│', '┃', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits for a sentence that may be wrapped.
#[track_caller]
pub fn read(person: &mut Person, sentence: &str) {
    person.wait(sentence, |screen| flat(screen).contains(sentence));
}

/// `status --json --watch` in a shell of its own.
pub struct Watching {
    child: Child,
    lines: Receiver<String>,
    last: Value,
}

impl Watching {
    /// Begins to watch.
    pub fn start(config: &Path) -> Self {
        let mut child = Command::new(CUTOVER)
            .arg("--config")
            .arg(config)
            .args(["status", "--json", "--watch", "--wait", "2"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines, last: Value::Null }
    }

    /// Waits for a document of which `wanted` is true.
    pub fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        while start.elapsed() < LONG {
            let line = match self.lines.recv_timeout(Duration::from_secs(1)) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the status ended before {what}: {:?}", self.child.wait())
                }
            };
            self.last = serde_json::from_str(&line).unwrap();
            if wanted(&self.last) {
                return self.last.clone();
            }
        }
        panic!("never saw {what} in the status:\n{:#}", self.last);
    }

    /// Waits for a finding; gives its title, evidence and remedy in one text.
    pub fn finding(&mut self, id: &str) -> String {
        let status = self.until(id, |status| finding(status, id).is_some());
        finding(&status, id).unwrap_or_default()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A finding in a document: severity, title, evidence, remedy.
pub fn finding(status: &Value, id: &str) -> Option<String> {
    let found = status["findings"].as_array()?.iter().find(|f| f["id"] == id)?;
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    Some([text("severity"), text("title"), text("evidence"), text("remedy")].join(" | "))
}

/// A section of the document by its source's name.
pub fn section<'a>(status: &'a Value, source: &str) -> &'a Value {
    fn search<'a>(value: &'a Value, source: &str) -> Option<&'a Value> {
        match value {
            Value::Object(map) if map.get("source").is_some_and(|s| s == source) => Some(value),
            Value::Object(map) => map.values().find_map(|v| search(v, source)),
            Value::Array(all) => all.iter().find_map(|v| search(v, source)),
            _ => None,
        }
    }
    search(status, source).unwrap_or_else(|| panic!("no source {source} in {status:#}"))
}

/// The split that the objects store, as one status says it.
pub fn stored(rehearsal: &Rehearsal) -> Option<u64> {
    let output = rehearsal.verb(&["status", "--json", "--wait", "3"]);
    serde_json::from_slice::<Value>(&output.stdout).ok()?["split"]["stored"].as_u64()
}

/// A copy of the configuration in a folder of its own, with some texts replaced.
pub fn altered(rehearsal: &Rehearsal, changes: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut text = std::fs::read_to_string(rehearsal.config()).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?} is not in the configuration");
        text = text.replace(from, to);
    }
    std::fs::write(dir.path().join("cutover.toml"), text).unwrap();
    std::fs::copy(rehearsal.field("kubeconfig"), dir.path().join("kubeconfig")).unwrap();
    let config = dir.path().join("cutover.toml");
    (dir, config)
}
