//! How a verb can end. Scripts rely on these numbers.

use std::process::ExitCode;

use crate::domain::{Kind, Trouble};

/// The ways to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// As it should be.
    Fine,
    /// It works, and there are findings or a difference.
    Findings,
    /// A mistake in the command line or the configuration.
    Usage,
    /// Something that is needed could not be reached.
    Unreachable,
    /// A guard, the server or another operator refused: nothing more was written.
    Refused,
    /// Interrupted with a write whose outcome is not known.
    Unknown,
}

/// The table of exit codes.
pub const EXITS: [(Exit, u8, &str); 6] = [
    (Exit::Fine, 0, "fine"),
    (Exit::Findings, 1, "findings, or a difference"),
    (Exit::Usage, 2, "a mistake in the command line or the configuration"),
    (Exit::Unreachable, 3, "something could not be reached"),
    (Exit::Refused, 4, "refused by a guard or by a server; nothing more was written"),
    (Exit::Unknown, 75, "interrupted, or the outcome of a write is not known"),
];

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        EXITS.iter().find(|(exit, ..)| *exit == self).map_or(70, |(_, code, _)| *code)
    }

    /// How a verb ends that could not do its work because of this.
    pub const fn of(trouble: &Trouble) -> Self {
        match trouble.kind {
            Kind::NotConfigured => Self::Usage,
            Kind::Refused | Kind::Conflict => Self::Refused,
            _ => Self::Unreachable,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_end_has_its_number() {
        let codes: Vec<u8> = EXITS.iter().map(|(exit, ..)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 75]);
    }
}
