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

/// What makes a process id mean something: the boot and the namespace of process ids it was given in. `None` where
/// the system does not say.
pub fn birthplace() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), namespace.to_str()?))
}

/// Whether the process of an [`Actor::identity`] that was born where we were has ended.
pub fn is_gone(identity: &str) -> bool {
    let pid = identity.rsplit_once(" pid ").and_then(|(_, pid)| pid.parse().ok());
    let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) else { return false };
    rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_gone_only_when_it_is() {
        let me = Actor::from_env(|_| None);
        assert!(!is_gone(&me.identity()), "we run");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = Actor { pid: child.id(), ..me.clone() };
        child.wait().unwrap();
        assert!(is_gone(&dead.identity()));
        assert!(!is_gone("argocd"), "no number says nothing");
        assert_eq!(birthplace(), birthplace());
    }

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
