//! The worker's way of copying with the worker's own clients, in Node.js: Prisma and @clickhouse/client.
//!
//! One rule: installed only where `PEERS=1` asks for it. Prisma's engine is the one it has in `WebAssembly`: its binary
//! is in no package registry.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::rehearsal::Rehearsal;

const FILES: [&str; 3] = ["package.json", "schema.prisma", "worker.mjs"];

/// Where it is ready to run; nothing where it is not, and cannot be made so.
pub fn installed() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/bench/worker");
    let ready = folder.join("node_modules/.prisma/client/schema.prisma");
    let asked = std::env::var_os("PEERS").is_some();
    if !ready.is_file() && !asked {
        return None;
    }
    std::fs::create_dir_all(&folder).unwrap();
    for file in FILES {
        std::fs::copy(root.join("tests/bench/worker").join(file), folder.join(file)).unwrap();
    }
    if !ready.is_file() {
        eprintln!("installing Prisma and @clickhouse/client: a minute");
        install(&folder);
    }
    ready.is_file().then_some(folder)
}

fn install(folder: &Path) {
    // Making a client asks for the engine of schema migrations, which is a binary from elsewhere, and never runs it.
    let engine = "printf '#!/bin/sh\\n' > no-engine && chmod +x no-engine";
    let steps = [
        "npm install --ignore-scripts --no-audit --no-fund --silent",
        engine,
        "PRISMA_SCHEMA_ENGINE_BINARY=$PWD/no-engine npx prisma generate --schema schema.prisma",
    ];
    let mut shell = Command::new("sh");
    let _ = shell.args(["-c", &steps.join(" && ")]).current_dir(folder).stdout(Stdio::null()).status();
}

/// Lets it copy all tables, batches of 1000; gives the seconds of each.
pub fn seconds(folder: &Path, rehearsal: &Rehearsal, tables: &[&str]) -> Vec<f64> {
    let config: toml::Table = std::fs::read_to_string(rehearsal.config()).unwrap().parse().unwrap();
    let clickhouse = &config["clickhouse"];
    let job = json!({
        "postgres": rehearsal.field("postgres_url"),
        "clickhouse": clickhouse["url"].as_str(),
        "user": clickhouse["user"].as_str(),
        "password": clickhouse["password"].as_str(),
        "batch": 1000,
    });
    let mut node = Command::new("node");
    let output =
        node.arg("worker.mjs").arg(job.to_string()).current_dir(folder).stderr(Stdio::inherit()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "worker.mjs: {}", output.status);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    tables.iter().map(|table| told[*table]["seconds"].as_f64().unwrap()).collect()
}
