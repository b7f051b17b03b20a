//! Both databases for verbs of the data engine: by URL alone, without a cluster where none is needed.
//!
//! One rule: Kubernetes is asked only when an address or a password is in it.

use std::path::PathBuf;
use std::sync::Arc;

use super::exit::Exit;
use super::print;
use crate::clients::kube as cluster;
use crate::clients::reach::Reach;
use crate::clients::target::{ClickhouseTarget, PostgresTarget};
use crate::clients::work::{ClickhouseWork, PostgresWork, Purpose};
use crate::config::{self, Config, Vault};
use crate::domain::{Kind, Trouble};
use crate::runtime::session;

/// Where both databases are, and how to get there.
pub struct Stores {
    reach: Arc<Reach>,
    postgres: PostgresTarget,
    clickhouse: ClickhouseTarget,
    /// The file of counts and of T0.
    pub state_file: PathBuf,
    /// The folder of what verbs remember.
    pub state_dir: PathBuf,
}

impl Stores {
    /// Reads the configuration, and the Kubernetes Secrets it names.
    ///
    /// # Errors
    /// A database is not configured, or its Secret cannot be read; already said on standard error.
    pub async fn open(config: &Config) -> Result<Self, Exit> {
        let vault = secrets(config).await?;
        let built = config::targets(config, &vault);
        for (section, key) in &built.missing {
            print::err(format!("[{section}]: the Kubernetes Secret {key} could not be read"));
        }
        let targets = built.targets;
        let absent = |object: &str, section: &str| {
            // It is configured, and why its Secret could not be read was said.
            if built.missing.iter().any(|(of, _)| *of == section) {
                return Exit::Unreachable;
            }
            let remedy = format!("set [{section}] url or service in cutover.toml");
            print::err(Trouble::new(Kind::NotConfigured, object, "").remedy(remedy).to_string());
            Exit::Usage
        };
        Ok(Self {
            reach: Reach::new(targets.kube.clone()),
            postgres: targets.postgres.ok_or_else(|| absent("PostgreSQL", "postgres"))?,
            clickhouse: targets.clickhouse.ok_or_else(|| absent("ClickHouse", "clickhouse"))?,
            state_file: targets.state_file.unwrap_or_default(),
            state_dir: config.state_dir.clone(),
        })
    }

    /// Sessions of one purpose on PostgreSQL alone.
    ///
    /// # Errors
    /// It cannot be reached; already said on standard error.
    pub async fn postgres(&self, purpose: Purpose) -> Result<PostgresWork, Exit> {
        PostgresWork::new(&self.reach, &self.postgres, purpose).await.map_err(|trouble| failed(&trouble))
    }

    /// Sessions of one purpose on both sides.
    ///
    /// # Errors
    /// One of them cannot be reached; already said on standard error.
    pub async fn work(&self, purpose: Purpose) -> Result<(PostgresWork, ClickhouseWork), Exit> {
        let both = futures::try_join!(
            PostgresWork::new(&self.reach, &self.postgres, purpose),
            ClickhouseWork::new(&self.reach, &self.clickhouse, purpose)
        );
        both.map_err(|trouble| failed(&trouble))
    }
}

/// A project that nobody has is a slip of the pen, not a project without rows.
///
/// # Errors
/// PostgreSQL has no such project, or cannot be asked; already said on standard error.
pub async fn known_project(postgres: &PostgresWork, id: Option<&str>) -> Result<(), Exit> {
    let Some(id) = id else { return Ok(()) };
    let ids = async {
        let mut session = postgres.session().await?;
        let all = sqlx::query_scalar::<_, String>("SELECT id FROM projects ORDER BY id LIMIT 10000");
        all.fetch_all(&mut *session).await.map_err(|e| postgres.trouble(&e))
    };
    let ids = ids.await.map_err(|trouble| failed(&trouble))?;
    if ids.iter().any(|known| known == id) {
        return Ok(());
    }
    let near = ids.iter().max_by(|a, b| strsim::jaro(a, id).total_cmp(&strsim::jaro(b, id)));
    let near = near.map(|near| format!(" -> is it {near}?")).unwrap_or_default();
    print::err(format!("PostgreSQL has no project {id:?}{near}"));
    Err(Exit::Usage)
}

/// Says what went wrong; gives the exit code.
pub fn failed(trouble: &Trouble) -> Exit {
    print::err(trouble.to_string());
    Exit::of(trouble)
}

async fn secrets(config: &Config) -> Result<Vault, Exit> {
    let keys = config.secrets();
    if keys.is_empty() {
        return Ok(Vault::new());
    }
    let kube = cluster::connect(&config::targets::kube(config)).await.map_err(|t| failed(&t))?;
    let (vault, troubles) = session::read_secrets(&kube.client, &kube.namespace, &keys).await;
    for trouble in troubles {
        print::err(trouble.to_string());
    }
    Ok(vault)
}
