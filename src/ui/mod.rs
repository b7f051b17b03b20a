//! The pure view: the model in, cells out. Layout, theme, panes, overlays, plain text, and a picture of it all.
//!
//! One rule: the view reads the model and nothing else; the same model at the same moment gives the same cells,
//! and ages change in steps, so that nothing is sent while nothing happens.
//!
//! ```text
//!  header     environment, context, who may write, phase, split, measured share
//!  banners    frozen view; an operation that failed or whose outcome is unknown
//!  panes      PANES, placed by layout::arrange; each one file, the same rows for screen and plain text
//!  notice     the newest sentence, or what the next step of the ladder waits for
//!  footer     keys from the command table
//!  overlays   the shift dialog (the shift machine's own state), then Screen::overlay
//! ```

mod age;
mod banner;
mod chart;
mod context;
mod footer;
mod header;
pub mod layout;
mod line;
pub mod look;
mod overlays;
pub mod panes;
pub mod plain;
mod row;
mod rules;
pub mod svg;
mod table;
mod text;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::domain::Now;

pub use context::{Cx, Detail};
pub use line::{Line, Span};
pub use look::{Look, Symbols, Theme, Tone};

use layout::{arrange, is_too_small};

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: &Look, now: Now) {
    render(frame.buffer_mut(), model, look, now);
}

/// The same into a buffer, for tests, exports and pictures.
pub fn render(buf: &mut Buffer, model: &Model, look: &Look, now: Now) {
    let area = buf.area;
    if area.is_empty() {
        return;
    }
    if is_too_small(area) {
        header::draw_tiny(buf, area, model, now, look.theme);
    } else {
        draw_all(buf, area, model, look.theme, now);
    }
    if look.symbols == Symbols::Ascii {
        look::fold(buf);
    }
}

fn draw_all(buf: &mut Buffer, area: Rect, model: &Model, theme: Theme, now: Now) {
    let shown = context::shown(model);
    let then = model.screen.frozen.as_ref().map_or(now, |f| f.at);
    let cx = Cx { width: usize::from(area.width), ..Cx::new(&shown, then) };
    let (head, rest) = top(area, header::ROWS);
    header::draw(buf, head, &cx, theme);
    let (banners, rest) = top(rest, banner::rows(model, now, area.width));
    banner::draw(buf, banners, model, now, theme);
    let (body, bottom) = top(rest, rest.height.saturating_sub(2));
    draw_panes(buf, body, &cx, theme);
    let (notice, foot) = top(bottom, 1);
    footer::draw_notice(buf, notice, model, now, theme);
    footer::draw_keys(buf, foot, model, now, theme);
    overlays::draw(buf, area, model, now, theme);
}

fn draw_panes(buf: &mut Buffer, body: Rect, cx: &Cx<'_>, theme: Theme) {
    let places = arrange(body, &cx.model.screen);
    let mut hidden = Vec::with_capacity(places.len());
    for (id, rect, detail) in &places {
        let pane = panes::pane(*id);
        if *detail == Detail::Summary {
            let cx = Cx { width: usize::from(rect.width), height: 1, detail: *detail, ..*cx };
            panes::draw_summary(buf, *rect, pane, &cx, theme);
            hidden.push((0, 0));
            continue;
        }
        let inner = inner(*rect);
        let (width, height) = (usize::from(inner.width), usize::from(inner.height));
        let cx = Cx { width, height, detail: *detail, ..*cx };
        hidden.push(panes::draw(buf, inner, pane, &cx, theme));
    }
    rules::draw(buf, body, &places, &hidden, cx, theme);
}

/// What is left of a pane without its title and the column before its text.
fn inner(rect: Rect) -> Rect {
    Rect::new(rect.x + 1, rect.y + 1, rect.width.saturating_sub(1), rect.height.saturating_sub(1))
        .intersection(rect)
}

/// The first `rows` of an area, and the rest.
fn top(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let upper = Rect { height: rows, ..area };
    (upper, Rect { y: area.y + rows, height: area.height - rows, ..area })
}
