//! A server with the real `kubectl` in front of it.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use super::super::Server;
use super::{NS, server};

/// A server, and `kubectl` configured for it by a kubeconfig in a directory of its own.
pub(super) struct Desk {
    pub server: Server,
    pub home: tempfile::TempDir,
}

impl Desk {
    /// None, with the reason on standard error, when there is no `kubectl`.
    pub(super) async fn new() -> Option<Self> {
        if let Err(error) = Command::new("kubectl").arg("version").arg("--client").output().await {
            eprintln!("skipped: kubectl cannot be run ({error}); install it to run this test");
            return None;
        }
        let server = server().await;
        let home = tempfile::tempdir().unwrap();
        for user in ["admin", "looker"] {
            std::fs::write(home.path().join(user), server.kubeconfig(user, NS).unwrap()).unwrap();
        }
        Some(Self { server, home })
    }

    pub(super) fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).kill_on_drop(true).env("HOME", self.home.path());
        command.env("KUBECONFIG", self.home.path().join(user)).env("NO_PROXY", "127.0.0.1");
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let running = self.command("admin", arguments).output();
        tokio::time::timeout(Duration::from_mins(1), running)
            .await
            .expect("kubectl ends")
            .expect("kubectl runs")
    }

    /// Standard output of a command that must succeed.
    pub(super) async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a command that must fail.
    pub(super) async fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "kubectl {arguments:?} should be refused");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(super) fn file(&self, name: &str, object: &Value) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, object.to_string()).unwrap();
        path.to_string_lossy().into_owned()
    }
}
