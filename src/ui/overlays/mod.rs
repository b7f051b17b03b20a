//! What lies over the panes: the shift dialog, which is the shift machine's own state, and the small ones.
//!
//! One rule: a dialog that can write says in words what it would do, and its button says it once more.

mod ask;
mod find;
mod help;
mod remedy;
mod shift;
mod window;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::Model;
use crate::cockpit::screen::Overlay;
use crate::domain::Now;

use super::look::Theme;

/// Draws whatever lies on top now.
pub(crate) fn draw(buf: &mut Buffer, area: Rect, model: &Model, now: Now, theme: Theme) {
    if model.shift.has_dialog() {
        shift::draw(buf, area, model, now, theme);
    }
    match &model.screen.overlay {
        None => {}
        Some(Overlay::Help { filter, scroll }) => help::draw(buf, area, model, (filter, *scroll), now, theme),
        Some(Overlay::Palette { query, selected }) => {
            find::draw(buf, area, model, (query, *selected), now, theme);
        }
        Some(Overlay::SetSplit { typed }) => ask::set_split(buf, area, model, typed, theme),
        Some(Overlay::LogFilter { typed }) => ask::log_filter(buf, area, typed, theme),
        Some(Overlay::Hold { on, go, early, .. }) => ask::hold(buf, area, model, (*on, *go, *early), theme),
        Some(Overlay::Remedies { selected }) => remedy::list(buf, area, model, *selected, theme),
        Some(overlay @ Overlay::Remedy { .. }) => remedy::dialog(buf, area, model, overlay, theme),
        Some(Overlay::StopRemedy { go }) => remedy::stop(buf, area, model, *go, now, theme),
        Some(Overlay::TakeLease { typed }) => ask::take_lease(buf, area, model, typed, theme),
        Some(Overlay::Quit { go }) => ask::quit(buf, area, model, *go, now, theme),
    }
}
