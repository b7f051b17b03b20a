//! Why a rehearsal does not start: the part it was, in that part's own words.

use std::path::PathBuf;

use super::PATIENCE;
use crate::rehearsal::cluster::ClusterError;
use crate::rehearsal::gateway::GatewayError;
use crate::rehearsal::langfuse::LangfuseError;
use crate::rehearsal::scenario::ScenarioError;
use crate::rehearsal::stage::StageError;
use crate::rehearsal::stores::StoreError;

/// Why a rehearsal did not start.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// The scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The directory or a program.
    #[error(transparent)]
    Stage(Box<StageError>),
    /// A store or the history.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// The API server.
    #[error(transparent)]
    Cluster(Box<ClusterError>),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// Langfuse v2.
    #[error("Langfuse v2 did not start: {0}")]
    Langfuse(#[from] LangfuseError),
    /// An object of the cluster.
    #[error("the rehearsal's objects could not be written to the API server: {0}")]
    Kube(Box<::kube::Error>),
    /// A file of the directory, or a socket.
    #[error("{}: {source}; is the disk full, or the path longer than 90 characters?", path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A Deployment that never became ready.
    #[error("{name} was not ready within {} s; its last words: {words}", PATIENCE.as_secs())]
    NotReady {
        /// The Deployment.
        name: &'static str,
        /// The end of its log.
        words: String,
    },
    /// An address that is none.
    #[error("the address of {0} could not be read")]
    Address(&'static str),
}

impl RehearsalError {
    /// Whether the command line is what has to change.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Scenario(_) => true,
            Self::Stage(why) => matches!(**why, StageError::Busy { .. } | StageError::NotEmpty { .. }),
            _ => false,
        }
    }
}

impl From<StageError> for RehearsalError {
    fn from(error: StageError) -> Self {
        Self::Stage(Box::new(error))
    }
}

impl From<StoreError> for RehearsalError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

impl From<ClusterError> for RehearsalError {
    fn from(error: ClusterError) -> Self {
        Self::Cluster(Box::new(error))
    }
}

impl From<::kube::Error> for RehearsalError {
    fn from(error: ::kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}
