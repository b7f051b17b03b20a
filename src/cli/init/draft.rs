//! A configuration in the making: sections of lines, each with where it came from.

use crate::cli::print::put;
use crate::domain::text::clean;

/// How sure a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sure {
    /// It stands in the cluster.
    Found,
    /// It was concluded.
    Guessed,
}

/// One line of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Key { key: &'static str, value: String, sure: Sure, from: String },
    Missing { key: &'static str, why: String },
}

/// The file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    head: Vec<String>,
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    name: &'static str,
    lines: Vec<Line>,
    /// Why it stands there as a comment only.
    off: Option<String>,
}

impl Draft {
    /// A comment at the top.
    pub(super) fn comment(&mut self, text: impl AsRef<str>) {
        self.head.push(clean(text.as_ref()));
    }

    /// Starts a section; the next keys are its own.
    pub(super) fn section(&mut self, name: &'static str) {
        self.sections.push(Section { name, lines: Vec::new(), off: None });
    }

    /// A key whose value is text.
    pub(super) fn text(&mut self, key: &'static str, value: &str, sure: Sure, from: impl Into<String>) {
        self.raw(key, quoted(value), sure, from);
    }

    /// A key whose value is TOML already. The first line of a key stays.
    pub(super) fn raw(&mut self, key: &'static str, value: String, sure: Sure, from: impl Into<String>) {
        self.push(Line::Key { key, value, sure, from: from.into() });
    }

    /// A key that was looked for and not found.
    pub(super) fn missing(&mut self, key: &'static str, why: impl Into<String>) {
        self.push(Line::Missing { key, why: why.into() });
    }

    /// Makes the section a comment: with what was found it could not be used yet.
    pub(super) fn off(&mut self, why: impl Into<String>) {
        if let Some(section) = self.sections.last_mut() {
            section.off = Some(why.into());
        }
    }

    fn push(&mut self, line: Line) {
        if let Some(section) = self.sections.last_mut()
            && !section.lines.iter().any(|l| l.key() == line.key())
        {
            section.lines.push(line);
        }
    }

    /// The file's text. A section of which nothing was found is a comment as a whole.
    pub(super) fn text_of(&self) -> String {
        let mut out = String::new();
        for line in &self.head {
            put(&mut out, format_args!("# {line}\n"));
        }
        for Section { name, lines, off } in &self.sections {
            let any = off.is_none() && lines.iter().any(|l| matches!(l, Line::Key { .. }));
            put(&mut out, format_args!("\n{}[{name}]\n", if any { "" } else { "# " }));
            if let Some(why) = off {
                put(&mut out, format_args!("# not used yet: {}\n", clean(why)));
            }
            for line in lines {
                let text = line.text();
                let hash = if off.is_some() && !text.starts_with('#') { "# " } else { "" };
                put(&mut out, format_args!("{hash}{text}"));
            }
        }
        out
    }

    /// What was found, guessed and not found, a sentence a line.
    pub(super) fn summary(&self) -> Vec<String> {
        let mut out = Vec::new();
        for Section { name, lines, off } in &self.sections {
            for line in lines {
                out.push(match line {
                    Line::Key { key, sure: Sure::Guessed, from, .. } => {
                        format!("guessed   {name}.{key}: {}", clean(from))
                    }
                    Line::Key { key, sure: Sure::Found, from, .. } => {
                        format!("found     {name}.{key}: {}", clean(from))
                    }
                    Line::Missing { key, why } => format!("not found {name}.{key}: {}", clean(why)),
                });
            }
            if let Some(why) = off {
                out.push(format!("not used  [{name}]: {}", clean(why)));
            }
        }
        out
    }
}

impl Line {
    const fn key(&self) -> &'static str {
        match self {
            Self::Key { key, .. } | Self::Missing { key, .. } => key,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Key { key, value, sure, from } => {
                let word = if *sure == Sure::Found { "found" } else { "guessed" };
                format!("{key} = {value}  # {word}: {}\n", clean(from))
            }
            Self::Missing { key, why } => format!("# {key} =  # not found: {}\n", clean(why)),
        }
    }
}

/// Text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
