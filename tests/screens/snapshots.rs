//! What the screen shows, cell by cell.

use cutover::cockpit::Model;
use cutover::cockpit::msg::{Hold, Lease, Level};
use cutover::cockpit::remedy::{Ended, Remedy, Work};
use cutover::cockpit::screen::{Overlay, PaneId};
use cutover::domain::units::Count;
use cutover::domain::{Fact, Now, SourceId};
use cutover::ui::{self, Look, Symbols, Theme};
use jiff::Span;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::fixtures as f;
use super::moves;
use super::picture::{buffer, grid, styled};
use super::readings;
use super::troubles;

const SMALL: (u16, u16) = (80, 24);
const HOME: (u16, u16) = (120, 36);
const WIDE: (u16, u16) = (200, 50);

fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

fn check_at(name: &str, model: &Model, now: Now, size: (u16, u16), theme: Theme) {
    let text = styled(&buffer(model, now, size, theme));
    let theme = format!("{theme:?}").to_lowercase();
    check(&format!("{name}-{}x{}-{theme}", size.0, size.1), &text);
}

/// Every state of a migration.
pub(crate) fn states() -> Vec<(&'static str, Model, Now)> {
    vec![
        ("happy", f::happy(), f::now()),
        ("unread", f::unread(), f::now()),
        ("failing", troubles::failing(), f::now()),
        ("stale", troubles::stale(), troubles::stale_now()),
        ("troubled", troubles::troubled(), f::now()),
        ("frozen", f::frozen(), f::frozen_now()),
        ("unknown", moves::unknown(), f::now()),
        ("conflict", moves::conflict(), f::now()),
        ("done", moves::done(), f::now()),
        ("applying", moves::applying(), f::now()),
        ("unconfirmed", moves::unconfirmed(), f::now()),
        ("wide", f::wide(), f::now()),
    ]
}

/// Every dialog.
pub(crate) fn dialogs() -> Vec<(&'static str, Model)> {
    let mut all = moves_asked_about();
    all.extend(commands());
    all.extend(entries());
    all.extend(remedies());
    all.extend(warnings());
    all
}

/// The happy one with a dialog over it.
fn with(overlay: Overlay) -> Model {
    let mut m = f::happy();
    m.screen.overlay = Some(overlay);
    m
}

/// Before a split is written.
fn moves_asked_about() -> Vec<(&'static str, Model)> {
    vec![
        ("shift-armed", moves::armed("")),
        ("shift-typed", moves::armed("50")),
        ("shift-typed-wrong", moves::armed("5")),
        ("shift-confirmation", moves::armed_with_confirmation()),
        ("shift-proposed", moves::proposed()),
        ("shift-rollback", moves::taking_back()),
        ("shift-rollback-again", moves::taking_back_again()),
    ]
}

/// Where commands are looked up.
fn commands() -> Vec<(&'static str, Model)> {
    let mut read_only = with(Overlay::Help { filter: String::new(), scroll: 0 });
    read_only.setup.armed = false;
    vec![
        ("help", with(Overlay::Help { filter: String::new(), scroll: 0 })),
        ("help-read-only", read_only),
        ("help-scrolled", with(Overlay::Help { filter: String::new(), scroll: 900 })),
        ("help-filtered", with(Overlay::Help { filter: "log".into(), scroll: 0 })),
        ("palette", with(Overlay::Palette { query: String::new(), selected: 3 })),
        ("palette-query", with(Overlay::Palette { query: "roll".into(), selected: 0 })),
        ("palette-none", with(Overlay::Palette { query: "zzz".into(), selected: 7 })),
    ]
}

/// Where something is typed, set or taken.
fn entries() -> Vec<(&'static str, Model)> {
    let mut held = with(Overlay::Hold { on: false, go: true, shown: None, early: false });
    held.hold = Some(Hold { by: "anna@bastion-2".into(), since: f::now().wall });
    let mut lease = with(Overlay::TakeLease { typed: "anna@bas".into() });
    lease.lease = Lease::Other("anna@bastion-2 pid 4711".into(), Some(f::now().wall));
    vec![
        ("set-split", with(Overlay::SetSplit { typed: "100".into() })),
        ("log-filter", with(Overlay::LogFilter { typed: "probe".into() })),
        ("hold", with(Overlay::Hold { on: true, go: false, shown: None, early: true })),
        ("hold-off", held),
        ("take-lease", lease),
    ]
}

/// What a verb says that may not run.
const REFUSED: &str = "traces: worker 276d700c holds the migration, its lock is 4 s old: nothing was written";

/// What a dry run says that found 18 rows to copy.
fn plan() -> Vec<String> {
    let ids =
        (1..=18).map(|n| format!("    4f4910fa-6067-4f20-a808-6498c72e30{n:02} of project cl-payments"));
    ["traces: 18 missing, 0 stale, 0 overwritten, 0 twice of 12 000 rows; 0 written"]
        .map(str::to_owned)
        .into_iter()
        .chain(["  18 missing: in v2 and not in v3, to be copied".to_owned()])
        .chain(ids)
        .chain(["nothing was written: `cutover catch-up --yes` does it".to_owned()])
        .collect()
}

/// What is done about findings, from the list of them to the verb that runs.
fn remedies() -> Vec<(&'static str, Model)> {
    let remedy = |plan, go| {
        let remedy = Remedy::CatchUp;
        with(Overlay::Remedy { remedy, asked: 1, plan, scroll: 0, go, shown: None, early: false })
    };
    let mut working = with(Overlay::StopRemedy { go: false });
    working.work = Some(Work {
        remedy: Remedy::CatchUp,
        since: Now::at(f::NOW - 75).mono,
        line: "traces: 4 000 rows looked at, 12 to be mended, 4 written".into(),
        stopping: false,
    });
    vec![
        ("act", with(Overlay::Remedies { selected: 0 })),
        ("act-asking", remedy(None, false)),
        ("act-plan", remedy(Some(Ok(Ended { code: 1, lines: plan() })), true)),
        ("act-refused", remedy(Some(Ok(Ended { code: 4, lines: vec![REFUSED.into()] })), false)),
        ("act-running", working),
    ]
}

/// What is said to one who leaves while a move is open, or was too quick.
fn warnings() -> Vec<(&'static str, Model)> {
    let mut quit = moves::applying();
    quit.screen.overlay = Some(Overlay::Quit { go: false });
    let mut leave = moves::unconfirmed();
    leave.screen.overlay = Some(Overlay::Quit { go: true });
    let mut hasty = moves::armed("");
    if let cutover::shift::Shift::Armed { early, .. } = &mut hasty.shift {
        *early = true;
    }
    vec![("quit", quit), ("quit-unconfirmed", leave), ("shift-early", hasty)]
}

#[test]
fn states_at_both_main_sizes() {
    for (name, model, now) in states() {
        for size in [SMALL, HOME] {
            check_at(name, &model, now, size, Theme::Ansi);
        }
    }
}

#[test]
fn the_whole_screen_in_every_theme_and_size() {
    for size in [SMALL, HOME, WIDE] {
        for theme in [Theme::Mono, Theme::Cvd] {
            check_at("troubled", &troubles::troubled(), f::now(), size, theme);
        }
        check_at("happy", &f::happy(), f::now(), size, Theme::Mono);
    }
    check_at("happy", &f::happy(), f::now(), WIDE, Theme::Ansi);
}

#[test]
fn every_pane_at_every_size_in_colour_and_without() {
    for id in PaneId::ALL {
        let mut model = troubles::troubled();
        model.screen.focus = id;
        model.screen.zoomed = true;
        for size in [SMALL, HOME, WIDE] {
            for theme in [Theme::Ansi, Theme::Mono] {
                let whole = buffer(&model, f::now(), size, theme);
                let name = id.title().to_lowercase();
                let name = format!("pane-{name}-{}x{}-{theme:?}", size.0, size.1).to_lowercase();
                check(&name, &styled(&body(&whole)));
            }
        }
    }
}

/// Traces were looked at by id two hours ago, observations just now, and of scores nothing is copied.
#[test]
fn what_a_look_by_id_found_is_an_estimate_later() {
    let mut model = f::happy();
    let mut rows = readings::postgres_rows();
    let ago = |minutes| f::now().wall - Span::new().minutes(minutes);
    rows.tables[0].changed = Some((Count::exact(7), ago(130)));
    rows.tables[1].changed = Some((Count::exact(5), ago(3)));
    f::read(&mut model, SourceId::PostgresRows, Fact::Rows(rows), 2);
    let mut rows = readings::clickhouse_rows();
    rows.tables[2].backfill = Some(Count::exact(0));
    f::read(&mut model, SourceId::ClickhouseRows, Fact::Rows(rows), 2);
    model.screen.focus = PaneId::Backfill;
    model.screen.zoomed = true;
    for size in [SMALL, HOME] {
        let text = grid(&body(&buffer(&model, f::now(), size, Theme::Mono)));
        check(&format!("stranded-{}x{}", size.0, size.1), &text);
    }
}

/// The panes alone: without header, notice and footer.
fn body(whole: &Buffer) -> Buffer {
    let area = Rect::new(0, 0, whole.area.width, whole.area.height - 5);
    let columns = usize::from(area.width);
    let mut body = Buffer::empty(area);
    body.content.clone_from_slice(&whole.content[3 * columns..(3 + usize::from(area.height)) * columns]);
    body
}

#[test]
fn focus_opens_what_was_a_summary() {
    for id in [PaneId::Cluster, PaneId::Advisor, PaneId::Log] {
        let mut model = f::happy();
        model.screen.focus = id;
        check_at(&format!("focus-{}", id.title().to_lowercase()), &model, f::now(), SMALL, Theme::Ansi);
    }
}

#[test]
fn dialogs_at_both_main_sizes() {
    for (name, model) in dialogs() {
        for size in [SMALL, HOME] {
            check_at(&format!("dialog-{name}"), &model, f::now(), size, Theme::Ansi);
        }
        check_at(&format!("dialog-{name}"), &model, f::now(), SMALL, Theme::Mono);
    }
}

#[test]
fn a_terminal_that_is_too_small_still_says_the_split() {
    for size in [(59, 24), (80, 15), (40, 10), (20, 1)] {
        check_at("too-small", &troubles::troubled(), f::now(), size, Theme::Ansi);
    }
}

#[test]
fn ascii_has_a_likeness_for_every_glyph() {
    for (name, model, now) in states() {
        let mut buf = Buffer::empty(Rect::new(0, 0, HOME.0, HOME.1));
        ui::render(&mut buf, &model, &Look { theme: Theme::Mono, symbols: Symbols::Ascii }, now);
        let text = grid(&buf);
        assert!(text.is_ascii(), "{name}");
        if name != "wide" {
            assert!(
                !text.replace("? help", "").contains('?'),
                "{name}: a glyph of ours has no likeness:\n{text}"
            );
        }
        if name == "troubled" {
            check("ascii-troubled-120x36", &text);
        }
    }
}

#[test]
fn plain_text_says_the_same_without_lines_and_bars() {
    for (name, model, now) in states() {
        let text = ui::plain::text(&model, now);
        assert!(!text.contains(['█', '░', '─', '│', '▁', '\u{1b}']), "{name}");
        check(&format!("plain-{name}"), &text);
    }
}

#[test]
fn what_was_not_read_is_a_dash_and_never_a_zero() {
    let text = grid(&buffer(&f::unread(), f::now(), HOME, Theme::Ansi));
    let body: Vec<&str> = text.lines().skip(3).take(31).collect();
    let mut body = body.join("\n");
    for word in ["ladder   0 › 5 › 25 › 50 › 100 %", "5 to 10 min", "15 sources", "0/4 up", "p50"] {
        body = body.replace(word, "");
    }
    assert!(!body.contains('0'), "{body}");
}

#[test]
fn the_log_shows_only_what_passes_the_filter() {
    let mut model = f::happy();
    model.screen.log_filter = "PROBE".into();
    model.screen.log_level = Level::Warn;
    model.screen.focus = PaneId::Log;
    model.screen.zoomed = true;
    let text = grid(&buffer(&model, f::now(), SMALL, Theme::Ansi));
    assert!(text.contains("no answer within 5 s") && !text.contains("routes stand"), "{text}");
}

#[test]
fn a_frozen_view_shows_what_was_read_then() {
    let text = grid(&buffer(&f::frozen(), f::frozen_now(), HOME, Theme::Ansi));
    assert!(text.contains("v3 20 %") && text.contains("FROZEN") && text.contains("25s ago"), "{text}");
    assert!(!text.contains("v3 50 %"), "{text}");
}

/// The cursor stands still for as long as a copy takes a large group as one; a worker would never pass it.
#[test]
fn a_group_that_a_copy_of_cutover_takes_is_no_warning() {
    use cutover::domain::backfill::{MigrationState, OURS, Table};
    use cutover::domain::{Fact, SourceId};
    let told = |worker: String| {
        let mut model = f::happy();
        let running = readings::migration(Table::Traces, MigrationState::Running);
        let row = cutover::domain::backfill::Migration { worker: Some(worker), ..running };
        f::read(&mut model, SourceId::Migrations, Fact::Migrations(vec![row]), 1);
        let mut rows = readings::postgres_rows();
        rows.tables[0].tie_group = Some(6_000);
        f::read(&mut model, SourceId::PostgresRows, Fact::Rows(rows), 1);
        model.screen.focus = PaneId::Backfill;
        model.screen.zoomed = true;
        grid(&buffer(&model, f::now(), HOME, Theme::Ansi))
    };
    let (ours, theirs) = (told(format!("{OURS}a81f0c1e")), told("a81f0c1e".into()));
    assert!(
        ours.contains("6 000 rows share the cursor's time: a copy of cutover is at work there"),
        "{ours}"
    );
    assert!(!ours.contains("it cannot pass"), "{ours}");
    assert!(theirs.contains("6 000 rows share the cursor's time: it cannot pass"), "{theirs}");
}

#[test]
#[ignore = "writes pictures for a look by eye"]
fn pictures() {
    let dir = std::env::var("PICTURES").unwrap();
    let dialogs = dialogs().into_iter().map(|(name, model)| (name, model, f::now()));
    for (name, model, now) in states().into_iter().chain(dialogs) {
        for size in [SMALL, HOME, WIDE] {
            let buf = buffer(&model, now, size, Theme::Ansi);
            let file = format!("{dir}/{name}-{}x{}", size.0, size.1);
            std::fs::write(format!("{file}.svg"), ui::svg::render(&buf, &Look::default())).unwrap();
            std::fs::write(format!("{file}.txt"), grid(&buf)).unwrap();
        }
    }
}
