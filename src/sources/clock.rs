//! The wall clock where a source has to send one: canary traces and nothing else. Ages are measured by the
//! clock of the server that stamped the rows.

/// Now, for a timestamp that a server will store.
#[expect(clippy::disallowed_methods, reason = "a canary trace carries the client's time, as an SDK's would")]
pub fn wall() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
