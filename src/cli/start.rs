//! What every verb starts from: the process's surroundings and the configuration.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::args::Global;
use super::exit::Exit;
use super::print;
use crate::config::{Config, Inputs, load};
use crate::ui::{Look, Symbols, Theme};

/// The inputs of the configuration.
pub fn inputs(global: &Global) -> Inputs {
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let given = [
        ("kubernetes.kubeconfig", &global.kubeconfig, "--kubeconfig"),
        ("kubernetes.context", &global.context, "--context"),
        ("kubernetes.namespace", &global.namespace, "--namespace"),
        ("environment.name", &global.env, "--env"),
    ];
    let mut flags: Vec<_> =
        given.into_iter().filter_map(|(key, value, flag)| Some((key, value.clone()?, flag))).collect();
    if global.arm {
        flags.push(("environment.arm", "true".into(), "--arm"));
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    Inputs { file: global.config.clone(), env, flags, here, named_only: false }
}

/// The configuration, or its mistakes on standard error.
pub fn config(inputs: &Inputs) -> Result<Config, Exit> {
    load(inputs).map_err(|problems| {
        print::err(problems.to_string());
        Exit::Usage
    })
}

/// Theme and symbols: the configuration's, and what the environment says where it leaves them to it.
pub fn look(config: &Config, env: &BTreeMap<String, String>) -> Look {
    let get = |name: &str| env.get(name).map(String::as_str).filter(|v| !v.is_empty());
    let locale =
        get("LC_ALL").or_else(|| get("LC_CTYPE")).or_else(|| get("LANG")).unwrap_or_default().to_lowercase();
    let utf8 = locale.contains("utf-8") || locale.contains("utf8");
    let found = Look::from_env(get("NO_COLOR"), get("TERM"), utf8);
    Look {
        theme: match config.ui.theme.as_str() {
            "ansi" => Theme::Ansi,
            "cvd" => Theme::Cvd,
            "mono" => Theme::Mono,
            _ => found.theme,
        },
        symbols: match config.ui.symbols.as_str() {
            "utf8" => Symbols::Utf8,
            "ascii" => Symbols::Ascii,
            _ => found.symbols,
        },
    }
}
