//! Everything that can happen to the cockpit, with the moment it happened.

use crate::domain::traffic::Route;
use crate::domain::{Fact, Now, SourceId, Split, Trouble};
use crate::shift::machine::ApplyError;
use crate::shift::{OpId, Plan};

use super::key::Key;
use super::remedy::{Remedy, Told};

/// A message and the one reading of the clocks that belongs to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// When it was taken from the channel.
    pub now: Now,
    /// What happened.
    pub msg: Msg,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Msg {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted: goes to text fields only, never to commands.
    Paste(String),
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// The first frame with the dialog on it has left for the terminal.
    DialogShown,
    /// A source delivered, or says why it could not.
    Fact(SourceId, Box<Result<Fact, Trouble>>),
    /// An actuator answers.
    Answer(Answer),
    /// A line for the log pane.
    Log(LogLine),
    /// A task ended by a panic; it is started again.
    TaskDied {
        /// Its name.
        task: String,
        /// The panic's text, cleaned.
        cause: String,
    },
    /// A timer asked for with [`super::Effect::WakeAt`] is due, or the clock on screen rolls over.
    Tick,
    /// The program was asked to end (SIGTERM, SIGHUP).
    Terminate,
    /// Back from Ctrl-Z.
    Resumed,
}

/// What an actuator answers. Every answer carries the operation it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The server's word on a dry run.
    DryRun(OpId, Result<(), Trouble>),
    /// The outcome of a write.
    Applied(OpId, Result<(), ApplyError>),
    /// The routes, read after the write was answered.
    Observed(OpId, Result<Vec<Route>, Trouble>),
    /// Who may write: held by us, or by somebody else.
    Lease(Lease),
    /// The hold was set (with who and when) or taken off.
    Hold(Result<Option<Hold>, Trouble>),
    /// What the journal knew at the start.
    Journal(JournalState),
    /// What the journal says by now of a move with a deadline, and its first free operation number: other
    /// processes write there, too.
    Deadline(Option<Pending>, u64),
    /// A move was confirmed, and stays.
    Confirmed(OpId, Result<(), Trouble>),
    /// What a verb that was started from here says.
    Remedy(Remedy, Told),
    /// Something else that was asked for ended, in one sentence.
    Said(Result<String, Trouble>),
}

/// Who holds the right to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Lease {
    /// Not asked yet, or read-only: nobody asks.
    #[default]
    None,
    /// We hold it.
    Ours,
    /// Somebody else does, cleaned ("ops@bastion-2 pid 4711"), since when.
    Other(String, Option<jiff::Timestamp>),
    /// It could not be asked for.
    Failed(Trouble),
}

/// Traffic stays where it is until this is taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Who.
    pub by: String,
    /// Since when.
    pub since: jiff::Timestamp,
}

/// A move that a watchdog process takes back unless it is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// The move.
    pub op: OpId,
    /// Where the traffic goes back to.
    pub back_to: Split,
    /// When.
    pub at: jiff::Timestamp,
}

/// What the journal says at the start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct JournalState {
    /// Where it is.
    pub path: String,
    /// A write without an outcome.
    pub unfinished: Option<Box<Plan>>,
    /// The split before the newest completed forward shift: where a rollback goes.
    pub last_safe: Option<Split>,
    /// The newest completed move, in words, and when.
    pub last_shift: Option<(String, jiff::Timestamp)>,
    /// A move that is taken back unless it is confirmed.
    pub pending: Option<Pending>,
    /// The first free operation number.
    pub next_op: u64,
    /// The chain of hashes is whole.
    pub intact: bool,
}

/// How bad a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Failures that need a person.
    Error,
    /// Failures that may pass.
    Warn,
    /// What the program did.
    Info,
    /// Details.
    Debug,
}

/// One line of the log pane, cleaned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When (UTC).
    pub at: jiff::Timestamp,
    /// How bad.
    pub level: Level,
    /// Which part said it.
    pub target: String,
    /// The text.
    pub text: String,
}
