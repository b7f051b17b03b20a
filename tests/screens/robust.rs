//! Sizes and states nobody thought of.

use cutover::cockpit::screen::{Overlay, PaneId};
use cutover::domain::Now;
use cutover::ui::{self, Look, Symbols, Theme};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::fixtures as f;
use super::snapshots::{dialogs, states};

fn draw(model: &cutover::cockpit::Model, now: Now, columns: u16, rows: u16, look: Look) -> Buffer {
    let mut buf = Buffer::empty(Rect::new(0, 0, columns, rows));
    ui::render(&mut buf, model, &look, now);
    buf
}

fn looks() -> impl Strategy<Value = Look> {
    let theme = prop_oneof![Just(Theme::Ansi), Just(Theme::Cvd), Just(Theme::Mono)];
    let symbols = prop_oneof![Just(Symbols::Utf8), Just(Symbols::Ascii)];
    (theme, symbols).prop_map(|(theme, symbols)| Look { theme, symbols })
}

fn overlays() -> impl Strategy<Value = Option<Overlay>> {
    let text = "[ -~日é\u{202e}]{0,30}";
    prop_oneof![
        3 => Just(None),
        1 => (text, any::<u16>()).prop_map(|(filter, scroll)| Some(Overlay::Help { filter, scroll })),
        1 => (text, any::<usize>()).prop_map(|(query, selected)| Some(Overlay::Palette { query, selected })),
        1 => text.prop_map(|typed| Some(Overlay::SetSplit { typed })),
        1 => text.prop_map(|typed| Some(Overlay::LogFilter { typed })),
        1 => any::<[bool; 3]>()
            .prop_map(|[on, go, early]| Some(Overlay::Hold { on, go, shown: None, early })),
        1 => text.prop_map(|typed| Some(Overlay::TakeLease { typed })),
        1 => any::<bool>().prop_map(|go| Some(Overlay::Quit { go })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_no_control_character_is_drawn(
        which: prop::sample::Index, columns in 1u16..=300, rows in 1u16..=100, look in looks(), overlay in overlays(),
        focus in 0usize..7, zoomed: bool, scroll in any::<u16>(), later in 0u64..100_000,
    ) {
        let (mut model, now) = {
            let dialogs = dialogs().into_iter().map(|(_, model)| (model, f::now()));
            let mut all: Vec<_> =
                states().into_iter().map(|(_, model, now)| (model, now)).chain(dialogs).collect();
            all.swap_remove(which.index(all.len()))
        };
        if overlay.is_some() {
            model.screen.overlay = overlay;
        }
        model.screen.focus = PaneId::ALL[focus];
        model.screen.zoomed = zoomed;
        model.screen.scroll = [scroll; 7];
        let now = Now { mono: now.mono.after(std::time::Duration::from_secs(later)), ..now };
        let buf = draw(&model, now, columns, rows, look);
        for cell in &buf.content {
            prop_assert!(!cell.symbol().chars().any(|c| c.is_control() || c == '\u{202e}'), "{:?}", cell.symbol());
            if look.symbols == Symbols::Ascii {
                prop_assert!(cell.symbol().is_ascii());
            }
            if look.theme == Theme::Mono {
                prop_assert_eq!(cell.fg, ratatui::style::Color::Reset);
            }
        }
        let _ = ui::plain::text(&model, now);
        let svg = ui::svg::render(&buf, &look);
        prop_assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}

#[test]
fn every_pane_keeps_its_title_on_every_usable_size() {
    for (columns, rows) in
        [(60, 16), (76, 20), (80, 24), (100, 30), (120, 36), (174, 40), (200, 50), (300, 100)]
    {
        let buf = draw(&f::happy(), f::now(), columns, rows, Look::default());
        let text = super::picture::grid(&buf);
        for id in PaneId::ALL {
            assert!(text.contains(id.title()), "{} is missing at {columns}x{rows}:\n{text}", id.title());
        }
    }
}
