//! The README's generated parts are what the program prints. `UPDATE_README=1` writes them anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

/// What stands between `<!-- name: … -->` and `<!-- /name -->`, and the command it comes from.
const PARTS: [(&str, &[&str], bool); 2] =
    [("keys", &["keys", "--markdown"], false), ("help", &["--help"], true)];

fn printed(args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_cutover")).args(args).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn generated_parts_are_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut text = std::fs::read_to_string(&path).unwrap();
    let before = text.clone();
    for (name, args, fenced) in PARTS {
        let open = text.find(&format!("<!-- {name}:")).unwrap_or_else(|| panic!("no part {name}"));
        let from = open + text[open..].find("-->").unwrap() + 3;
        let to = text.find(&format!("<!-- /{name} -->")).unwrap();
        let printed = printed(args);
        let part = if fenced { format!("\n```text\n{printed}\n```\n") } else { format!("\n{printed}\n") };
        text.replace_range(from..to, &part);
    }
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&path, &text).unwrap();
    } else {
        assert!(text == before, "UPDATE_README=1 cargo test --test readme writes it anew");
    }
}

#[test]
fn everything_it_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("README.md")).unwrap();
    for link in
        text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|l| !l.starts_with("http"))
    {
        let there = match link.strip_prefix('#') {
            Some(heading) => text.lines().any(|line| line.starts_with('#') && anchor(line) == heading),
            None => root.join(link).exists(),
        };
        assert!(there, "{link}");
    }
}

/// Files of the repository, wherever they are named.
#[test]
fn every_path_it_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let paths = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        for path in paths.filter(|p| ["src/", "tests/", "assets/", ".ci/"].iter().any(|at| p.starts_with(at)))
        {
            assert!(root.join(path).exists(), "{file}: {path}");
        }
    }
}

/// Every verb and flag of a command that it shows stands in the help of that verb.
#[test]
#[cfg(feature = "rehearsal")]
fn every_command_it_shows_is_understood() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let all = printed(&["--help"]);
    let mut shown = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("$ cutover")) {
        let words = line.split('#').next().unwrap().split_whitespace();
        let words: Vec<&str> = words.collect();
        let verbs: Vec<&str> = words.iter().copied().take_while(|word| !word.starts_with('-')).collect();
        // What follows a verb may be its argument.
        let help = (0..=verbs.len()).rev().find_map(|n| {
            let output = Command::new(env!("CARGO_BIN_EXE_cutover"))
                .args(&verbs[..n])
                .arg("--help")
                .env("COLUMNS", "100")
                .output()
                .unwrap();
            (n >= verbs.len().min(1) && output.status.success())
                .then(|| String::from_utf8(output.stdout).unwrap())
        });
        let help = help.unwrap_or_else(|| panic!("no such verb:{line}"));
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag) || all.contains(flag), "{flag} of:{line}");
        }
        shown += 1;
    }
    assert!(shown > 15, "{shown} commands");
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
