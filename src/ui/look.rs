//! How things look: what a span means ([`Tone`]), and the table that gives each meaning its style.
//!
//! One rule: colour is never the only carrier. Whatever has a tone also has a glyph or a word, so that the
//! mono theme (bold, reverse and underline only) loses nothing.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// Values.
    Plain,
    /// Labels, units, what can be skipped.
    Dim,
    /// Values that matter most.
    Strong,
    /// A reading that is late or stale; its age stands beside it.
    Stale,
    /// As it should be.
    Good,
    /// Look at this.
    Warn,
    /// Act on this.
    Bad,
    /// The v2 side.
    V2,
    /// The v3 side.
    V3,
    /// A key to press.
    Key,
    /// A key that opens a dialog that can write.
    Danger,
    /// Lines between panes.
    Rule,
    /// The line over the focused pane.
    FocusRule,
    /// A pane's title.
    Title,
    /// The focused pane's title.
    FocusTitle,
    /// A state that must be seen from across the room (PROD, FROZEN, UNKNOWN).
    Alarm,
    /// A state to be aware of (ARMED, held).
    Notice,
    /// What is being typed.
    Field,
    /// A button.
    Button,
    /// The button or row that Enter presses.
    Chosen,
}

/// Which style each tone gets. Backgrounds are never painted: both dark and light terminals stay readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Theme {
    /// The terminal's own sixteen colours.
    #[default]
    Ansi,
    /// Without red against green (blue, yellow, magenta), for colour-blind eyes.
    Cvd,
    /// No colour: bold, reverse and underline.
    Mono,
}

impl Theme {
    /// The style of a tone.
    pub fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        if self == Self::Mono {
            return mono(tone);
        }
        let (good, bad) = match self {
            Self::Cvd => (Color::Blue, Color::Magenta),
            Self::Ansi | Self::Mono => (Color::Green, Color::Red),
        };
        match tone {
            Tone::Plain | Tone::Button => plain,
            Tone::Dim | Tone::Rule => plain.add_modifier(Modifier::DIM),
            Tone::Stale => plain.add_modifier(Modifier::DIM | Modifier::ITALIC),
            Tone::Strong | Tone::Title | Tone::Key => bold,
            Tone::Danger => bold.add_modifier(Modifier::UNDERLINED),
            Tone::Good => plain.fg(good),
            Tone::Warn => plain.fg(Color::Yellow),
            Tone::Bad => bold.fg(bad),
            Tone::V2 => plain.fg(Color::Cyan),
            Tone::V3 => plain.fg(Color::Magenta),
            Tone::FocusRule => plain.fg(Color::Cyan),
            Tone::FocusTitle => bold.fg(Color::Cyan).add_modifier(Modifier::REVERSED),
            Tone::Alarm => bold.fg(bad).add_modifier(Modifier::REVERSED),
            Tone::Notice => bold.fg(Color::Yellow).add_modifier(Modifier::REVERSED),
            Tone::Field => bold.add_modifier(Modifier::UNDERLINED),
            Tone::Chosen => bold.add_modifier(Modifier::REVERSED),
        }
    }
}

fn mono(tone: Tone) -> Style {
    let plain = Style::new();
    let with = |modifier| plain.add_modifier(modifier);
    match tone {
        Tone::Plain
        | Tone::Dim
        | Tone::Stale
        | Tone::Good
        | Tone::V2
        | Tone::V3
        | Tone::Rule
        | Tone::Button => plain,
        Tone::Strong | Tone::Title | Tone::Key | Tone::Warn | Tone::FocusRule => with(Modifier::BOLD),
        Tone::Bad | Tone::Danger | Tone::Field => with(Modifier::BOLD | Modifier::UNDERLINED),
        Tone::Alarm | Tone::Notice | Tone::Chosen | Tone::FocusTitle => {
            with(Modifier::BOLD | Modifier::REVERSED)
        }
    }
}

/// Which characters the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Symbols {
    /// All of them.
    #[default]
    Utf8,
    /// The ninety-five printable ones of ASCII.
    Ascii,
}

/// Theme and symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Look {
    /// Styles.
    pub theme: Theme,
    /// Characters.
    pub symbols: Symbols,
}

/// Terminals without colour, by `TERM`.
const COLOURLESS: [&str; 4] = ["dumb", "vt100", "vt102", "vt220"];

impl Look {
    /// The look for an environment: `NO_COLOR` (any text but the empty one, see no-color.org), `TERM`, and
    /// whether the locale is UTF-8. The Linux console gets ASCII: its fonts hold few of our glyphs.
    pub fn from_env(no_color: Option<&str>, term: Option<&str>, utf8: bool) -> Self {
        let term = term.unwrap_or_default();
        let colourless = COLOURLESS.contains(&term) || term.ends_with("-m") || term.ends_with("-mono");
        let mono = colourless || no_color.is_some_and(|v| !v.is_empty());
        let ascii = !utf8 || term == "linux" || term == "dumb";
        Self {
            theme: if mono { Theme::Mono } else { Theme::Ansi },
            symbols: if ascii { Symbols::Ascii } else { Symbols::Utf8 },
        }
    }
}

/// Replaces every cell that ASCII cannot show by the likest character that it can, one column for one.
pub(crate) fn fold(buf: &mut Buffer) {
    for cell in &mut buf.content {
        if !cell.symbol().is_ascii() {
            let folded = cell.symbol().chars().next().map_or('?', ascii);
            cell.set_char(folded);
        }
    }
}

/// The ASCII character that stands for one of ours; `?` for a foreign one.
pub(crate) const fn ascii(c: char) -> char {
    match c {
        ' '..='~' => c,
        '✓' => '+',
        '✗' => 'x',
        '…' | '░' | '·' | '▁' => '.',
        '–' | '─' | '—' => '-',
        '━' | '▔' => '=',
        '│' | '┃' | '▏' => '|',
        '┬' | '┴' | '├' | '┤' | '┼' | '╭' | '╮' | '╰' | '╯' => '+',
        '→' | '›' | '▶' => '>',
        '‹' | '←' => '<',
        '×' => 'x',
        '█' | '▇' | '▆' => '#',
        '▅' | '▄' => '=',
        '▃' => '-',
        '▂' => '_',
        '▼' => 'v',
        '▲' => '^',
        '●' => '*',
        '○' => 'o',
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments() {
        let look = |no_color, term, utf8| Look::from_env(no_color, Some(term), utf8);
        assert_eq!(look(None, "xterm-256color", true), Look::default());
        assert_eq!(look(Some("1"), "xterm", true).theme, Theme::Mono);
        assert_eq!(look(Some(""), "xterm", true).theme, Theme::Ansi);
        assert_eq!(look(None, "linux", true).symbols, Symbols::Ascii);
        assert_eq!(look(None, "tmux", false).symbols, Symbols::Ascii);
        assert_eq!(look(None, "dumb", true), Look { theme: Theme::Mono, symbols: Symbols::Ascii });
        assert_eq!(Look::from_env(None, None, true).theme, Theme::Ansi);
    }

    #[test]
    fn mono_has_no_colour_and_nothing_but_bold_reverse_and_underline() {
        let allowed = Modifier::BOLD | Modifier::REVERSED | Modifier::UNDERLINED;
        for tone in [Tone::Plain, Tone::Dim, Tone::Stale, Tone::Good, Tone::Bad, Tone::Alarm, Tone::Field] {
            let style = Theme::Mono.style(tone);
            assert_eq!((style.fg, style.bg), (None, None), "{tone:?}");
            assert!(allowed.contains(style.add_modifier), "{tone:?}");
        }
    }
}
