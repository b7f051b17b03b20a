//! Two people at once, one who is cut off, and one who goes away.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::common::person::Person;
use crate::common::rehearsal::{CUTOVER, Rehearsal};
use crate::common::sitting::{flat, open_shift, read, rehearse, shift_to, sit_down, stored, take_all_back};

/// A cockpit of a person with a name.
fn sit_down_as(rehearsal: &Rehearsal, user: &str) -> Person {
    let config = rehearsal.config();
    Person::start(120, 36, &["--config", config.to_str().unwrap(), "--arm"], &[("SUDO_USER", user)])
}

/// The holder's name as the second cockpit shows it.
fn holder(person: &Person) -> String {
    let text = person.text();
    let at = text.find("mia@").unwrap_or_else(|| panic!("no holder on the screen:\n{text}"));
    let name: Vec<&str> = text[at..].split_whitespace().take(3).collect();
    name.join(" ")
}

/// One operator at a time; the second takes over by typing the name.
#[test]
fn the_second_operator_sees_who_holds_the_lease_and_takes_it_by_name() {
    let rehearsal = rehearse("happy");
    let mut mia = sit_down_as(&rehearsal, "mia");
    mia.see("lease ours");
    let mut tom = sit_down_as(&rehearsal, "tom");
    tom.see("! lease mia@");
    tom.see("trace-upsert");
    tom.press("n");
    read(&mut tom, "holds it; take it over by name");
    tom.press("R");
    read(&mut tom, "take it over by name");
    let name = holder(&tom);
    tom.press("T");
    tom.see("Take over the right to write");
    tom.press("somebody else\r");
    read(&mut tom, "that is not the holder's name");
    assert!(!tom.text().contains("lease ours"), "{}", tom.text());
    tom.press("\u{15}");
    tom.press(&name);
    tom.see(&format!("Name: [{name}"));
    tom.press("\r");
    tom.see("lease ours");
    mia.see("! lease tom@");
    shift_to(&mut tom, 5);
    mia.see("v3 5 %");
    mia.press("n");
    read(&mut mia, "holds it; take it over by name");
    let journal = rehearsal.verb(&["journal", "--json"]);
    assert!(String::from_utf8_lossy(&journal.stdout).contains("take_over"), "{journal:?}");
}

/// SIGKILL between the journal's line and the API server's answer: nobody knows what came of it.
#[test]
fn after_a_cockpit_was_killed_within_a_shift_the_next_one_finds_the_truth() {
    let rehearsal = rehearse("happy");
    let mut person = sit_down_as(&rehearsal, "mia");
    person.see("trace-upsert");
    shift_to(&mut person, 5);
    open_shift(&mut person, 25);
    person.answer("25", "▶ Send 25 % to v3");
    rehearsal.fault(&["api-flaky", "latency=2s"]);
    person.press("\r");
    let path = rehearsal.dir().join("journal/rehearsal/langfuse/journal.jsonl");
    let asked = Instant::now();
    while !std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .last()
        .is_some_and(|line| line.contains("\"to\":25"))
    {
        assert!(asked.elapsed() < Duration::from_secs(30), "it was never journalled:\n{}", person.text());
        person.look(Duration::from_millis(20));
    }
    // Not `child.kill()`, which is SIGHUP at first: that one the program hears, and ends in order.
    person.signal(Signal::KILL);
    assert_ne!(person.leave(), 0);
    assert!(rehearsal.verb(&["journal", "--verify"]).status.success());

    let mut next = sit_down_as(&rehearsal, "mia");
    next.see("UNKNOWN");
    read(&mut next, "the program ended in the middle of it");
    rehearsal.fault(&["api-flaky", "--lift"]);
    // The dead one's lease is nobody's on this host, and nobody needs to wait for an outcome to take traffic back.
    next.see("lease ours");
    let truth = stored(&rehearsal).unwrap();
    next.see(&format!("v3 {truth} %"));
    assert!(!next.text().contains("stop that writer"), "nobody else wrote:\n{}", next.text());
    take_all_back(&mut next);
    assert_eq!(stored(&rehearsal), Some(0));
    let verified = rehearsal.verb(&["journal", "--verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// The shell that asked is gone, the deadline is not.
#[test]
fn an_unconfirmed_shift_is_taken_back_and_a_confirmed_one_stays() {
    let rehearsal = rehearse("happy");
    let config = rehearsal.config();
    let config = config.to_str().unwrap();
    let deadline = ["--confirm-within", "1", "--yes"];
    // A shell on a terminal of its own: when it is hung up, everything of its session is.
    let mut shell = portable_pty::CommandBuilder::new("bash");
    shell.args(["--norc", "--noprofile", "-i"]);
    shell.env("PS1", "shell> ");
    let mut shell = Person::run(120, 36, shell);
    shell.see("shell>");
    shell.press(&format!("{CUTOVER} --config {config} shift --to 5 {}\r", deadline.join(" ")));
    shell.see("0 % -> 5 %: done");
    let moved = Instant::now();
    drop(shell);
    assert_eq!(stored(&rehearsal), Some(5));
    let mut person = sit_down(&rehearsal);
    person.see("UNCONFIRMED");
    person.press("q");
    read(&mut person, "The watchdog keeps running when this program ends");
    person.press("q");
    person.leave();
    rehearsal.until(&["journal"], Duration::from_secs(100), |text| text.contains("taken back"));
    assert!(moved.elapsed() > Duration::from_secs(50), "too early: {:?}", moved.elapsed());
    assert_eq!(stored(&rehearsal), Some(0));

    let shift = rehearsal.verb(&["shift", "--to", "5", "--confirm-within", "1", "--yes"]);
    assert!(shift.status.success(), "{shift:?}");
    let confirmed = rehearsal.verb(&["confirm"]);
    assert!(String::from_utf8_lossy(&confirmed.stdout).contains("is confirmed and stays"), "{confirmed:?}");
    // The watchdog goes as soon as it is called off; what stays, stays.
    let mut person = sit_down(&rehearsal);
    person.wait("no deadline", |screen| screen.contains("v3 5 %") && !flat(screen).contains("UNCONFIRMED"));
    wait_for_no_watchdog(config);
    assert_eq!(stored(&rehearsal), Some(5));
}

/// Waits until no watchdog of this configuration runs any more.
fn wait_for_no_watchdog(config: &str) {
    let start = Instant::now();
    let runs = || {
        let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        all.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok()).any(|line| {
            let line = String::from_utf8_lossy(&line).into_owned();
            line.contains("watchdog") && line.contains(config)
        })
    };
    while runs() {
        assert!(start.elapsed() < Duration::from_secs(20), "a watchdog is still there");
        // Nobody's child any more: its end is told to nobody here.
        std::thread::sleep(Duration::from_millis(50));
    }
}
