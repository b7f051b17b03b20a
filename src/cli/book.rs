//! The journal of a verb that writes rows: a line before, a line after, with the person behind it.
//!
//! One rule: without the line before, nothing is written.

use std::collections::BTreeMap;

use super::exit::Exit;
use super::print;
use crate::actuators::journal::{Entry, Step};
use crate::actuators::{Actor, Journal, JournalError};
use crate::config::{self, Config};
use crate::runtime::clock::wall;
use crate::runtime::session;

/// The journal, for one verb.
pub struct Book {
    journal: Journal,
    actor: Actor,
    verb: &'static str,
}

impl Book {
    /// Opens the journal of the configuration's cluster and namespace.
    ///
    /// # Errors
    /// It cannot be used: nothing may be written then. Already said on standard error.
    pub fn open(config: &Config, verb: &'static str) -> Result<Self, Exit> {
        let (context, namespace) = session::place(&config::targets::kube(config));
        let path = session::journal_path(config, &context, &namespace);
        let journal = Journal::open(path).map_err(|e| said(&e))?;
        Ok(Self { journal, actor: Actor::from_env(|name| std::env::var(name).ok()), verb })
    }

    /// Writes a line; `counts` are rows by what they are.
    ///
    /// # Errors
    /// It cannot be written; already said on standard error.
    pub fn note(&self, step: Step, detail: &str, counts: &[(String, u64)]) -> Result<(), Exit> {
        let entry = Entry::Rows {
            actor: self.actor.clone(),
            verb: self.verb.to_owned(),
            step,
            detail: detail.to_owned(),
            counts: counts.iter().cloned().collect::<BTreeMap<_, _>>(),
        };
        self.journal.append(entry, wall()).map(drop).map_err(|e| said(&e))
    }
}

fn said(error: &JournalError) -> Exit {
    print::err(error.to_string());
    Exit::Usage
}
