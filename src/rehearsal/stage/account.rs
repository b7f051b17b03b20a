//! Who the servers run as when the rehearsal is started by root: PostgreSQL refuses to be root.

use std::{io, os::unix::fs::MetadataExt, path::Path};

/// A user of this machine without rights of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

impl Account {
    /// `postgres`, else `nobody`, when we are root; `None` for everybody else.
    pub fn for_services() -> Option<Self> {
        if !rustix::process::getuid().is_root() {
            return None;
        }
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self::named("postgres", &users).or_else(|| Self::named("nobody", &users))
    }

    /// An error that names the folder above `room` that this user may not pass through.
    pub(super) fn can_reach(&self, room: &Path) -> io::Result<()> {
        for folder in room.ancestors().skip(1) {
            let meta = folder.metadata()?;
            let shift = if meta.uid() == self.uid { 6 } else { 3 * u32::from(meta.gid() == self.gid) };
            if meta.mode() >> shift & 1 == 0 {
                let words = format!("user {} may not enter {}", self.name, folder.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, words));
            }
        }
        Ok(())
    }

    /// The line of passwd(5) for `name`.
    fn named(name: &str, users: &str) -> Option<Self> {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        let uid = fields.next()?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_folder_that_bars_the_way() {
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        let home = tempfile::Builder::new().permissions(closed).tempdir().unwrap();
        let stranger = Account { name: "stranger".into(), uid: 65533, gid: 65533 };
        let barred = stranger.can_reach(&home.path().join("postgres")).unwrap_err().to_string();
        assert!(barred.contains(&format!("may not enter {}", home.path().display())), "{barred}");
        let owner = Account { uid: rustix::process::getuid().as_raw(), ..stranger };
        assert!(owner.can_reach(&home.path().join("postgres")).is_ok());
    }

    #[test]
    fn reads_a_passwd_line() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/sbin/nologin\n";
        let nobody = Account { name: "nobody".into(), uid: 65534, gid: 65533 };
        assert_eq!(Account::named("nobody", users), Some(nobody));
        assert_eq!(Account::named("postgres", users), None);
    }
}
