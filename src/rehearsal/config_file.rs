//! The `cutover.toml` of a rehearsal: what an operator would have written for it.

use std::fmt::Write as _;

use serde::Serialize;

use super::cluster::Mode;
use super::history::Project;
use super::info::Info;
use super::stores::Endpoints;

/// What the file is written from.
pub(super) struct Facts<'a> {
    /// The addresses.
    pub info: &'a Info,
    /// The stores and their passwords.
    pub stores: &'a Endpoints,
    /// Prefix of the events in the bucket.
    pub s3_prefix: &'a str,
    /// Namespace of everything.
    pub namespace: &'a str,
    /// Whether the backfill runs from the start.
    pub backfill_first: bool,
    /// The project of the probes.
    pub probe: Option<&'a Project>,
    /// Which API server: a real one has no kubelet, so nothing can be reached through its port-forward.
    pub cluster: Mode,
    /// Where the controller's metrics are.
    pub metrics_url: &'a str,
}

/// The text of the file.
pub(super) fn text(facts: &Facts<'_>) -> String {
    let Facts { info, stores, .. } = facts;
    let mut file = File::default();
    file.section("environment", "the rehearsal: writes are allowed, nothing here is precious");
    file.entry("name", "rehearsal").entry("production", false).entry("arm", true);
    file.section("kubernetes", "");
    file.entry("kubeconfig", "kubeconfig").entry("context", "rehearsal").entry("namespace", facts.namespace);
    file.section("traffic", "");
    file.entry("strategy", if facts.backfill_first { "backfill-first" } else { "shift-first" });
    // Whoever practises may go anywhere at once; at home `cutover shift` wants --skip-steps for that.
    file.entry("skip_steps", true);
    if facts.cluster == Mode::Real {
        file.section("controller", "");
        file.entry("urls", [facts.metrics_url]);
    }
    for (section, url) in [("v2", &info.v2_url), ("v3", &info.v3_url), ("public", &info.public_url)] {
        file.section(section, "").entry("url", url);
    }
    if let Some(project) = facts.probe {
        file.section("probe", "")
            .entry("public_key", &project.public_key)
            .entry("secret_key", &project.secret_key);
    }
    file.section("postgres", "").entry("url", &info.postgres_url);
    file.section("clickhouse", "");
    file.entry("url", &info.clickhouse_url)
        .entry("user", &stores.clickhouse_user)
        .entry("password", &stores.clickhouse_password)
        .entry("database", &stores.clickhouse_database)
        .entry("compression", false);
    file.section("redis", "").entry("url", &info.redis_url);
    file.section("s3", "");
    file.entry("url", &info.s3_url)
        .entry("bucket", &stores.s3_bucket)
        .entry("prefix", facts.s3_prefix)
        .entry("region", &stores.s3_region)
        .entry("access_key", &stores.s3_access_key)
        .entry("secret_key", &stores.s3_secret_key)
        .entry("path_style", true);
    file.section("journal", "").entry("dir", "journal");
    file.section("state", "").entry("dir", "state");
    file.text
}

#[derive(Default)]
struct File {
    text: String,
}

impl File {
    fn section(&mut self, name: &str, comment: &str) -> &mut Self {
        let comment = if comment.is_empty() { String::new() } else { format!(" # {comment}") };
        let _ = writeln!(self.text, "\n[{name}]{comment}");
        self
    }

    fn entry(&mut self, key: &str, value: impl Serialize) -> &mut Self {
        // Strings, flags and lists of strings always have a TOML form; anything else would be a bug of ours.
        match toml::Value::try_from(value) {
            Ok(value) => {
                let _ = writeln!(self.text, "{key} = {value}");
            }
            Err(error) => tracing::error!("cutover.toml: {key}: {error}"),
        }
        self
    }
}
