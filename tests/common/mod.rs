//! What the tests of the whole program share: a rehearsal, and a person at a terminal.
#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part")]
#![allow(clippy::disallowed_methods, reason = "a person has a clock of their own")]

pub mod api;
#[cfg(feature = "rehearsal")]
pub mod cluster;
pub mod person;
pub mod rehearsal;
pub mod sitting;

/// A configuration whose servers are not there.
pub fn nowhere() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join("kubeconfig");
    let cluster = "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\n\
                   contexts: [{name: c, context: {cluster: c, user: u, namespace: langfuse}}]\n\
                   users: [{name: u, user: {token: t}}]\n";
    std::fs::write(&kubeconfig, format!("apiVersion: v1\nkind: Config\ncurrent-context: c\n{cluster}"))
        .unwrap();
    let config = dir.path().join("cutover.toml");
    let text = format!(
        "[environment]\nname = \"nowhere\"\n[kubernetes]\nkubeconfig = {:?}\n[journal]\ndir = {:?}\n",
        kubeconfig.display().to_string(),
        dir.path().join("journal").display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    (dir, config)
}
