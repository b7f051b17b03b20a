//! `cutover config check`: every value, its origin, and what is wrong.

use super::exit::Exit;
use super::print;
use crate::config::{Config, Inputs, load, show, targets};
use crate::runtime::session;

/// Prints the table and the findings.
pub fn check(inputs: &Inputs) -> Exit {
    let config = match load(inputs) {
        Ok(config) => config,
        Err(problems) => {
            print::err(problems.to_string());
            return Exit::Usage;
        }
    };
    match &config.file {
        Some(file) => print::err(format!("file: {}", crate::domain::text::clean(&file.to_string_lossy()))),
        None => print::err("file: none; `cutover init` writes one"),
    }
    let rows: Vec<_> =
        show::rows(&config, &place(&config)).into_iter().map(|r| [r.key, r.value, r.origin]).collect();
    print::out(print::columns(&rows));
    let warnings = config.warnings();
    for warning in &warnings {
        print::err(format!("finding: {warning}"));
    }
    if warnings.is_empty() { Exit::Fine } else { Exit::Findings }
}

/// Context and namespace, as the kubeconfig has them where nobody gave them.
fn place(config: &Config) -> Vec<(&'static str, String)> {
    let (context, namespace) = session::place(&targets::kube(config));
    if context.is_empty() {
        return Vec::new();
    }
    vec![("kubernetes.context", context), ("kubernetes.namespace", namespace)]
}
