//! The Kubernetes API server: another writer, bad days, silence, and absence.

use portable_pty::CommandBuilder;

use crate::common::api::weight;
use crate::common::person::Person;
use crate::common::rehearsal::CUTOVER;
use crate::common::sitting::{
    Watching, ask_for_a_split, flat, open_shift, read, rehearse, section, send_to, shift_to, sit_at,
    sit_down, zoom,
};
use crate::strangers::Doors;

/// A GitOps controller puts the weight back.
#[test]
fn another_writer_is_named() {
    let rehearsal = rehearse("gitops-revert");
    let mut person = sit_down(&rehearsal);
    person.see("trace-upsert");
    shift_to(&mut person, 25);
    person.wait("the writer's name", |screen| screen.contains("argocd-controller"));
    zoom(&mut person, '6');
    read(&mut person, "langfuse-canary stands at 0.0 %, 25 % was asked for");
    read(&mut person, "field manager argocd-controller");
    read(&mut person, "ignoreDifferences");
    zoom(&mut person, '6');
    assert_eq!(weight(&rehearsal), "0");
}

/// How a move can end, as the screen says it.
fn ended(screen: &str, percent: u8) -> bool {
    let text = flat(screen);
    let said =
        [format!("-> {percent} % done"), " FAILED ".into(), " UNKNOWN ".into(), "cannot shift to".into()];
    said.iter().any(|word| text.contains(word))
}

/// Either it succeeds or it says why; either way the cockpit ends in the truth.
#[test]
fn on_an_api_servers_bad_day_every_shift_ends_in_the_truth() {
    let rehearsal = rehearse("api-flaky");
    let mut person = sit_down(&rehearsal);
    person.see("trace-upsert");
    for percent in [5, 25, 50] {
        person.press("x");
        ask_for_a_split(&mut person);
        person.press(&format!("{percent}\r"));
        person.wait("a plan or a reason", |s| s.contains("Type the number") || ended(s, percent));
        if person.text().contains("Type the number") {
            person.look(std::time::Duration::from_millis(900));
            person.press(&format!("{percent}\r"));
            person.wait("done, or why not", |s| ended(s, percent) && !s.contains("Type the number"));
        }
        let done = flat(&person.text()).contains(&format!("-> {percent} % done"));
        let truth = weight(&rehearsal);
        assert!(!done || truth == percent.to_string(), "{truth}: {}", person.text());
        person.wait("the stored weight", |screen| screen.contains(&format!("v3 {truth} %")));
        if person.text().contains(" UNKNOWN ") {
            break;
        }
    }
    // Each try is two keys; a conflict is shown and not sent again blindly.
    for _ in 0..8 {
        if weight(&rehearsal) == "0" {
            break;
        }
        person.press("x");
        person.press("V");
        person.wait("the way back", |s| s.contains("Take all traffic back to v2") || ended(s, 0));
        person.look(std::time::Duration::from_millis(900));
        person.press("\r");
        person.wait("back, or why not", |s| ended(s, 0) && !s.contains("Take all traffic back"));
    }
    assert_eq!(weight(&rehearsal), "0", "{}", person.text());
    person.wait("the stored weight", |screen| screen.contains("v3 0 %"));
    assert!(rehearsal.verb(&["journal", "--verify"]).status.success());
}

fn told_and_answering(person: &mut Person) {
    person.wait("a failing source in the header", |screen| screen.contains("failing"));
    person.press("?");
    person.see("Plan the next step");
    person.press("\x1b");
    person.wait("help to close", |screen| !screen.contains("Plan the next step"));
}

/// It takes connections and answers nothing; then it is gone; then it is back.
#[test]
fn an_api_server_that_is_silent_or_gone_is_told_and_comes_back() {
    let rehearsal = rehearse("happy");
    let doors = Doors::before(&rehearsal);
    let config = doors.config.clone();
    let mut watching = Watching::start(&config);
    let mut person = sit_at(&config, 80, 24);
    person.see("trace-upsert");
    open_shift(&mut person, 5);
    person.press("\x1b");
    person.wait("the plan to close", |screen| !screen.contains("Type the number"));

    rehearsal.fault(&["api-freeze"]);
    let status = watching.until("late routes", |status| {
        let routes = section(status, "traffic");
        routes["freshness"] != "fresh" && routes["failure"]["kind"] == "timeout"
    });
    assert_eq!(section(&status, "queues")["freshness"], "fresh");
    told_and_answering(&mut person);
    person.press("n");
    read(&mut person, "next step 5 % blocked");
    rehearsal.fault(&["api-freeze", "--lift"]);
    watching.until("fresh routes", |status| section(status, "traffic")["freshness"] == "fresh");
    person.wait("all fresh", |screen| !screen.contains("failing"));

    doors.shut();
    watching.until("unreachable", |status| section(status, "traffic")["failure"]["kind"] == "unreachable");
    told_and_answering(&mut person);
    doors.open();
    watching.until("fresh routes", |status| {
        section(status, "traffic")["freshness"] == "fresh"
            && section(status, "cluster")["freshness"] == "fresh"
    });
    person.wait("all fresh", |screen| !screen.contains("failing"));
    send_to(&mut person, 5);
    person.see("-> 5 % done");
    assert_eq!(weight(&rehearsal), "5");
}

/// The lease waits for the API server after the terminal was given back: what is typed then is the shell's.
#[test]
fn what_is_typed_after_the_end_is_the_shells() {
    let rehearsal = rehearse("happy");
    let mut command = CommandBuilder::new("sh");
    command.args([
        "-c",
        "\"$@\"; read line; echo \"heard $line\"; sleep 30",
        "sh",
        CUTOVER,
        "--arm",
        "--config",
    ]);
    command.arg(rehearsal.config());
    command.env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    let mut person = Person::run(120, 36, command);
    person.see("lease ours");
    rehearsal.fault(&["api-freeze"]);
    person.press("q");
    person.wait("the terminal back", |text| !text.contains("lease ours"));
    for word in ["first\n", "second\n"] {
        person.press(word);
    }
    person.see("heard first");
}
