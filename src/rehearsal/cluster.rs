//! The cluster of the rehearsal: our own API server, or a real one where its binaries are found.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::kube::{Faults, Logs, Options, Server, Token};
use super::real_cluster::{Binaries, MASTERS, RealCluster, RealClusterError};
use super::stage::Stage;

/// The user that the written kubeconfig is for.
pub const OPERATOR: &str = "rehearsal-admin";
/// The user of controllers, kubelet and gateway.
const CONTROLLERS: &str = "system:kube-controller-manager";

/// Which API server to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Mode {
    /// The small one that comes with the program.
    #[default]
    Embedded,
    /// `kube-apiserver` and `etcd` of `$KUBEBUILDER_ASSETS` or `PATH`.
    Real,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Our server did not start.
    #[error(transparent)]
    Embedded(#[from] super::kube::Error),
    /// The real one did not start.
    #[error(transparent)]
    Real(#[from] RealClusterError),
    /// A client could not be built from the kubeconfig.
    #[error("no client could be built from the rehearsal's kubeconfig: {0}")]
    Client(String),
}

/// A running API server.
pub enum Cluster {
    /// Ours.
    Embedded(Server),
    /// A real one.
    Real(RealCluster),
}

impl Cluster {
    /// Starts one.
    pub async fn start(mode: Mode, stage: &Stage) -> Result<Self, ClusterError> {
        match mode {
            Mode::Embedded => {
                let tokens = vec![Token::admin(&secret(), OPERATOR), Token::admin(&secret(), CONTROLLERS)];
                Ok(Self::Embedded(Server::start(Options { tokens, ..Options::default() }).await?))
            }
            Mode::Real => {
                let users = [(OPERATOR, MASTERS), (CONTROLLERS, MASTERS)];
                Ok(Self::Real(RealCluster::start(stage, &Binaries::find()?, &users).await?))
            }
        }
    }

    /// The operator's kubeconfig (YAML).
    pub fn kubeconfig(&self, namespace: &str) -> String {
        self.kubeconfig_of(OPERATOR, namespace)
    }

    /// A client for controllers, kubelet and gateway.
    pub async fn client(&self, namespace: &str) -> Result<Client, ClusterError> {
        client(&self.kubeconfig_of(CONTROLLERS, namespace)).await
    }

    /// The knobs that make it fail; a real one has none.
    pub fn faults(&self) -> Option<Faults> {
        match self {
            Self::Embedded(server) => Some(server.faults()),
            Self::Real(_) => None,
        }
    }

    /// Where Pod logs go; a real one reads them from a kubelet that is not there.
    pub fn logs(&self) -> Option<Logs> {
        match self {
            Self::Embedded(server) => Some(server.logs()),
            Self::Real(_) => None,
        }
    }

    /// Ends it.
    pub async fn stop(self) {
        match self {
            Self::Embedded(server) => server.shutdown().await,
            Self::Real(cluster) => cluster.stop().await,
        }
    }

    fn kubeconfig_of(&self, user: &str, namespace: &str) -> String {
        match self {
            Self::Embedded(server) => server.kubeconfig(user, namespace).unwrap_or_default(),
            Self::Real(cluster) => cluster.kubeconfig(user, namespace),
        }
    }
}

/// A client of the cluster a kubeconfig describes.
pub async fn client(kubeconfig: &str) -> Result<Client, ClusterError> {
    let failed = |error: &dyn std::fmt::Display| ClusterError::Client(error.to_string());
    let parsed = Kubeconfig::from_yaml(kubeconfig).map_err(|error| failed(&error))?;
    let config = Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(|error| failed(&error))?).map_err(|error| failed(&error))
}

fn secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
