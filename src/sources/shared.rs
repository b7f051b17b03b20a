//! What sources tell each other: the way to the servers, what was counted, where the routes lead.

use std::sync::{Arc, Mutex, PoisonError};

use super::ledger::Ledger;
use crate::clients::reach::Reach;
use crate::clients::target::Targets;
use crate::data::census::Shelf;
use crate::domain::traffic::Route;
use crate::domain::{Kind, Trouble};

/// Shared by all sources of one program.
#[derive(Debug)]
pub struct Shared {
    /// What there is to look at.
    pub targets: Targets,
    /// The way there.
    pub reach: Arc<Reach>,
    /// T0 of each table.
    pub ledger: Ledger,
    /// What was counted.
    pub shelf: Shelf,
    routes: Mutex<Vec<Route>>,
}

impl Shared {
    /// For these targets.
    pub fn new(targets: Targets) -> Arc<Self> {
        let reach = Reach::new(targets.kube.clone());
        let ledger = Ledger::open(targets.state_file.clone());
        let shelf = Shelf::open(targets.state_file.as_deref());
        Arc::new(Self { targets, reach, ledger, shelf, routes: Mutex::new(Vec::new()) })
    }

    /// The newest routes that were read.
    pub fn routes(&self) -> Vec<Route> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the routes.
    pub fn set_routes(&self, routes: &[Route]) {
        *self.routes.lock().unwrap_or_else(PoisonError::into_inner) = routes.to_vec();
    }
}

/// The failure of a source whose subject is not in the configuration.
pub fn absent(object: &str, section: &str) -> Trouble {
    Trouble::new(Kind::NotConfigured, object, "not configured")
        .remedy(format!("set [{section}] in cutover.toml"))
}

/// A client that is built when it is needed and forgotten when the way to it broke.
#[derive(Debug)]
pub struct Link<T>(Option<T>);

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Clone> Link<T> {
    /// The client, built now if there is none.
    pub async fn get(&mut self, build: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        if let Some(client) = &self.0 {
            return Ok(client.clone());
        }
        let client = build.await?;
        self.0 = Some(client.clone());
        Ok(client)
    }

    /// Passes an answer on, and forgets the client when the answer says that the way to it broke.
    pub fn judge<R>(&mut self, answer: Result<R, Trouble>) -> Result<R, Trouble> {
        if let Err(trouble) = &answer
            && matches!(
                trouble.kind,
                Kind::Timeout | Kind::Unreachable | Kind::Tls | Kind::Unauthorized | Kind::Unexpected
            )
        {
            self.0 = None;
        }
        answer
    }
}
