//! Doing something about a finding: the list, the dry run, and the verb that runs.
//!
//! One rule: nothing runs that was not shown as a dry run first, and one verb runs at a time.

use super::super::effect::Effect;
use super::super::key::{Code, Key};
use super::super::model::Model;
use super::super::msg::{Lease, Level, LogLine};
use super::super::remedy::{Ended, Remedy, Told, Work};
use super::super::screen::Overlay;
use super::input::is_switch;
use super::notice;
use crate::domain::{Now, Split, Trouble};
use crate::shift::machine::ARM_DELAY;

/// Lines of a verb that go into the log when it has ended.
const LOGGED: usize = 12;

/// What can be done now: what the findings ask for, the worst first, then what is always possible.
pub fn offered(model: &Model) -> Vec<Remedy> {
    let mut offered: Vec<Remedy> = vec![];
    let back = model.split() == Some(Split::V2) && model.v3_only().any();
    let asked = model.findings.iter().filter_map(|finding| finding.act);
    for remedy in asked.chain(back.then_some(Remedy::Restore)).chain([Remedy::Verify]) {
        if !offered.contains(&remedy) {
            offered.push(remedy);
        }
    }
    offered
}

/// Opens the list, or the question whether to stop what runs.
pub fn open(model: &mut Model, _: Now) -> Vec<Effect> {
    model.screen.overlay = Some(if model.work.is_some() {
        Overlay::StopRemedy { go: false }
    } else {
        Overlay::Remedies { selected: 0 }
    });
    vec![]
}

pub(super) fn list_key(model: &mut Model, key: Key, mut selected: usize) -> Vec<Effect> {
    let offered = offered(model);
    match key.code {
        Code::Enter => {
            let Some(remedy) = offered.get(selected).copied() else { return vec![] };
            model.asked += 1;
            let (asked, go) = (model.asked, remedy.writes().is_none());
            model.screen.overlay =
                Some(Overlay::Remedy { remedy, asked, plan: None, scroll: 0, go, shown: None, early: false });
            return vec![Effect::PlanRemedy(remedy, asked)];
        }
        Code::Up | Code::Char('k') => selected = selected.saturating_sub(1),
        Code::Down | Code::Char('j') => selected = (selected + 1).min(offered.len().saturating_sub(1)),
        _ => {}
    }
    model.screen.overlay = Some(Overlay::Remedies { selected });
    vec![]
}

pub(super) fn dialog_key(model: &mut Model, key: Key, overlay: Overlay, now: Now) -> Vec<Effect> {
    let Overlay::Remedy { remedy, asked, plan, mut scroll, mut go, shown, .. } = overlay else {
        return vec![];
    };
    let ready = shown.is_some_and(|at| now.mono.since(at) >= ARM_DELAY);
    match key.code {
        Code::Enter if ready && go => return run(model, remedy, plan.as_ref(), now),
        Code::Enter if ready => return vec![],
        Code::Up => scroll = scroll.saturating_sub(1),
        Code::Down => scroll = scroll.saturating_add(1),
        Code::PageUp => scroll = scroll.saturating_sub(10),
        Code::PageDown => scroll = scroll.saturating_add(10),
        _ => go = go != (ready && is_switch(key)),
    }
    let early = !ready && key.code == Code::Enter;
    model.screen.overlay = Some(Overlay::Remedy { remedy, asked, plan, scroll, go, shown, early });
    vec![]
}

pub(super) fn stop_key(model: &mut Model, key: Key, go: bool) -> Vec<Effect> {
    if key.code != Code::Enter {
        model.screen.overlay = Some(Overlay::StopRemedy { go: go != is_switch(key) });
        return vec![];
    }
    let Some(work) = model.work.as_mut().filter(|_| go) else { return vec![] };
    work.stopping = true;
    vec![Effect::StopRemedy]
}

/// Why it cannot be run now.
pub fn blocked(model: &Model, remedy: Remedy, plan: Option<&Result<Ended, Trouble>>) -> Result<(), String> {
    match plan {
        None => return Err("its dry run has not ended".into()),
        Some(Err(trouble)) => return Err(trouble.to_string()),
        // 0: nothing to do; 1: there is something to do.
        Some(Ok(ended)) if ended.code > 1 => return Err(format!("its dry run ended with {}", ended.code)),
        Some(Ok(_)) => {}
    }
    match &model.lease {
        _ if remedy.writes().is_none() => Ok(()),
        _ if !model.setup.armed => Err("read-only: start with --arm".into()),
        Lease::Ours => Ok(()),
        Lease::Other(who, _) => Err(format!("{who} holds the right to write")),
        Lease::Failed(trouble) => Err(format!("the right to write is not ours: {trouble}")),
        Lease::None => Err("the right to write is not ours yet".into()),
    }
}

/// Closes what lies over the panes. Nobody waits for the answer of a dry run any more.
pub(super) fn close(model: &mut Model) -> Vec<Effect> {
    let asking = matches!(model.screen.overlay, Some(Overlay::Remedy { plan: None, .. }));
    // A filter that was left by Esc must not hide lines later.
    if matches!(model.screen.overlay, Some(Overlay::LogFilter { .. })) {
        model.screen.log_filter.clear();
    }
    model.screen.overlay = None;
    asking.then_some(Effect::StopRemedy).into_iter().collect()
}

fn run(model: &mut Model, remedy: Remedy, plan: Option<&Result<Ended, Trouble>>, now: Now) -> Vec<Effect> {
    if model.work.is_some() {
        return notice(model, Level::Warn, "another verb is running", now);
    }
    if let Err(why) = blocked(model, remedy, plan) {
        return notice(model, Level::Warn, format!("{}: {why}", remedy.command()), now);
    }
    model.work = Some(Work { remedy, since: now.mono, line: String::new(), stopping: false });
    let mut effects = notice(model, Level::Info, format!("{} is running", remedy.command()), now);
    effects.push(Effect::RunRemedy(remedy));
    effects
}

/// What a verb says.
pub(super) fn told(model: &mut Model, remedy: Remedy, told: Told, now: Now) -> Vec<Effect> {
    match told {
        Told::Plan(number, outcome) => {
            if let Some(Overlay::Remedy { asked, plan, .. }) = &mut model.screen.overlay
                && *asked == number
            {
                *plan = Some(outcome);
            }
            vec![]
        }
        Told::Line(line) => {
            if let Some(work) = model.work.as_mut().filter(|work| work.remedy == remedy) {
                work.line = line;
            }
            vec![]
        }
        Told::Done(outcome) => done(model, remedy, outcome, now),
    }
}

fn done(model: &mut Model, remedy: Remedy, outcome: Result<Ended, Trouble>, now: Now) -> Vec<Effect> {
    let stopped = model.work.take().is_some_and(|work| work.stopping);
    if matches!(model.screen.overlay, Some(Overlay::StopRemedy { .. })) {
        model.screen.overlay = None;
    }
    let command = remedy.command();
    let ended = match outcome {
        Ok(ended) => ended,
        Err(trouble) => return notice(model, Level::Error, format!("{command}: {trouble}"), now),
    };
    // Headlines only: what belongs to them is indented, and is read in a shell.
    let lines = ended.lines.iter().filter(|line| !line.is_empty() && !line.starts_with(' '));
    for text in lines.take(LOGGED) {
        let line = LogLine { at: now.wall, level: Level::Info, target: "verb".into(), text: text.clone() };
        super::log(model, line);
    }
    let (level, how) = match ended.code {
        _ if stopped => (Level::Warn, "was stopped; started again it goes on".to_owned()),
        0 => (Level::Info, "is done".to_owned()),
        1 => (Level::Warn, "is done, with findings: see the log".to_owned()),
        code => (Level::Error, format!("ended with {code}: see the log")),
    };
    let mut effects = notice(model, level, format!("{command} {how}"), now);
    effects.push(Effect::PollNow(None));
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cockpit::msg::{Answer, Msg};
    use crate::cockpit::update::desk::Desk;
    use crate::domain::backfill::{Migration, MigrationState, RowsFact, Side, Table, TableRows};
    use crate::domain::units::Count;
    use crate::domain::{Fact, Kind, SourceId};
    use crate::shift::plan::tests::route;

    /// A cockpit that sees a failed migration.
    fn desk(armed: bool) -> Desk {
        let mut desk = Desk::new(armed);
        let failed = Migration {
            name: Table::Traces.migration().into(),
            state: MigrationState::Failed,
            cursor: None,
            lock_age: None,
            worker: None,
            failed_reason: Some("write conflict".into()),
            batch_size: None,
            finished_at: None,
        };
        desk.fact(SourceId::Migrations, Fact::Migrations(vec![failed]));
        desk
    }

    impl Desk {
        fn told(&mut self, remedy: Remedy, told: Told) -> Vec<Effect> {
            self.say(Msg::Answer(Answer::Remedy(remedy, told)))
        }

        fn log(&self) -> String {
            self.model.log.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
        }
    }

    fn ended(code: u8, lines: &[&str]) -> Ended {
        Ended { code, lines: lines.iter().map(|l| (*l).to_owned()).collect() }
    }

    const RESUME: Remedy = Remedy::Resume(Table::Traces);

    #[test]
    fn what_is_found_is_done_after_its_dry_run_and_only_then() {
        let mut desk = desk(true);
        assert_eq!(offered(&desk.model), [RESUME, Remedy::Verify]);
        desk.key(Code::Char('a'));
        assert_eq!(desk.key(Code::Enter), [Effect::PlanRemedy(RESUME, 1)]);
        // Before there is a plan, no key does anything.
        desk.say(Msg::DialogShown);
        for code in [Code::Tab, Code::Enter] {
            assert_eq!(desk.key(code), []);
        }
        desk.told(RESUME, Told::Plan(1, Ok(ended(1, &["traces: 5 rows"]))));
        assert_eq!(desk.key(Code::Enter), [], "its first frame was not shown yet");
        desk.say(Msg::DialogShown);
        desk.key(Code::Tab);
        let effects = desk.key(Code::Enter);
        assert!(effects.contains(&Effect::RunRemedy(RESUME)), "{effects:?}");
        assert_eq!(desk.model.work.as_ref().map(|w| w.remedy), Some(RESUME));
        // One at a time; leaving asks, and stops it in order.
        desk.key(Code::Char('q'));
        assert!(matches!(desk.model.screen.overlay, Some(Overlay::Quit { .. })));
        let mut leaving = desk.clone();
        assert_eq!(leaving.key(Code::Char('q')), [Effect::StopRemedy, Effect::Quit(0)]);
        desk.key(Code::Esc);
        desk.told(RESUME, Told::Line("4 of 5 rows".into()));
        assert_eq!(desk.model.work.as_ref().unwrap().line, "4 of 5 rows");
        desk.key(Code::Char('a'));
        desk.key(Code::Tab);
        assert_eq!(desk.key(Code::Enter), [Effect::StopRemedy]);
        let effects = desk.told(RESUME, Told::Done(Ok(ended(75, &["traces: interrupted", "  detail"]))));
        assert!(effects.contains(&Effect::PollNow(None)) && desk.model.work.is_none());
        assert!(desk.log().contains("was stopped") && desk.log().contains("interrupted"), "{}", desk.log());
        assert!(!desk.log().contains("detail"), "{}", desk.log());
    }

    /// Each through the list, its dry run, its first frame and the switch to "go".
    #[test]
    fn a_copy_and_a_way_back_go_through_the_same_dialog() {
        let through = |desk: &mut Desk, remedy: Remedy| {
            desk.key(Code::Char('a'));
            let at = offered(&desk.model).iter().position(|offered| *offered == remedy).unwrap();
            (0..at).for_each(|_| _ = desk.key(Code::Down));
            assert_eq!(desk.key(Code::Enter), [Effect::PlanRemedy(remedy, desk.model.asked)]);
            desk.told(remedy, Told::Plan(desk.model.asked, Ok(ended(1, &["5 rows"]))));
            desk.say(Msg::DialogShown);
            desk.key(Code::Tab);
            assert!(desk.key(Code::Enter).contains(&Effect::RunRemedy(remedy)), "{remedy:?}");
            assert_eq!(desk.model.work.as_ref().map(|w| w.remedy), Some(remedy));
            let effects = desk.told(remedy, Told::Done(Ok(ended(0, &["done"]))));
            assert!(effects.contains(&Effect::PollNow(None)) && desk.model.work.is_none());
        };
        let mut desk = desk(true);
        let stalled = Migration {
            name: Table::Scores.migration().into(),
            state: MigrationState::Stalled,
            cursor: None,
            lock_age: None,
            worker: Some("w".into()),
            failed_reason: None,
            batch_size: None,
            finished_at: None,
        };
        desk.fact(SourceId::Migrations, Fact::Migrations(vec![stalled]));
        through(&mut desk, Remedy::Copy(Table::Scores));
        assert_eq!(Remedy::Copy(Table::Scores).run(), ["backfill", "run", "--table", "scores", "--yes"]);

        assert!(!offered(&desk.model).contains(&Remedy::Restore), "v3 has nothing of its own");
        desk.fact(SourceId::Traffic, Fact::Traffic(vec![route(0)]));
        let written = TableRows { v3_only: Some(Count::exact(7)), ..TableRows::unread(Table::Traces) };
        let rows = RowsFact { side: Side::Clickhouse, tables: vec![written], verified: vec![] };
        desk.fact(SourceId::ClickhouseRows, Fact::Rows(rows));
        through(&mut desk, Remedy::Restore);
        assert_eq!(Remedy::Restore.run(), ["restore", "--yes"]);
        assert_eq!(Remedy::Views.run(), ["restore", "--views", "--yes"]);
    }

    #[test]
    fn what_v3_wrote_of_rows_that_v2_has_can_be_written_back_too() {
        let mut desk = desk(true);
        desk.fact(SourceId::Traffic, Fact::Traffic(vec![route(0)]));
        let offers = |desk: &mut Desk, shared| {
            let none = Some(Count::exact(0));
            let written =
                TableRows { v3_only: none, shared: Some(shared), ..TableRows::unread(Table::Traces) };
            let rows = RowsFact { side: Side::Clickhouse, tables: vec![written], verified: vec![] };
            desk.fact(SourceId::ClickhouseRows, Fact::Rows(rows));
            offered(&desk.model).contains(&Remedy::Restore)
        };
        assert!(!offers(&mut desk, Count::exact(0)));
        assert!(offers(&mut desk, Count::exact(3)));
    }

    #[test]
    fn an_old_answer_fills_no_new_dialog_and_a_closed_one_stops_its_question() {
        let mut desk = desk(true);
        for n in [1, 2] {
            desk.key(Code::Char('a'));
            assert_eq!(desk.key(Code::Enter), [Effect::PlanRemedy(RESUME, n)]);
            if n == 1 {
                assert_eq!(desk.key(Code::Esc), [Effect::StopRemedy]);
            }
        }
        desk.told(RESUME, Told::Plan(1, Ok(ended(0, &["old"]))));
        assert!(matches!(desk.model.screen.overlay, Some(Overlay::Remedy { plan: None, .. })));
        desk.told(RESUME, Told::Plan(2, Ok(ended(0, &["new"]))));
        assert!(matches!(desk.model.screen.overlay, Some(Overlay::Remedy { plan: Some(_), .. })));
        assert_eq!(desk.key(Code::Esc), []);
    }

    #[test]
    fn what_may_not_run_says_why_and_does_not() {
        let asked = |desk: &mut Desk, plan| {
            desk.key(Code::Char('a'));
            desk.key(Code::Enter);
            desk.told(RESUME, Told::Plan(desk.model.asked, plan));
            desk.say(Msg::DialogShown);
            desk.key(Code::Tab);
            desk.key(Code::Enter);
            assert!(desk.model.work.is_none());
            desk.log()
        };
        assert!(asked(&mut desk(false), Ok(ended(0, &[]))).contains("start with --arm"));
        assert!(asked(&mut desk(true), Ok(ended(3, &["no"]))).contains("ended with 3"));
        let gone = Err(Trouble::new(Kind::Refused, "cutover", "it could not be started"));
        assert!(asked(&mut desk(true), gone).contains("could not be started"));
        let mut beside = desk(true);
        beside.model.lease = Lease::Other("mia@vm pid 7".into(), None);
        assert!(asked(&mut beside, Ok(ended(0, &[]))).contains("mia@vm pid 7 holds the right to write"));
        let mut unknown = desk(true);
        unknown.model.lease = Lease::None;
        assert!(asked(&mut unknown, Ok(ended(0, &[]))).contains("is not ours yet"));
        // What only reads needs no right to write.
        let mut looking = desk(false);
        looking.key(Code::Char('a'));
        looking.key(Code::Down);
        assert_eq!(looking.key(Code::Enter), [Effect::PlanRemedy(Remedy::Verify, 1)]);
        looking.told(Remedy::Verify, Told::Plan(1, Ok(ended(0, &["one pass"]))));
        looking.say(Msg::DialogShown);
        assert!(looking.key(Code::Enter).contains(&Effect::RunRemedy(Remedy::Verify)));
    }
}
