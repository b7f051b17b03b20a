//! Where each pane goes. Pure: the same function serves the view and whoever wants to know what is visible.
//!
//! One rule: no pane disappears silently. What has no room for itself becomes one line with its main number
//! and worst state; focus and zoom open it.

use ratatui::layout::Rect;

use crate::cockpit::screen::{PaneId, Screen};

pub use super::context::Detail;
use super::panes::{PANES, Pane};

/// Below this there is one status line and nothing else.
pub const SMALLEST: (u16, u16) = (60, 16);
/// From this width on there are two columns of panes, from the second on three.
const TWO_COLUMNS: u16 = 76;
const THREE_COLUMNS: u16 = 174;

/// Whether the panes have any room.
pub const fn is_too_small(area: Rect) -> bool {
    area.width < SMALLEST.0 || area.height < SMALLEST.1
}

/// A place for every pane, in the order of [`PaneId::ALL`]; only the focused one while it is zoomed. The first
/// row of a pane that is not a summary is its title.
pub fn arrange(area: Rect, screen: &Screen) -> Vec<(PaneId, Rect, Detail)> {
    if area.is_empty() {
        return Vec::new();
    }
    if screen.zoomed {
        return vec![(screen.focus, area, Detail::Zoomed)];
    }
    let columns =
        usize::from(1 + u16::from(area.width >= TWO_COLUMNS) + u16::from(area.width >= THREE_COLUMNS));
    let open = open(area.height, columns, screen.focus);
    let mut places = place(area, columns, &open);
    let closed = PANES.iter().filter(|p| !open.contains(&p.id));
    let first = area.bottom().saturating_sub((PANES.len() - open.len()) as u16).max(area.y);
    for (n, pane) in closed.enumerate() {
        let row = Rect::new(area.x, first.saturating_add(n as u16), area.width, 1);
        places.push((pane.id, row.intersection(area), Detail::Summary));
    }
    places.sort_by_key(|(id, ..)| *id);
    places
}

/// The panes that get room of their own: all, less the least important ones until the rest fit. The focused
/// one always does.
fn open(height: u16, columns: usize, focus: PaneId) -> Vec<PaneId> {
    let mut open: Vec<PaneId> = PaneId::ALL.to_vec();
    while open.len() > 1 {
        let closed = (PANES.len() - open.len()) as u16;
        if needed(columns, &open) + closed <= height {
            break;
        }
        let Some(last) = open.iter().rposition(|id| *id != focus) else {
            break;
        };
        open.remove(last);
    }
    open
}

/// Rows that the open panes need at least.
fn needed(columns: usize, open: &[PaneId]) -> u16 {
    let (columns, across) = split(columns, open);
    let tallest = columns.iter().map(|c| c.iter().map(|p| p.least).sum::<u16>()).max().unwrap_or(0);
    tallest + across.map_or(0, |p| p.least)
}

/// Panes by column, row by row, and the one that lies across below them: the log, whose lines are long.
fn split(columns: usize, open: &[PaneId]) -> (Vec<Vec<&'static Pane>>, Option<&'static Pane>) {
    let across = |p: &&Pane| columns > 1 && p.id == PaneId::Log && open.len() > 1;
    let is_open = |p: &&Pane| open.contains(&p.id);
    let upper: Vec<&Pane> = PANES.iter().filter(is_open).filter(|p| !across(p)).collect();
    let columns = columns.min(upper.len()).max(1);
    let mut all = vec![Vec::new(); columns];
    for (n, pane) in upper.into_iter().enumerate() {
        all[n % columns].push(pane);
    }
    (all, PANES.iter().filter(is_open).find(across))
}

fn place(area: Rect, columns: usize, open: &[PaneId]) -> Vec<(PaneId, Rect, Detail)> {
    let (columns, across) = split(columns, open);
    let closed = (PANES.len() - open.len()) as u16;
    let height = area.height.saturating_sub(closed);
    let tallest = columns.iter().map(|c| c.iter().map(|p| p.least).sum::<u16>()).max().unwrap_or(0);
    let below = across.map_or(0, |p| {
        let spare = height.saturating_sub(tallest + p.least);
        p.least + spare / 8
    });
    let upper = height.saturating_sub(below);
    let room = Rect { height: upper, ..area };
    let mut places = Vec::with_capacity(PANES.len());
    let mut x = area.x;
    for (n, column) in columns.iter().enumerate() {
        let left = (columns.len() - n) as u16;
        let width = (area.right().saturating_sub(x).saturating_sub(left - 1)) / left;
        let mut y = area.y;
        for (pane, rows) in column.iter().zip(rows(upper, column)) {
            places.push((pane.id, Rect::new(x, y, width, rows).intersection(room), Detail::Full));
            y = y.saturating_add(rows);
        }
        x = x.saturating_add(width + 1);
    }
    if let Some(pane) = across {
        let rect = Rect::new(area.x, area.y + upper, area.width, below.min(height));
        places.push((pane.id, rect, Detail::Full));
    }
    places
}

/// Rows of each pane of a column: its least, and its part of what is left.
fn rows(height: u16, column: &[&Pane]) -> Vec<u16> {
    let least: u16 = column.iter().map(|p| p.least).sum();
    let weights: u16 = column.iter().map(|p| p.weight).sum::<u16>().max(1);
    let spare = height.saturating_sub(least);
    let mut rows: Vec<u16> = column.iter().map(|p| p.least + spare * p.weight / weights).collect();
    let mut left = height.saturating_sub(rows.iter().sum());
    while left > 0 && !rows.is_empty() {
        for row in rows.iter_mut().take(usize::from(left)) {
            *row += 1;
            left -= 1;
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(width: u16, height: u16, focus: PaneId) -> Vec<(PaneId, Rect, Detail)> {
        arrange(Rect::new(0, 3, width, height), &Screen { focus, ..Screen::default() })
    }

    fn summaries(places: &[(PaneId, Rect, Detail)]) -> Vec<PaneId> {
        places.iter().filter(|p| p.2 == Detail::Summary).map(|p| p.0).collect()
    }

    #[test]
    fn all_seven_are_open_at_home() {
        assert_eq!(summaries(&at(120, 31, PaneId::Traffic)), []);
        assert_eq!(summaries(&at(200, 45, PaneId::Log)), []);
    }

    #[test]
    fn the_least_important_are_summaries_on_a_small_screen_and_focus_opens_them() {
        use PaneId::{Advisor, Cluster, Latency, Log, Queues};
        assert_eq!(summaries(&at(80, 19, PaneId::Traffic)), [Cluster, Advisor, Log]);
        assert_eq!(summaries(&at(80, 19, Cluster)), [Latency, Advisor, Log]);
        assert!(!summaries(&at(80, 19, Log)).contains(&Log));
        assert!(!summaries(&at(60, 11, Queues)).contains(&Queues));
    }

    proptest! {
        #[test]
        fn panes_never_overlap_and_stay_inside(width in 1u16..320, height in 1u16..110, focus in 0usize..7, zoomed: bool) {
            let area = Rect::new(2, 3, width, height);
            let screen = Screen { focus: PaneId::ALL[focus], zoomed, ..Screen::default() };
            let places = arrange(area, &screen);
            for (n, (id, rect, _)) in places.iter().enumerate() {
                prop_assert_eq!(rect.intersection(area), *rect, "{:?}", id);
                for (other, second, _) in &places[n + 1..] {
                    prop_assert!(!rect.intersects(*second) || rect.is_empty(), "{:?} over {:?}", id, other);
                }
            }
            if !zoomed && width >= 60 && height >= 11 {
                prop_assert_eq!(places.len(), 7);
                prop_assert!(places.iter().all(|p| !p.1.is_empty()));
            }
        }
    }
}
