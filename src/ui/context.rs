//! What a pane may look at while it draws itself.

use std::borrow::Cow;

use crate::cockpit::Model;
use crate::cockpit::facts::Facts;
use crate::cockpit::history::History;
use crate::domain::{Freshness, Now, SourceId, Trouble};

use super::line::{Line, Span, span, wrapped};
use super::look::Tone;
use super::text::{fit, wrap};

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

    /// Why there is nothing from these sources, or what goes wrong with them: one paragraph each, and one for
    /// sources that meet the same trouble.
    pub(crate) fn troubles(&self, sources: &[SourceId]) -> Vec<Line<'a>> {
        let mut lines = Vec::new();
        let mut told: Vec<&Trouble> = Vec::new();
        for id in sources {
            if self.off(*id) {
                lines.push(Line::of(Tone::Dim, format!("{}: not watched, not configured", id.name())));
            } else if let Some(failure) = self.facts.failure(*id)
                && !told.contains(&&failure.trouble)
            {
                // Text is read from top to bottom: a cause that sources share is told where it first comes up.
                let mut all = super::panes::PANES.iter().flat_map(|pane| pane.sources);
                let first = all
                    .find(|other| self.facts.failure(**other).is_some_and(|f| f.trouble == failure.trouble));
                if let Some(first) = first.filter(|first| self.spoken && *first != id) {
                    let kind = failure.trouble.kind.word();
                    lines.push(Line::of(Tone::Bad, format!("✗ {}: {kind}, as {}", id.name(), first.name())));
                    continue;
                }
                told.push(&failure.trouble);
                lines.extend(self.trouble(&failure.trouble, self.read(*id)));
            }
        }
        lines
    }

    /// The whole sentence where there is room; else what it is, and what to do next. In a low pane that still
    /// has a value to show, one line has to do: the whole of it is in the zoomed pane and in the log.
    fn trouble(&self, trouble: &Trouble, has_value: bool) -> Vec<Line<'a>> {
        let whole = format!("✗ {trouble}").replace(" -> ", " → ");
        let all = wrapped(Tone::Bad, &whole, self.width, 2);
        let most = if has_value && self.height < 10 { 1 } else { 3 };
        if self.detail == Detail::Zoomed || all.len() <= most {
            return all;
        }
        let head = format!("✗ {}: {}: {}", trouble.object, trouble.kind.word(), trouble.detail);
        let mut lines = vec![Line::of(Tone::Bad, fit(&head, self.width).into_owned())];
        let columns = self.width.saturating_sub(4).max(8);
        let next = wrap(&trouble.remedy, columns);
        let cut = next.len() > most - 1;
        for (n, text) in next.into_iter().filter(|text| !text.is_empty()).take(most - 1).enumerate() {
            let last = cut && n + 2 == most;
            let text = if last { fit(&format!("{text} …"), columns).into_owned() } else { text };
            lines.push(Line::of(Tone::Dim, if n == 0 { "  → " } else { "    " }).with(Tone::Plain, text));
        }
        lines
    }

    /// Whether any of these sources has been read.
    pub(crate) fn read(&self, id: SourceId) -> bool {
        self.facts.freshness(id, self.now.mono) != Freshness::Unknown
    }
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
