//! Tables whose columns give way in the order of their worth, and whose headings are never cut.

use super::line::{Line, Span, dim, plain, span};
use super::look::Tone;
use super::text::fit;

/// Columns that give way this early do so before a name is cut.
const NAMES_FIRST: u8 = 3;
/// Beyond this a name is cut rather than that a column goes.
const LONGEST_NAME: usize = 32;
/// Columns that give way this early are ornaments: they do not come again below.
pub(crate) const NEVER_BELOW: u8 = 9;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    head: &'static str,
    right: bool,
    /// 0 stays always; the highest goes first.
    gives_way: u8,
    /// Least columns, so that a growing number does not move its neighbours.
    least: usize,
    /// Whether it may be cut down to `least`.
    shrinks: bool,
}

/// A column of words.
pub(crate) const fn left(head: &'static str, least: usize, gives_way: u8) -> Column {
    Column { head, right: false, gives_way, least, shrinks: false }
}

/// A column of numbers.
pub(crate) const fn right(head: &'static str, least: usize, gives_way: u8) -> Column {
    Column { head, right: true, gives_way, least, shrinks: false }
}

/// A column of names, cut down to `least` before another column gives way.
pub(crate) const fn name(head: &'static str, least: usize) -> Column {
    Column { head, right: false, gives_way: 0, least, shrinks: true }
}

/// Rows under columns.
#[derive(Debug)]
pub(crate) struct Table<'a> {
    columns: &'static [Column],
    rows: Vec<Vec<Span<'a>>>,
    /// Whether columns without room come again below, beside the first column, rather than not at all.
    folds: bool,
}

/// A cell without a value.
pub(crate) fn unknown<'a>() -> Span<'a> {
    dim("-")
}

/// A cell with nothing to say.
pub(crate) fn nothing<'a>() -> Span<'a> {
    plain("")
}

impl<'a> Table<'a> {
    /// An empty table.
    pub(crate) const fn new(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new(), folds: false }
    }

    /// The same, with columns without room in a second table below.
    #[must_use]
    pub(crate) const fn folding(mut self) -> Self {
        self.folds = true;
        self
    }

    /// Adds a row: one cell per column.
    pub(crate) fn row(&mut self, cells: Vec<Span<'a>>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "{:?}", self.columns.first().map(|c| c.head));
        self.rows.push(cells);
    }

    /// The lines for `width` columns, headings first. A column with nothing to say in any row is left out.
    pub(crate) fn lines(&self, width: usize) -> Vec<Line<'a>> {
        let says = |c: &usize| self.rows.iter().any(|r| !r[*c].text.is_empty());
        let all: Vec<usize> = (0..self.columns.len()).filter(says).collect();
        let (shown, mut left_out) = self.choose(&all, width);
        let mut lines = self.draw(&shown, width);
        while self.folds && !left_out.is_empty() {
            let mut again = vec![0];
            again.append(&mut left_out);
            let (shown, rest) = self.choose(&again, width);
            if shown.len() < 2 {
                break;
            }
            lines.extend(self.draw(&shown, width));
            left_out = rest;
        }
        lines
    }

    /// The columns among `from` that fit, and those that do not.
    fn choose(&self, from: &[usize], width: usize) -> (Vec<usize>, Vec<usize>) {
        let mut shown = from.to_vec();
        let mut left_out = Vec::new();
        while self.needs(&shown) > width {
            let goes = shown.iter().map(|c| self.columns[*c].gives_way).max().unwrap_or(0);
            if goes == 0 {
                break;
            }
            // Columns of one rank belong together and go together.
            let (stay, go): (Vec<usize>, Vec<usize>) =
                shown.iter().partition(|c| self.columns[**c].gives_way < goes);
            shown = stay;
            if goes < NEVER_BELOW {
                left_out.extend(go);
            }
        }
        left_out.sort_unstable();
        (shown, left_out)
    }

    fn natural(&self, column: usize) -> usize {
        let Column { head, least, shrinks, .. } = self.columns[column];
        let cells = self.rows.iter().map(|r| r[column].width()).max().unwrap_or(0);
        cells.max(head.len()).max(if shrinks { 0 } else { least })
    }

    /// Columns that these need: names in full while there are columns worth less than a whole name.
    fn needs(&self, shown: &[usize]) -> usize {
        let whole_names = shown.iter().any(|c| self.columns[*c].gives_way >= NAMES_FIRST);
        let of = |c: &usize| {
            let Column { head, least, shrinks, .. } = self.columns[*c];
            let natural = self.natural(*c);
            if shrinks && !whole_names {
                natural.min(least.max(head.len()))
            } else {
                natural.min(LONGEST_NAME)
            }
        };
        shown.iter().map(of).sum::<usize>() + shown.len().saturating_sub(1)
    }

    fn draw(&self, shown: &[usize], width: usize) -> Vec<Line<'a>> {
        let mut widths: Vec<usize> = shown.iter().map(|c| self.natural(*c)).collect();
        let gaps = shown.len().saturating_sub(1);
        let used: usize = widths.iter().sum::<usize>() + gaps;
        let mut excess = used.saturating_sub(width);
        for at in (0..shown.len()).rev().filter(|at| self.columns[shown[*at]].shrinks) {
            let Column { head, least, .. } = self.columns[shown[at]];
            // The first one gives what it must, so that the rest stays in its columns.
            let floor = if at == 0 { 1 } else { least.max(head.len()) };
            let cut = excess.min(widths[at].saturating_sub(floor));
            widths[at] -= cut;
            excess -= cut;
        }
        let spare = width.saturating_sub(widths.iter().sum::<usize>() + gaps);
        let gap = if gaps > 0 && spare >= gaps { if spare >= gaps * 3 { 3 } else { 2 } } else { 1 };
        let heads: Vec<Span<'a>> = shown.iter().map(|c| dim(self.columns[*c].head)).collect();
        let mut lines = Vec::with_capacity(self.rows.len() + 1);
        lines.push(self.line(shown, &widths, gap, &heads.iter().collect::<Vec<_>>()));
        for row in &self.rows {
            let cells: Vec<&Span<'a>> = shown.iter().map(|c| &row[*c]).collect();
            lines.push(self.line(shown, &widths, gap, &cells));
        }
        lines
    }

    fn line(&self, shown: &[usize], widths: &[usize], gap: usize, cells: &[&Span<'a>]) -> Line<'a> {
        let mut line = Line(Vec::with_capacity(cells.len() * 2));
        let mut owed = 0;
        for (n, cell) in cells.iter().enumerate() {
            let wide = cell.width();
            let pad = widths[n].saturating_sub(wide);
            let before = owed + if self.columns[shown[n]].right { pad } else { 0 };
            if before > 0 {
                line.0.push(span(Tone::Plain, " ".repeat(before)));
            }
            if wide > widths[n] {
                line.0.push(span(cell.tone, fit(&cell.text, widths[n]).into_owned()));
            } else {
                line.0.push((*cell).clone());
            }
            owed = gap + if self.columns[shown[n]].right { 0 } else { pad };
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static COLUMNS: [Column; 4] =
        [name("name", 4), right("rows", 4, 0), right("rate", 4, 2), right("seen", 5, 1)];

    fn texts(folds: bool, width: usize) -> Vec<String> {
        let mut table = Table::new(&COLUMNS);
        table.folds = folds;
        table.row(vec![plain("observations"), plain("17"), plain("3.5"), unknown()]);
        table.row(vec![plain("日本語"), plain("12345"), plain("0"), plain("4s")]);
        table.lines(width).iter().map(Line::text).collect()
    }

    #[test]
    fn wide_enough() {
        let expected = [
            "name          rows rate  seen",
            "observations    17  3.5     -",
            "日本語       12345    0    4s",
        ];
        assert_eq!(texts(false, 29), expected);
    }

    #[test]
    fn names_shrink_first_then_columns_give_way_and_come_again_below() {
        assert_eq!(texts(false, 21)[1], "obs…    17  3.5     -");
        assert_eq!(
            texts(false, 20),
            ["name      rows  seen", "observa…    17     -", "日本語   12345    4s"]
        );
        assert_eq!(
            texts(true, 20)[3..],
            ["name           rate", "observations    3.5", "日本語            0"]
        );
    }

    #[test]
    fn a_column_with_nothing_to_say_is_left_out() {
        let mut table = Table::new(&COLUMNS);
        table.row(vec![plain("a"), plain("1"), nothing(), nothing()]);
        assert_eq!(table.lines(40)[0].text(), "name   rows");
    }
}
