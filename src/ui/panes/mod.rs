//! The panes: one file and one row of [`PANES`] each. Layout, focus, zoom, plain text and the tests of the
//! screen follow from the rows.
//!
//! One rule: a pane turns the model into lines, worst and most important first, and knows nothing of where
//! they are drawn. A value that was not read is `-`, an estimate has `~`, a late one is dimmed and its age
//! stands in the title.

mod advisor;
mod backfill;
mod cells;
mod cluster;
mod latency;
mod log;
mod queues;
mod traffic;

pub(crate) use traffic::state as traffic_state;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cockpit::screen::PaneId;
use crate::domain::SourceId;
use crate::domain::latency::Endpoint;
use crate::domain::store::StoreKind;

use super::context::{Cx, Detail};
use super::line::{Line, put};
use super::look::{Theme, Tone};

/// One pane.
#[derive(Debug)]
pub struct Pane {
    /// Which.
    pub id: PaneId,
    /// Rows it needs at least, its title included, to be worth more than a summary.
    pub least: u16,
    /// Its part of the rows that are left.
    pub weight: u16,
    /// What it reads.
    pub sources: &'static [SourceId],
    /// A few words beside the title while all is well.
    pub note: for<'a> fn(&Cx<'a>) -> Line<'a>,
    /// Its main number and its worst state in one line.
    pub summary: for<'a> fn(&Cx<'a>) -> Line<'a>,
    /// All of it.
    pub rows: for<'a> fn(&Cx<'a>) -> Vec<Line<'a>>,
}

/// The panes, in the order of the screen, most important first.
pub static PANES: &[Pane] = &[
    Pane {
        id: PaneId::Traffic,
        least: 7,
        weight: 2,
        sources: &[SourceId::Traffic, SourceId::Share, SourceId::Controller],
        note: traffic::note,
        summary: traffic::summary,
        rows: traffic::rows,
    },
    Pane {
        id: PaneId::Backfill,
        least: 7,
        weight: 1,
        sources: &[SourceId::Migrations, SourceId::PostgresRows, SourceId::ClickhouseRows],
        note: backfill::note,
        summary: backfill::summary,
        rows: backfill::rows,
    },
    Pane {
        id: PaneId::Queues,
        least: 6,
        weight: 1,
        sources: &[SourceId::Queues],
        note: queues::note,
        summary: queues::summary,
        rows: queues::rows,
    },
    Pane {
        id: PaneId::Latency,
        least: 6,
        weight: 2,
        sources: &[
            SourceId::Probe(Endpoint::V2),
            SourceId::Probe(Endpoint::V3),
            SourceId::Probe(Endpoint::Public),
        ],
        note: latency::note,
        summary: latency::summary,
        rows: latency::rows,
    },
    Pane {
        id: PaneId::Cluster,
        least: 7,
        weight: 3,
        sources: &[
            SourceId::Cluster,
            SourceId::Store(StoreKind::Postgres),
            SourceId::Store(StoreKind::Clickhouse),
            SourceId::Store(StoreKind::Redis),
            SourceId::Store(StoreKind::S3),
        ],
        note: cluster::note,
        summary: cluster::summary,
        rows: cluster::rows,
    },
    Pane {
        id: PaneId::Advisor,
        least: 5,
        weight: 1,
        sources: &[],
        note: advisor::note,
        summary: advisor::summary,
        rows: advisor::rows,
    },
    Pane {
        id: PaneId::Log,
        least: 4,
        weight: 1,
        sources: &[],
        note: log::note,
        summary: log::summary,
        rows: log::rows,
    },
];

/// The row of a pane.
pub fn pane(id: PaneId) -> &'static Pane {
    PANES.iter().find(|p| p.id == id).unwrap_or(&PANES[0])
}

/// Draws the rows of a pane into `area` (its title excluded), scrolled as the operator left it; says how many
/// rows are hidden above and below.
pub(crate) fn draw(buf: &mut Buffer, area: Rect, pane: &Pane, cx: &Cx<'_>, theme: Theme) -> (usize, usize) {
    let rows = (pane.rows)(cx);
    let height = usize::from(area.height);
    let most = rows.len().saturating_sub(height);
    let first = usize::from(cx.model.screen.scroll[pane.id as usize]).min(most);
    for (n, line) in rows.iter().skip(first).take(height).enumerate() {
        put(buf, (area.x, area.y + n as u16), area.width, line, theme);
    }
    (first, rows.len().saturating_sub(first + height))
}

/// Draws the one line of a closed pane.
pub(crate) fn draw_summary(buf: &mut Buffer, area: Rect, pane: &Pane, cx: &Cx<'_>, theme: Theme) {
    let title = Line::of(Tone::Title, format!(" {} {:<9}", pane.id as u8 + 1, pane.id.title()));
    let used = put(buf, (area.x, area.y), area.width, &title, theme);
    let cx = Cx { width: usize::from(area.width - used), ..*cx };
    let line = (pane.summary)(&cx);
    put(buf, (area.x + used, area.y), area.width - used, &line, theme);
}

/// The lines of a pane for a reader of text: nothing shortened, no bars.
pub(crate) fn spoken<'a>(pane: &Pane, cx: &Cx<'a>) -> Vec<Line<'a>> {
    let cx = Cx { width: 100, height: 60, detail: Detail::Zoomed, spoken: true, ..*cx };
    (pane.rows)(&cx)
}
