//! Who acts: the person behind the shell, as far as the shell and the API server know.

use serde::{Deserialize, Serialize};

use crate::domain::text::clean;

/// The operator in journal, lease and Events. All text is cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Actor {
    /// `SUDO_USER`, or `USER`, or `LOGNAME`.
    pub user: String,
    /// The bastion's host name.
    pub host: String,
    /// `SSH_CONNECTION`: client address and port, server address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh: Option<String>,
    /// The user name that the API server sees (`SelfSubjectReview`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<String>,
    /// Process id.
    pub pid: u32,
}

impl Actor {
    /// Reads the process's environment through `get`.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|n| get(n).filter(|v| !v.is_empty()));
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            user: clean(&first(&["SUDO_USER", "USER", "LOGNAME"]).unwrap_or_else(|| "unknown".into())),
            host: clean(&host),
            ssh: get("SSH_CONNECTION").map(|s| clean(&s)),
            kubernetes: None,
            pid: std::process::id(),
        }
    }

    /// "ops@bastion-1".
    pub fn name(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// "ops@bastion-1 pid 4711": one process, as the lease needs it.
    pub fn identity(&self) -> String {
        format!("{} pid {}", self.name(), self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_person_behind_sudo_is_named() {
        let env = |n: &str| match n {
            "SUDO_USER" => Some("mia\x1b[2J".into()),
            "USER" => Some("root".into()),
            "SSH_CONNECTION" => Some("10.0.0.9 5022 10.0.0.1 22".into()),
            _ => None,
        };
        let actor = Actor::from_env(env);
        assert!(actor.user.starts_with("mia") && !actor.user.contains('\x1b'));
        assert_eq!(actor.ssh.as_deref(), Some("10.0.0.9 5022 10.0.0.1 22"));
        assert!(actor.identity().contains(" pid "));
    }
}
