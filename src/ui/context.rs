//! What a pane may look at while it draws itself.

use std::borrow::Cow;

use crate::cockpit::Model;
use crate::cockpit::facts::Facts;
use crate::cockpit::history::History;
use crate::domain::{Freshness, Now, SourceId};

use super::line::{Line, Span, span, wrapped};
use super::look::Tone;

/// How much of a pane is on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// One line: its main number and its worst state.
    Summary,
    /// A title and as many rows as there is room for.
    Full,
    /// The whole screen: nothing is shortened.
    Zoomed,
}

/// The readings on the screen, the moment they are looked at, and the room there is.
#[derive(Debug, Clone, Copy)]
pub struct Cx<'a> {
    /// The model as shown: with the frozen readings while the view is frozen.
    pub model: &'a Model,
    /// Its readings.
    pub facts: &'a Facts,
    /// Its histories.
    pub history: &'a History,
    /// The moment: that of the freeze while the view is frozen.
    pub now: Now,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// How much is shown.
    pub detail: Detail,
    /// For a reader of text rather than a screen: no bars, no charts.
    pub spoken: bool,
}

impl<'a> Cx<'a> {
    /// A context over a model, before there is a place on the screen.
    pub fn new(model: &'a Model, now: Now) -> Self {
        Self {
            model,
            facts: &model.facts,
            history: &model.history,
            now,
            width: 80,
            height: 20,
            detail: Detail::Full,
            spoken: false,
        }
    }

    /// Whether the configuration leaves a source out.
    pub(crate) fn off(&self, id: SourceId) -> bool {
        self.model.setup.off.contains(&id)
    }

    /// The tone of a value: its own while it is fresh, that of stale readings otherwise.
    pub(crate) fn tone(&self, id: SourceId, own: Tone) -> Tone {
        match self.facts.freshness(id, self.now.mono) {
            Freshness::Late(_) | Freshness::Stale(_) => Tone::Stale,
            Freshness::Fresh(_) | Freshness::Unknown => own,
        }
    }

    /// A value of a source.
    pub(crate) fn value<T: Into<Cow<'a, str>>>(&self, id: SourceId, text: T) -> Span<'a> {
        span(self.tone(id, Tone::Plain), text)
    }

    /// Why there is nothing from these sources, or what goes wrong with them: one paragraph each.
    pub(crate) fn troubles(&self, sources: &[SourceId]) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        for id in sources {
            if self.off(*id) {
                lines.push(Line::of(
                    Tone::Dim,
                    format!("{}: not watched, not configured", id.name()),
                ));
            } else if let Some(failure) = self.facts.failure(*id) {
                let text = format!("✗ {}: {}", id.name(), failure.trouble);
                let mut all = wrapped(Tone::Bad, &text, self.width, 2);
                if self.detail < Detail::Zoomed && all.len() > 3 {
                    all = shortened(&failure.trouble, id.name(), self.width);
                }
                lines.extend(all);
            }
        }
        lines
    }

    /// Whether any of these sources has been read.
    pub(crate) fn read(&self, id: SourceId) -> bool {
        self.facts.freshness(id, self.now.mono) != Freshness::Unknown
    }
}

/// Two lines of a long trouble: what it is, and what to do next. The whole of it is in the zoomed pane.
fn shortened<'a>(trouble: &crate::domain::Trouble, name: &str, columns: usize) -> Vec<Line<'a>> {
    let head = format!("✗ {name}: {}: {}", trouble.kind.word(), trouble.detail);
    let mut lines = vec![Line::of(Tone::Bad, super::text::fit(&head, columns).into_owned())];
    if !trouble.remedy.is_empty() {
        let next = super::text::wrap(&trouble.remedy, columns.saturating_sub(4).max(8));
        for (n, text) in next.into_iter().take(2).enumerate() {
            let start = if n == 0 { "  → " } else { "    " };
            lines.push(Line::of(Tone::Dim, start).with(Tone::Plain, text));
        }
    }
    lines
}

/// The model with the readings that are on the screen: the frozen ones while the view is frozen.
pub(crate) fn shown(model: &Model) -> Cow<'_, Model> {
    let Some(frozen) = &model.screen.frozen else {
        return Cow::Borrowed(model);
    };
    let mut then = model.clone();
    let (facts, history) = model.shown();
    then.facts = facts.clone();
    then.history = history.clone();
    then.log.retain(|line| line.at <= frozen.at.wall);
    Cow::Owned(then)
}
