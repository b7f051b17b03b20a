//! The one command table: dispatch, help, palette, footer and the README's keys come from these rows.
//!
//! One rule: a disabled command stays visible and says why.

use crate::domain::Now;

use super::effect::Effect;
use super::key::{Code, Key};
use super::model::Model;
use super::update::{intent, look, remedy};

/// What a command can do to the migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Danger {
    /// Nothing: it looks.
    None,
    /// It opens a dialog that can write.
    Writes,
    /// It opens the dialog that takes traffic back.
    TakesBack,
}

/// Where a command is grouped in help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Moving traffic.
    Traffic,
    /// Counting, comparing and copying rows.
    Data,
    /// Looking around.
    View,
    /// The program itself.
    Program,
}

impl Group {
    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic",
            Self::Data => "Data",
            Self::View => "View",
            Self::Program => "Program",
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Command {
    /// Stable id ("shift-next").
    pub id: &'static str,
    /// A few words for palette and footer.
    pub title: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// Its heading in help.
    pub group: Group,
    /// What it can do.
    pub danger: Danger,
    /// Whether the footer shows it.
    pub footer: bool,
    /// Whether it can be used now, or why not.
    pub enabled: fn(&Model, Now) -> Result<(), String>,
    /// What it does.
    pub run: fn(&mut Model, Now) -> Vec<Effect>,
}

impl Command {
    /// Its keys as text: "n" or "q, Ctrl-C".
    pub fn keys_text(&self) -> String {
        self.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }
}

/// The command with a key.
pub fn by_key(key: Key) -> Option<&'static Command> {
    COMMANDS.iter().find(|c| c.keys.contains(&key))
}

/// Commands whose id, title or sentence holds all words of `query`, in table order.
pub fn search(query: &str) -> Vec<&'static Command> {
    let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
    let found = |c: &&Command| {
        let text = format!("{} {} {}", c.id, c.title, c.doc).to_lowercase();
        words.iter().all(|w| text.contains(w))
    };
    COMMANDS.iter().filter(found).collect()
}

const fn c(c: char) -> Key {
    Key::plain(Code::Char(c))
}

const fn k(code: Code) -> Key {
    Key::plain(code)
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of every row's condition")]
fn always(_: &Model, _: Now) -> Result<(), String> {
    Ok(())
}

/// Shorthand for rows, so that the table reads as a table.
macro_rules! commands {
    ($($id:literal [$($key:expr),*] $title:literal, $doc:literal, $group:ident, $danger:ident, $footer:literal, $enabled:expr, $run:expr;)*) => {
        /// The rows, in the order of help.
        pub static COMMANDS: &[Command] = &[$(Command {
            id: $id, title: $title, doc: $doc, keys: &[$($key),*], group: Group::$group,
            danger: Danger::$danger, footer: $footer, enabled: $enabled, run: $run,
        }),*];
    };
}

commands! {
    "shift-next" [c('n')] "next step", "Plan the next step of the ladder, more traffic to v3.",
        Traffic, Writes, true, intent::can_step_up, intent::step_up;
    "shift-previous" [c('p')] "previous step", "Plan the step before, less traffic to v3.",
        Traffic, Writes, false, intent::can_step_down, intent::step_down;
    "shift-to" [c('s')] "set split", "Type a split and plan the move to it.",
        Traffic, Writes, true, intent::can_shift, intent::open_set_split;
    "rollback" [c('R')] "roll back", "Take the traffic back to the last safe split; Enter confirms, nothing is typed.",
        Traffic, TakesBack, true, intent::can_roll_back, intent::roll_back;
    "rollback-all" [c('V')] "all to v2", "Take all traffic back to v2; Enter confirms, nothing is typed.",
        Traffic, TakesBack, false, intent::can_roll_back, intent::roll_back_all;
    "confirm" [c('c')] "confirm", "Let the last move stay; without it a move with a deadline is taken back.",
        Traffic, None, true, intent::can_confirm, intent::confirm;
    "hold" [c('H')] "hold", "Freeze the split where it is, or take the hold off; Enter confirms.",
        Traffic, Writes, true, intent::can_hold, intent::open_hold;
    "dismiss" [c('x')] "dismiss", "Put the outcome of the last move away.",
        Traffic, None, false, intent::can_dismiss, intent::dismiss;
    "take-lease" [c('T')] "take over", "Take the right to write from who holds it, by typing the name.",
        Traffic, Writes, false, intent::can_take_lease, intent::open_take_lease;
    "act" [c('a')] "act", "Do something about a finding with a verb of this program: what it would do is shown first.",
        Data, Writes, false, always, remedy::open;
    "refresh" [c('r')] "refresh", "Poll every source now.",
        View, None, true, always, look::refresh;
    "zoom" [c('z'), k(Code::Enter)] "zoom", "Give the focused pane the whole screen, or put it back.",
        View, None, true, always, look::zoom;
    "focus-next" [k(Code::Tab), k(Code::Right)] "next pane", "Focus the next pane.",
        View, None, false, always, look::focus_next;
    "focus-previous" [k(Code::BackTab), k(Code::Left)] "previous pane", "Focus the pane before.",
        View, None, false, always, look::focus_previous;
    "focus-traffic" [c('1')] "Traffic", "Focus the Traffic pane.",
        View, None, false, always, |m, _| look::focus(m, 0);
    "focus-backfill" [c('2')] "Backfill", "Focus the Backfill pane.",
        View, None, false, always, |m, _| look::focus(m, 1);
    "focus-queues" [c('3')] "Queues", "Focus the Queues pane.",
        View, None, false, always, |m, _| look::focus(m, 2);
    "focus-latency" [c('4')] "Latency", "Focus the Latency pane.",
        View, None, false, always, |m, _| look::focus(m, 3);
    "focus-cluster" [c('5')] "Cluster", "Focus the Cluster pane.",
        View, None, false, always, |m, _| look::focus(m, 4);
    "focus-advisor" [c('6')] "Advisor", "Focus the Advisor pane.",
        View, None, false, always, |m, _| look::focus(m, 5);
    "focus-log" [c('7')] "Log", "Focus the Log pane.",
        View, None, false, always, |m, _| look::focus(m, 6);
    "scroll-down" [k(Code::Down), c('j')] "down", "Scroll the focused pane down.",
        View, None, false, always, |m, _| look::scroll(m, 1);
    "scroll-up" [k(Code::Up), c('k')] "up", "Scroll the focused pane up.",
        View, None, false, always, |m, _| look::scroll(m, -1);
    "page-down" [k(Code::PageDown)] "page down", "Scroll the focused pane by ten lines.",
        View, None, false, always, |m, _| look::scroll(m, 10);
    "page-up" [k(Code::PageUp)] "page up", "Scroll the focused pane back by ten lines.",
        View, None, false, always, |m, _| look::scroll(m, -10);
    "freeze" [c(' ')] "freeze", "Freeze the view, or let it go on; data goes on arriving and actions look at it.",
        View, None, true, always, look::freeze;
    "log-filter" [c('/')] "filter log", "Show only log lines with this text.",
        View, None, false, always, look::open_log_filter;
    "log-level" [c('L')] "log level", "Show more or fewer levels of the log.",
        View, None, false, always, look::turn_log_level;
    "help" [c('?')] "help", "Every command with its keys, and why it is disabled.",
        Program, None, true, always, look::open_help;
    "palette" [c(':'), Key::ctrl('p')] "commands", "Find a command by its name.",
        Program, None, true, always, look::open_palette;
    "repaint" [Key::ctrl('l')] "repaint", "Draw the whole screen again.",
        Program, None, false, always, |_, _| vec![Effect::Repaint];
    "suspend" [Key::ctrl('z')] "suspend", "Hand the terminal back to the shell; `fg` returns.",
        Program, None, false, always, |_, _| vec![Effect::Suspend];
    "quit" [c('q'), Key::ctrl('c')] "quit", "End the program; asks first while a write is in flight or a move waits for its confirmation.",
        Program, None, true, always, look::quit;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_and_keys_are_unique_and_documented() {
        let mut ids = HashSet::new();
        let mut keys = HashSet::new();
        for command in COMMANDS {
            assert!(ids.insert(command.id), "{} twice", command.id);
            assert!(command.doc.ends_with('.') && !command.title.is_empty(), "{}", command.id);
            for key in command.keys {
                assert!(keys.insert(*key), "{key} twice");
            }
        }
    }

    #[test]
    fn no_key_is_one_that_terminals_take_for_themselves() {
        for key in COMMANDS.iter().flat_map(|c| c.keys).filter(|k| k.ctrl) {
            let Code::Char(c) = key.code else { panic!("{key}") };
            assert!(!"sqijmh[".contains(c), "{key}: flow control, Tab, Enter, Backspace or Esc");
        }
    }

    #[test]
    fn search_finds_by_every_text() {
        assert_eq!(search("roll back")[0].id, "rollback");
        assert!(search("pane focus").len() >= 7);
        assert!(search("zzz").is_empty());
    }
}
