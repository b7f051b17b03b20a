//! Small facts that the parts of a rehearsal tell each other: addresses, passwords, files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sqlx::Connection as _;

use super::address::Address;
use super::history::{self, History};
use super::load;
use super::stores::{Endpoints, StoreError, postgres};
use super::workloads::Store;
use super::workloads::manifests::{ingress, stores};
use super::world::RehearsalError;

/// Prefix of the events in the bucket (`LANGFUSE_S3_EVENT_UPLOAD_PREFIX`).
pub(super) const S3_PREFIX: &str = "events/";
/// 64 hexadecimal digits, as Langfuse demands; nothing here is encrypted with it.
const ENCRYPTION_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// The address clients use.
pub(super) fn public_url(port: u16) -> String {
    format!("http://{}:{port}", ingress::LOCAL)
}

/// The environment of v2's container.
pub(super) fn v2_env(endpoints: &Endpoints) -> BTreeMap<String, String> {
    [
        ("DATABASE_URL", endpoints.postgres_url.clone()),
        ("SALT", history::Options::default().salt),
        ("NEXTAUTH_URL", format!("http://{}", ingress::HOST)),
        ("NEXTAUTH_SECRET", "rehearsal".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

fn address(name: &'static str, url: &str) -> Result<Address, RehearsalError> {
    Address::parse(url).ok_or(RehearsalError::Address(name))
}

/// The stores as the cluster shows them.
pub(super) fn store_pods(endpoints: &Endpoints) -> Result<Vec<Store>, RehearsalError> {
    let row = |name, url: &str, spec| -> Result<Store, RehearsalError> {
        Ok(Store { spec, addresses: vec![address(name, url)?.socket] })
    };
    Ok(vec![
        row("PostgreSQL", &endpoints.postgres_url, stores::postgres())?,
        row("ClickHouse", &endpoints.clickhouse_url, stores::clickhouse(false))?,
        row("Redis", &endpoints.redis_url, stores::redis())?,
        row("S3", &endpoints.s3_url, stores::s3())?,
    ])
}

/// What the Secret holds, by the keys the Deployments refer to; addresses are those of the Services.
pub(super) fn secrets(endpoints: &Endpoints) -> Result<Vec<(&'static str, String)>, RehearsalError> {
    Ok(vec![
        ("database-url", address("PostgreSQL", &endpoints.postgres_url)?.at("langfuse-postgresql:5432")),
        ("salt", history::Options::default().salt),
        ("encryption-key", ENCRYPTION_KEY.to_owned()),
        ("nextauth-secret", "rehearsal".to_owned()),
        ("clickhouse-password", endpoints.clickhouse_password.clone()),
        ("redis-password", address("Redis", &endpoints.redis_url)?.password),
        ("s3-access-key-id", endpoints.s3_access_key.clone()),
        ("s3-secret-access-key", endpoints.s3_secret_key.clone()),
    ])
}

/// The projects that have applications: all but the one kept for probes.
pub(super) fn load_projects(history: &History) -> Vec<load::Project> {
    let canary = history.canary().map(|project| project.id.as_str());
    let own = |project: &history::Project| load::Project {
        id: project.id.clone(),
        public_key: project.public_key.clone(),
        secret_key: project.secret_key.clone(),
    };
    history.projects.iter().filter(|project| Some(project.id.as_str()) != canary).map(own).collect()
}

/// Sets `args.batchSize` of the three copying migrations.
pub(super) async fn set_batch_size(postgres_url: &str, size: u32) -> Result<(), StoreError> {
    let failed = |source| StoreError::Postgres { doing: "setting the backfill's batch size", source };
    let mut connection = postgres::connect(postgres_url).await.map_err(failed)?;
    sqlx::query(
        "UPDATE background_migrations SET args = jsonb_build_object('batchSize', $1::int) \
         WHERE script LIKE 'migrate%FromPostgresToClickhouse'",
    )
    .bind(i32::try_from(size).unwrap_or(i32::MAX))
    .execute(&mut connection)
    .await
    .map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// An error about a path.
pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> RehearsalError + use<> {
    let path = path.to_path_buf();
    move |source| RehearsalError::File { path, source }
}

/// The end of the newest log of a Deployment's Pods.
pub(super) fn last_words(logs: &Path, deployment: &str) -> String {
    let text = logs_of(logs, deployment);
    let lines: Vec<&str> = text.lines().rev().take(3).collect();
    if lines.is_empty() { "none".to_owned() } else { lines.into_iter().rev().collect::<Vec<_>>().join(" | ") }
}

/// The logs of a Deployment's Pods, the oldest first.
pub(super) fn logs_of(logs: &Path, deployment: &str) -> String {
    let mut files: Vec<PathBuf> = std::fs::read_dir(logs)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(deployment)))
        .collect();
    files.sort_by_key(|path| path.metadata().and_then(|meta| meta.modified()).ok());
    files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}
