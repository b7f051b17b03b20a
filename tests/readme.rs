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

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
