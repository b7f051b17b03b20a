//! What the operator has done to the screen: focus, zoom, overlays. No fact of the migration lives here.

use crate::domain::{Mono, Now, Trouble};

use super::facts::Facts;
use super::history::History;
use super::msg::Level;
use super::remedy::{Ended, Remedy};

/// The panes, in the order of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PaneId {
    /// Weights per path group.
    Traffic,
    /// Migrations and rows.
    Backfill,
    /// BullMQ.
    Queues,
    /// v2 and v3 side by side.
    Latency,
    /// Workloads and stores.
    Cluster,
    /// Ranked findings.
    Advisor,
    /// What the program did and met.
    Log,
}

impl PaneId {
    /// All panes.
    pub const ALL: [Self; 7] =
        [Self::Traffic, Self::Backfill, Self::Queues, Self::Latency, Self::Cluster, Self::Advisor, Self::Log];

    /// The title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Traffic => "Traffic",
            Self::Backfill => "Backfill",
            Self::Queues => "Queues",
            Self::Latency => "Latency",
            Self::Cluster => "Cluster",
            Self::Advisor => "Advisor",
            Self::Log => "Log",
        }
    }

    /// The pane `by` places further round the ring.
    #[must_use]
    pub fn turn(self, by: i8) -> Self {
        let len = Self::ALL.len() as i8;
        Self::ALL[(self as i8 + by).rem_euclid(len) as usize]
    }
}

/// What lies over the panes. The shift dialog is not here: it is the shift machine's own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Overlay {
    /// Every command with its keys, and why it is disabled.
    Help {
        /// Only commands with this text.
        filter: String,
        /// First line shown.
        scroll: u16,
    },
    /// Commands by name.
    Palette {
        /// What was typed.
        query: String,
        /// The selected row.
        selected: usize,
    },
    /// A number for the next split.
    SetSplit {
        /// What was typed.
        typed: String,
    },
    /// Text that log lines must contain.
    LogFilter {
        /// What was typed.
        typed: String,
    },
    /// Hold, or take the hold off: waits for Enter.
    Hold {
        /// Whether to set it.
        on: bool,
        /// Whether the button that does it has the focus.
        go: bool,
        /// When it was first on screen.
        shown: Option<Mono>,
        /// Keys came before it was on screen long enough, and were not heard.
        early: bool,
    },
    /// What can be done about the findings.
    Remedies {
        /// The selected row.
        selected: usize,
    },
    /// One of them: its dry run, then waits for Enter.
    Remedy {
        /// Which.
        remedy: Remedy,
        /// What its dry run said; nothing until it has ended.
        plan: Option<Result<Ended, Trouble>>,
        /// First line shown of it.
        scroll: u16,
        /// Whether the button that does it has the focus.
        go: bool,
        /// When the plan was first on screen.
        shown: Option<Mono>,
        /// Keys came before it was on screen long enough, and were not heard.
        early: bool,
    },
    /// Stop the verb that runs?
    StopRemedy {
        /// Whether the button that stops it has the focus.
        go: bool,
    },
    /// Take the lease from its holder: waits for the holder's name being typed.
    TakeLease {
        /// What was typed.
        typed: String,
    },
    /// Really quit while a write is in flight, or while a move waits for its confirmation?
    Quit {
        /// Whether the button that ends the program has the focus.
        go: bool,
    },
}

/// The view as it was when it was frozen.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// Readings.
    pub facts: Facts,
    /// Histories.
    pub history: History,
    /// The moment.
    pub at: Now,
}

/// The state of the screen.
#[derive(Debug, Clone, PartialEq)]
pub struct Screen {
    /// Columns and rows.
    pub size: (u16, u16),
    /// The pane that scrolls and zooms.
    pub focus: PaneId,
    /// Only the focused pane.
    pub zoomed: bool,
    /// What lies over it.
    pub overlay: Option<Overlay>,
    /// First line shown of each pane.
    pub scroll: [u16; 7],
    /// Data goes on arriving; the screen stays.
    pub frozen: Option<Box<Frozen>>,
    /// Text that log lines must contain.
    pub log_filter: String,
    /// Least level shown in the log pane.
    pub log_level: Level,
    /// One sentence above the footer, until its time is over.
    pub notice: Option<(String, Level, Mono)>,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            size: (80, 24),
            focus: PaneId::Traffic,
            zoomed: false,
            overlay: None,
            scroll: [0; 7],
            frozen: None,
            log_filter: String::new(),
            log_level: Level::Info,
            notice: None,
        }
    }
}
