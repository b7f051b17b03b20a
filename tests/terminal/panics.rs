//! Panics of the loop and of a task: the real loop on a real terminal, with connections of the test's own that panic.
//!
//! The test starts itself again as the program on the terminal.

use std::sync::Arc;

use cutover::cockpit::Model;
use cutover::cockpit::model::{Setup, Strategy};
use cutover::domain::SourceId;
use cutover::runtime::cockpit::{Wiring, run};
use cutover::runtime::terminal::Terminal;
use cutover::runtime::{Clock, panic};
use cutover::ui::Look;
use portable_pty::CommandBuilder;

use crate::assert_restored;
use crate::common::person::Person;
use crate::kinds::is_cooked;

fn model(clock: Clock) -> Model {
    Model::new(Setup {
        environment: "panics".into(),
        production: false,
        context: "c".into(),
        namespace: "lf".into(),
        strategy: Strategy::ShiftFirst,
        ladder: cutover::shift::Ladder::default(),
        armed: true,
        operator: "mia@bastion".into(),
        off: SourceId::ALL.to_vec(),
        started: clock.now(),
    })
}

/// Not a test: what runs on the terminal. `r` panics in the loop, what is to be carried out in a task.
#[test]
#[ignore = "started by the others on a terminal of their own"]
fn on_the_terminal() {
    panic::install();
    let ended = std::panic::catch_unwind(|| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let clock = Clock::start();
        let (_to, inbox) = tokio::sync::mpsc::channel(8);
        let wiring = Wiring {
            inbox,
            perform: Arc::new(|_, _| Box::pin(async { panic!("a task\x1b[2J dies") })),
            poll_now: Box::new(|_| panic!("the loop dies")),
        };
        let terminal = Terminal::take(Some("xterm")).unwrap();
        runtime.block_on(run(clock, model(clock), Look::default(), wiring, terminal, || ())).unwrap()
    });
    std::process::exit(i32::from(ended.unwrap_or(panic::EXIT)));
}

fn start() -> Person {
    let mut command = CommandBuilder::new(std::env::current_exe().unwrap());
    command.args(["--exact", "panics::on_the_terminal", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("TERM", "xterm-256color");
    command.env("RUST_BACKTRACE", "0");
    let mut person = Person::run(100, 30, command);
    person.see("Traffic");
    person
}

#[test]
fn a_panic_of_the_loop_gives_the_terminal_back_before_it_is_shown() {
    let mut person = start();
    person.press("r");
    assert_eq!(person.leave(), u32::from(panic::EXIT));
    let bytes = String::from_utf8_lossy(&person.bytes).into_owned();
    let (restored, shown) = (bytes.rfind("\x1b[?1049l").unwrap(), bytes.find("the loop dies").unwrap());
    assert!(restored < shown, "it was shown on the cockpit's screen, which is gone");
    assert!(bytes.rfind("\x1b[?1049h").unwrap() < restored && bytes.rfind("\x1b[?25l").unwrap() < restored);
    assert!(is_cooked(&person), "it is still in raw mode");
}

#[test]
fn a_panic_of_a_task_is_told_and_the_cockpit_goes_on() {
    let mut person = start();
    person.press("H");
    person.see("Enter");
    person.look(std::time::Duration::from_millis(900));
    person.press("\r");
    person.see("ended by a panic");
    person.press("?");
    person.see("Plan the next step");
    person.press("\x1b");
    person.wait("help to close", |screen| !screen.contains("Plan the next step"));
    person.press("q");
    assert_eq!(person.leave(), 0);
    assert_restored(&person);
    assert!(is_cooked(&person));
    assert!(!String::from_utf8_lossy(&person.bytes).contains("a task\x1b[2J dies"));
}

/// Whoever asked is answered, too: a dialog that waits would wait for ever.
#[test]
fn a_dialog_whose_task_panicked_says_so() {
    let mut person = start();
    person.press("a\r");
    person.see("an actuator");
    assert!(!person.text().contains("asking"), "{}", person.text());
    person.press("\x1b");
    person.wait("the dialog to close", |screen| !screen.contains("Run it"));
    person.press("q");
    assert_eq!(person.leave(), 0);
}
