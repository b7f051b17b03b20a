//! The one table: what, budget, measured, verdict.
//!
//! One rule: what could not be measured is `-` and says why; it is never counted as kept.

use std::io::Write as _;

/// How a measured value is held against its budget.
#[derive(Clone, Copy)]
pub enum Budget {
    /// At most so much.
    Most(f64),
    /// At least so much.
    Least(f64),
    /// For information.
    None,
}

/// One row.
pub struct Row {
    what: String,
    budget: Budget,
    unit: &'static str,
    measured: Option<f64>,
    note: String,
}

impl Row {
    /// A value with its budget, both in `unit`.
    pub fn new(what: impl Into<String>, budget: Budget, measured: f64, unit: &'static str) -> Self {
        Self { what: what.into(), budget, unit, measured: Some(measured), note: String::new() }
    }

    /// What could not be measured, and why.
    pub fn missing(
        what: impl Into<String>,
        budget: Budget,
        unit: &'static str,
        why: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), budget, unit, measured: None, note: why.into() }
    }

    /// How it was measured.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn verdict(&self) -> &'static str {
        match (self.measured, self.budget) {
            (None, _) => "not measured",
            (_, Budget::None) => "",
            (Some(n), Budget::Most(most)) if n <= most => "ok",
            (Some(n), Budget::Least(least)) if n >= least => "ok",
            _ => "EXCEEDED",
        }
    }
}

/// A number with as many digits as say something.
fn number(n: f64) -> String {
    match n.abs() {
        a if a >= 1000.0 => {
            let digits = format!("{n:.0}");
            let mut out = String::new();
            for (i, c) in digits.chars().enumerate() {
                if i > 0 && (digits.len() - i) % 3 == 0 && c.is_ascii_digit() && !out.ends_with('-') {
                    out.push(' ');
                }
                out.push(c);
            }
            out
        }
        a if a >= 100.0 || n.fract() == 0.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// The rows as they come in, printed at the end in one piece.
#[derive(Default)]
pub struct Table {
    parts: Vec<(String, Vec<Row>)>,
}

impl Table {
    /// A part of the table; its rows are said on standard error at once, for whoever waits.
    pub fn part(&mut self, title: &str, rows: Vec<Row>) {
        for row in &rows {
            eprintln!("  {}", Self::line(row));
        }
        self.parts.push((title.to_owned(), rows));
    }

    fn line(row: &Row) -> String {
        let with_unit = |n: f64| format!("{} {}", number(n), row.unit);
        let budget = match row.budget {
            Budget::Most(n) => format!("<= {}", with_unit(n)),
            Budget::Least(n) => format!(">= {}", with_unit(n)),
            Budget::None => "-".into(),
        };
        let measured = row.measured.map_or_else(|| "-".into(), with_unit);
        format!("{:<46}{budget:>18}{measured:>20}  {:<14}{}", row.what, row.verdict(), row.note)
            .trim_end()
            .to_owned()
    }

    /// Prints it; gives how many budgets were exceeded.
    pub fn print(&self) -> usize {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "\n{:<46}{:>18}{:>20}  {:<14}how", "what", "budget", "measured", "verdict");
        for (title, rows) in &self.parts {
            let _ = writeln!(out, "\n{title}");
            for row in rows {
                let _ = writeln!(out, "{}", Self::line(row));
            }
        }
        let rows = || self.parts.iter().flat_map(|(_, rows)| rows);
        let exceeded = rows().filter(|row| row.verdict() == "EXCEEDED").count();
        let unmeasured = rows().filter(|row| row.measured.is_none()).count();
        let _ = writeln!(out, "\n{exceeded} exceeded, {unmeasured} not measured, {} rows", rows().count());
        exceeded
    }
}
