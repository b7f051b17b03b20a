//! A row of parts that give way when there is no room: the least important one first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::line::{Line, put};
use super::look::Theme;

/// A part and its rank: 0 stays always, the highest goes first.
pub(crate) type Part<'a> = (u8, Line<'a>);

/// Columns between parts.
const GAP: usize = 2;

/// Draws parts from the left and from the right.
pub(crate) fn spread(buf: &mut Buffer, area: Rect, left: Vec<Part<'_>>, right: Vec<Part<'_>>, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let columns = usize::from(area.width);
    let (left, right) = choose(left, right, columns);
    let right_width = total(&right);
    let mut x = area.x;
    let end = area.right().saturating_sub(right_width as u16);
    for (n, (_, part)) in left.iter().enumerate() {
        x += if n > 0 { GAP as u16 } else { 0 };
        x += put(buf, (x, area.y), end.saturating_sub(x), part, theme);
    }
    let mut x = end.max(area.x);
    for (_, part) in &right {
        x += put(buf, (x, area.y), area.right().saturating_sub(x), part, theme) + GAP as u16;
    }
}

fn total(parts: &[Part<'_>]) -> usize {
    parts.iter().map(|(_, line)| line.width()).sum::<usize>() + parts.len().saturating_sub(1) * GAP
}

fn choose<'a>(
    mut left: Vec<Part<'a>>,
    mut right: Vec<Part<'a>>,
    columns: usize,
) -> (Vec<Part<'a>>, Vec<Part<'a>>) {
    left.retain(|p| p.1.width() > 0);
    right.retain(|p| p.1.width() > 0);
    loop {
        let between = if left.is_empty() || right.is_empty() { 0 } else { GAP };
        if total(&left) + total(&right) + between <= columns {
            return (left, right);
        }
        let worst = left.iter().chain(&right).map(|p| p.0).max().unwrap_or(0);
        if worst == 0 {
            return (left, right);
        }
        // Of equals, the last one goes.
        if let Some(at) = right.iter().rposition(|p| p.0 == worst) {
            right.remove(at);
        } else if let Some(at) = left.iter().rposition(|p| p.0 == worst) {
            left.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::look::Tone;

    #[test]
    fn the_least_important_gives_way() {
        let part = |rank, text: &'static str| (rank, Line::of(Tone::Plain, text));
        let left = || vec![part(0, "name"), part(3, "context")];
        let right = || vec![part(1, "fresh"), part(2, "lease")];
        let texts = |columns| {
            let (l, r) = choose(left(), right(), columns);
            l.iter().chain(&r).map(|p| p.1.text()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(27), "name context fresh lease");
        assert_eq!(texts(26), "name fresh lease");
        assert_eq!(texts(12), "name fresh");
        assert_eq!(texts(3), "name");
    }
}
