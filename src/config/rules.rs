//! What must hold between keys: mistakes that make a configuration unusable, and findings worth knowing.

use std::path::Path;

use super::credential::Credential;
use super::keys::SECTIONS;
use super::load::Values;
use super::origin::Origin;
use super::problem::Problem;
use super::value::{Value, is_label};

/// Sections that name something to be reached.
pub const REACHED: [&str; 7] = ["v2", "v3", "public", "postgres", "clickhouse", "redis", "s3"];

/// Mistakes that must be mended first.
pub fn errors(values: &Values) -> Vec<Problem> {
    let mut found = Vec::new();
    for section in REACHED {
        addresses(values, section, &mut found);
        tls_files(values, section, &mut found);
    }
    pairs(values, &mut found);
    names(values, &mut found);
    s3(values, &mut found);
    found
}

fn has(values: &Values, key: &str) -> bool {
    values.contains_key(key)
}

fn origin(values: &Values, key: &str) -> Option<Origin> {
    values.get(key).map(|s| s.origin.clone())
}

/// A section with other keys than an address says nothing that could be reached.
fn addresses(values: &Values, section: &str, found: &mut Vec<Problem>) {
    if has(values, &format!("{section}.url")) || has(values, &format!("{section}.service")) {
        return;
    }
    let keys = SECTIONS.iter().find(|s| s.name == section).into_iter().flat_map(super::keys::Section::all);
    let lonely = keys
        .map(|k| format!("{section}.{}", k.name))
        .find(|k| values.get(k).is_some_and(|s| s.origin != Origin::Default));
    if let Some(key) = lonely {
        let message =
            format!("[{section}] has neither url nor service: add one of them, or remove the section");
        found.push(Problem::new(origin(values, &key), key, message));
    }
}

fn tls_files(values: &Values, section: &str, found: &mut Vec<Problem>) {
    let key = |name: &str| format!("{section}.tls.{name}");
    for (one, other) in [("client_cert", "client_key"), ("client_key", "client_cert")] {
        if has(values, &key(one)) && !has(values, &key(other)) {
            let message = format!("a client certificate needs its key: {section}.tls.{other} is missing");
            found.push(Problem::new(origin(values, &key(one)), key(one), message));
        }
    }
    for name in ["ca_file", "client_cert", "client_key"] {
        if let Some(Value::Path(path)) = values.get(&key(name)).map(|s| &s.value)
            && let Err(e) = readable(path)
        {
            let message = format!("{} cannot be read ({e})", path.display());
            found.push(Problem::new(origin(values, &key(name)), key(name), message));
        }
    }
}

fn readable(path: &Path) -> std::io::Result<()> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_file() { Ok(()) } else { Err(std::io::Error::other("not a file")) }
}

/// Keys that mean nothing without each other.
fn pairs(values: &Values, found: &mut Vec<Problem>) {
    let both = [("probe.public_key", "probe.secret_key"), ("s3.access_key", "s3.secret_key")];
    for (one, other) in both.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
        if has(values, one) && !has(values, other) {
            found.push(Problem::new(
                origin(values, one),
                one,
                format!("{other} is missing: both are needed"),
            ));
        }
    }
}

fn names(values: &Values, found: &mut Vec<Problem>) {
    for key in ["kubernetes.namespace", "controller.namespace"] {
        if let Some(Value::Text(name)) = values.get(key).map(|s| &s.value)
            && !is_label(name)
        {
            let message = format!(
                "\"{name}\" cannot be a namespace: lower-case letters, digits and dashes, at most 63"
            );
            found.push(Problem::new(origin(values, key), key, message));
        }
    }
    if let Some(Value::Text(name)) = values.get("environment.name").map(|s| &s.value)
        && name.trim().is_empty()
    {
        let message = "an empty name cannot tell environments apart";
        found.push(Problem::new(origin(values, "environment.name"), "environment.name", message));
    }
}

fn s3(values: &Values, found: &mut Vec<Problem>) {
    let reached = has(values, "s3.url") || has(values, "s3.service");
    if reached {
        for key in ["s3.bucket", "s3.access_key"] {
            if !has(values, key) {
                found.push(Problem::new(None, key, "missing: the section [s3] needs it"));
            }
        }
    }
    if let Some(Value::Text(prefix)) = values.get("s3.prefix").map(|s| &s.value)
        && !prefix.is_empty()
        && !prefix.ends_with('/')
    {
        let message = format!(
            "\"{prefix}\" does not end in a slash: Langfuse writes it so, and finds nothing otherwise"
        );
        found.push(Problem::new(origin(values, "s3.prefix"), "s3.prefix", message));
    }
}

/// What works, and should be known.
pub fn warnings(values: &Values) -> Vec<Problem> {
    let mut found = Vec::new();
    for section in REACHED {
        if !has(values, &format!("{section}.url")) && !has(values, &format!("{section}.service")) {
            found.push(Problem::new(None, format!("[{section}]"), off(section)));
        }
        let insecure = format!("{section}.tls.insecure");
        if values.get(&insecure).is_some_and(|s| s.value == Value::Flag(true)) {
            let message = "any certificate is accepted: whoever is in between can read along";
            found.push(Problem::new(origin(values, &insecure), insecure, message));
        }
    }
    if !has(values, "probe.public_key") {
        let message = "no canary project: accept latency and visible-after cannot be measured";
        found.push(Problem::new(None, "[probe]", message));
    }
    let yes = |key: &str| values.get(key).is_some_and(|s| s.value == Value::Flag(true));
    if yes("environment.production") && yes("environment.arm") && !from_flag(values, "environment.arm") {
        let message = "production is armed for everybody who starts cutover: leave it out and use --arm";
        found.push(Problem::new(origin(values, "environment.arm"), "environment.arm", message));
    }
    found.extend(native_port(values));
    found.extend(open_secrets(values));
    found
}

fn from_flag(values: &Values, key: &str) -> bool {
    matches!(origin(values, key), Some(Origin::Flag(_)))
}

fn off(section: &str) -> &'static str {
    match section {
        "v2" => "not configured: v2 is not probed by itself",
        "v3" => "not configured: v3 is not probed by itself",
        "public" => "not configured: the measured share of v3 needs the public address",
        "postgres" => "not configured: no migrations, no rows, no backfill",
        "clickhouse" => "not configured: rows that v3 wrote cannot be counted",
        "redis" => "not configured: no queues",
        _ => "not configured: the blob store is not watched",
    }
}

/// 9000 and 9440 speak ClickHouse's own protocol.
fn native_port(values: &Values) -> Option<Problem> {
    let port = match &values.get("clickhouse.url")?.value {
        Value::Credential(Credential::Given(url, _)) => reqwest::Url::parse(url.expose()).ok()?.port()?,
        _ => return None,
    };
    let message = "9000 and 9440 are ClickHouse's native ports; the HTTP port is 8123 or 8443";
    [9_000, 9_440]
        .contains(&port)
        .then(|| Problem::new(origin(values, "clickhouse.url"), "clickhouse.url", message))
}

/// A file with a password in it that others on this machine can read.
fn open_secrets(values: &Values) -> Option<Problem> {
    use std::os::unix::fs::PermissionsExt;
    let (key, path, line) = values.iter().find_map(|(key, s)| match (&s.origin, &s.value) {
        (Origin::File(path, line), Value::Credential(Credential::Given(secret, None)))
            if carries(secret.expose()) =>
        {
            Some((key, path, *line))
        }
        _ => None,
    })?;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    let message = format!(
        "a secret stands in a file that others can read: chmod 600 {}, or use {{ env | file | secret = … }}",
        path.display()
    );
    (mode & 0o077 != 0).then(|| Problem::new(Some(Origin::File(path.clone(), line)), key, message))
}

/// A password, or a URL with one in it.
fn carries(text: &str) -> bool {
    match reqwest::Url::parse(text) {
        Ok(url) if text.contains("://") => url.password().is_some(),
        _ => true,
    }
}
