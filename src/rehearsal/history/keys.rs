//! Projects and their API keys.

use sha2::{Digest, Sha256};

use super::{
    CANARY_PROJECT, Options,
    random::{Random, uuid},
};

/// A project and the key its clients use.
#[derive(Clone, PartialEq, Eq)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `pk-lf-` and a UUID.
    pub public_key: String,
    /// `sk-lf-` and a UUID.
    pub secret_key: String,
}

impl std::fmt::Debug for Project {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Project").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Project {
    /// The projects with history, then the canary.
    pub(super) fn all(options: &Options) -> Vec<Self> {
        let names = ["checkout-assistant", "support-bot", "search", "contract-review", "voice-agent"];
        let busy = (0..options.projects).map(|number| {
            let name = names
                .get(number as usize)
                .map_or_else(|| format!("project-{}", number + 1), ToString::to_string);
            Self::new(options.seed, u64::from(number), name)
        });
        busy.chain([Self::new(options.seed, u64::MAX, CANARY_PROJECT.to_owned())]).collect()
    }

    fn new(seed: u64, number: u64, name: String) -> Self {
        let mut random = Random::of(seed, 201, number);
        Self {
            id: format!("c{}", &uuid(&mut random).replace('-', "")[..24]),
            name,
            public_key: format!("pk-lf-{}", uuid(&mut random)),
            secret_key: format!("sk-lf-{}", uuid(&mut random)),
        }
    }

    /// The bcrypt column: the right form and unique, of no secret. The fast hash is what finds a key.
    pub(super) fn hashed_secret_key(&self) -> String {
        format!("$2a$11${}", &hex(&Sha256::digest(&self.secret_key))[..53])
    }

    /// `sk-lf-...abcd`, as Langfuse shows it.
    pub(super) fn display_secret_key(&self) -> String {
        format!("{}...{}", &self.secret_key[..6], &self.secret_key[self.secret_key.len() - 4..])
    }
}

/// `api_keys.fast_hashed_secret_key`: SHA-256 of the secret key followed by the hexadecimal SHA-256 of the salt
/// (Langfuse `packages/shared/src/server/auth/apiKeys.ts`, `createShaHash`).
pub fn fast_hash(secret_key: &str, salt: &str) -> String {
    hex(&Sha256::new().chain_update(secret_key).chain_update(hex(&Sha256::digest(salt))).finalize())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_hash_is_that_of_langfuse() {
        // node -e 'c=require("crypto");h=c.createHash("sha256");h.update("sk-lf-1234").update(
        //   c.createHash("sha256").update("salt","utf8").digest("hex"));console.log(h.digest("hex"))'
        assert_eq!(
            fast_hash("sk-lf-1234", "salt"),
            "433a92c86e82d867f80c744ec4eff9f0fb9412c53c123bf711bb3cc1bd20b7a4"
        );
    }
}
