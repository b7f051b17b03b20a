//! The generator without a database; `stores::tests` loads it for real.

use super::{Options, Project, rows::Rows};

fn written(seed: u64) -> Vec<u8> {
    let newest = "2026-03-01T00:00:00Z".parse().unwrap();
    let options = Options { traces: 500, seed, newest, ..Options::default() };
    let rows = Rows::new(&options, &Project::all(&options));
    let mut out = Vec::new();
    for number in 0..500 {
        rows.trace(&mut out, number);
        rows.observations(&mut out, number);
        rows.session(&mut out, number);
        rows.score(&mut out, number / 2);
    }
    out
}

#[test]
fn the_seed_decides_every_byte() {
    assert_eq!(written(7), written(7));
    assert_ne!(written(7), written(8));
}

#[test]
fn every_row_has_the_columns_that_copy_names() {
    let text = String::from_utf8(written(1)).unwrap();
    let mut widths: Vec<usize> = text.lines().map(|line| line.split('\t').count()).collect();
    widths.sort_unstable();
    widths.dedup();
    // Sessions, and traces and scores with as many columns as each other, and observations.
    assert_eq!(widths, [6, 16, 32]);
    assert!(text.contains("東京") && text.contains("\\\\n") && text.contains("\\N"));
}

#[test]
fn the_canary_has_a_key_and_no_history() {
    let options = Options { projects: 2, ..Options::default() };
    let projects = Project::all(&options);
    assert_eq!(projects.len(), 3);
    assert!(projects[2].public_key.starts_with("pk-lf-") && projects[2].secret_key.starts_with("sk-lf-"));
    assert_eq!(Rows::new(&options, &projects).projects.len(), 2);
    assert!(!format!("{:?}", projects[0]).contains(&projects[0].secret_key));
}
