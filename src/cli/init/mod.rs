//! `cutover init`: writes cutover.toml by looking at a namespace.
//!
//! One rule: it says of every line whether it was found or guessed, it reads no Secret, and it never overwrites.

mod draft;
mod env;
mod guess;
mod look;
mod stores;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::exit::Exit;
use super::print;
use crate::clients;
use crate::clients::target::KubeTarget;
use crate::config::{Inputs, load, targets};

/// Looks, and writes what it found.
pub async fn run(inputs: &Inputs, output: &Path) -> Exit {
    let to_file = output != Path::new("-");
    if to_file && output.exists() {
        return refuse(output, "it exists already");
    }
    let kube = match target(inputs) {
        Ok(kube) => kube,
        Err(exit) => return exit,
    };
    let drawn = match draw(&kube).await {
        Ok(drawn) => drawn,
        Err(trouble) => {
            print::err(trouble.to_string());
            return Exit::of(&trouble);
        }
    };
    for note in &drawn.notes {
        print::err(note);
    }
    if !to_file {
        print::out(drawn.text.trim_end());
        return Exit::Fine;
    }
    match write(output, &drawn.text) {
        Ok(()) => {
            print::err(format!("{} written; look it over, then: cutover config check", output.display()));
            Exit::Fine
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => refuse(output, "it exists already"),
        Err(e) => {
            print::err(format!("{} could not be written: {e}", output.display()));
            Exit::Usage
        }
    }
}

/// The file, and what is said about it.
#[derive(Debug)]
pub struct Drawn {
    /// cutover.toml.
    pub text: String,
    /// What was found, guessed, not found: a line each.
    pub notes: Vec<String>,
}

/// Looks at the namespace of `target`.
pub async fn draw(target: &KubeTarget) -> Result<Drawn, crate::domain::Trouble> {
    let kube = clients::kube::connect(target).await?;
    let seen = look::look(&kube).await?;
    if seen.workloads.is_empty() && seen.ingresses.is_empty() {
        clients::namespace::exists(&kube).await?;
    }
    let draft = guess::draft(target, &kube.namespace, &seen);
    let mut notes = seen.notes;
    notes.extend(draft.summary());
    Ok(Drawn { text: draft.text_of(), notes })
}

/// Only where the cluster is counts here. A file that was not named may be of another cluster, and is what this run
/// would write anew.
fn target(inputs: &Inputs) -> Result<KubeTarget, Exit> {
    match load(&Inputs { named_only: true, ..inputs.clone() }) {
        Ok(config) => Ok(targets::kube(&config)),
        Err(problems) => {
            print::err(problems.to_string());
            Err(Exit::Usage)
        }
    }
}

fn refuse(output: &Path, why: &str) -> Exit {
    print::err(format!("{}: {why}; nothing was written (--output names another file)", output.display()));
    Exit::Refused
}

/// New, readable by its owner only: values of the environment may carry a password.
fn write(output: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(output)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
