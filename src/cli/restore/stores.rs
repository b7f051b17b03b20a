//! The two databases of a configuration, for long work.
//!
//! One rule: Kubernetes is asked only where the configuration keeps a value in a Secret there, or names a Service.

use std::sync::Arc;
use std::time::Duration;

use super::VERB;
use crate::cli::exit::Exit;
use crate::cli::print;
use crate::clients::kube as cluster;
use crate::clients::reach::Reach;
use crate::clients::target::{ClickhouseTarget, PostgresTarget};
use crate::clients::work::{Access, ClickhouseWork, PostgresWork, Purpose};
use crate::config::{self, Config, Vault};
use crate::domain::Trouble;
use crate::runtime::session;

/// Longest time one statement may run: a page of one day, or a batch.
const STATEMENT: Duration = Duration::from_mins(10);

/// How they are reached.
pub(super) struct Stores {
    reach: Arc<Reach>,
    postgres: PostgresTarget,
    clickhouse: ClickhouseTarget,
}

impl Stores {
    /// Reads the configuration, and what it keeps in Kubernetes.
    pub(super) async fn read(config: &Config) -> Result<Self, Exit> {
        let built = config::targets(config, &vault(config).await?);
        for (section, key) in &built.missing {
            print::err(format!("[{section}] is left out: the Kubernetes Secret {key} could not be read"));
        }
        let targets = built.targets;
        let (Some(postgres), Some(clickhouse)) = (targets.postgres, targets.clickhouse) else {
            print::err(
                "[postgres] and [clickhouse] are both needed: set their `url` or `service` in cutover.toml",
            );
            return Err(Exit::Usage);
        };
        Ok(Self { reach: Reach::new(targets.kube), postgres, clickhouse })
    }

    /// PostgreSQL.
    pub(super) async fn postgres(&self, access: Access) -> Result<PostgresWork, Trouble> {
        PostgresWork::new(&self.reach, &self.postgres, purpose(access)).await
    }

    /// ClickHouse, which is only read.
    pub(super) async fn clickhouse(&self) -> Result<ClickhouseWork, Trouble> {
        ClickhouseWork::new(&self.reach, &self.clickhouse, purpose(Access::Read)).await
    }
}

const fn purpose(access: Access) -> Purpose {
    Purpose { name: VERB, access, statement: STATEMENT }
}

async fn vault(config: &Config) -> Result<Vault, Exit> {
    let keys = config.secrets();
    if keys.is_empty() {
        return Ok(Vault::new());
    }
    let kube = cluster::connect(&config::targets::kube(config)).await.map_err(|trouble| {
        print::err(trouble.to_string());
        Exit::of(&trouble)
    })?;
    let (vault, troubles) = session::read_secrets(&kube.client, &kube.namespace, &keys).await;
    troubles.iter().for_each(|trouble| print::err(trouble.to_string()));
    Ok(vault)
}
