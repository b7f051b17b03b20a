//! Plain output: the only code that writes to standard output and standard error without a screen.
//!
//! One rule: results go to standard output, words about them to standard error; a closed pipe is no error.

use std::io::{self, Write};

/// Writes a result and a line break.
#[expect(clippy::disallowed_methods, reason = "this file owns plain output")]
pub fn out(text: impl AsRef<str>) {
    line(&mut io::stdout().lock(), text.as_ref());
}

/// Writes bytes as they are (a man page, completions).
#[expect(clippy::disallowed_methods, reason = "this file owns plain output")]
pub fn raw(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    // Whoever closed the pipe does not want the rest.
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

/// Writes words about the result, or an error.
pub fn err(text: impl AsRef<str>) {
    line(&mut io::stderr().lock(), text.as_ref());
}

/// Writes to standard error as it is, without a line break.
pub fn err_raw(text: &str) {
    let mut stderr = io::stderr().lock();
    // Whoever closed it does not want it.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

fn line(to: &mut impl Write, text: &str) {
    // Whoever closed the pipe does not want the rest.
    let _ = writeln!(to, "{text}").and_then(|()| to.flush());
}

/// Columns padded to their widest cell, two blanks apart; the last one is not padded. Empty without rows.
pub fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    use unicode_width::UnicodeWidthStr;
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let text = |row: &[String; N]| {
        let mut out = String::new();
        for (n, (cell, width)) in row.iter().zip(widths).enumerate() {
            out.push_str(cell);
            if n + 1 < N {
                out.push_str(&" ".repeat(width - cell.width() + 2));
            }
        }
        out.trim_end().to_owned()
    };
    rows.iter().map(text).collect::<Vec<_>>().join("\n")
}

/// Appends formatted text; writing to a `String` cannot fail.
pub fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = std::fmt::Write::write_fmt(out, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_wide_characters() {
        let rows = [["日本".into(), "b".into()], ["abc".into(), "de".into()]];
        assert_eq!(columns(&rows), "日本  b\nabc   de");
    }
}
