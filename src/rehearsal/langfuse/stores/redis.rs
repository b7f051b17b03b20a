//! Redis: one multiplexed connection that reconnects for commands, and dedicated ones for blocking reads.

use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Client};

use super::super::LangfuseError;
use super::super::settings::Secret;

/// How long a command may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Redis as one process sees it.
#[derive(Clone)]
pub(crate) struct Redis {
    client: Client,
    commands: ConnectionManager,
}

impl Redis {
    /// Prepares the connection; the first command opens it.
    pub(crate) fn open(url: &Secret) -> Result<Self, LangfuseError> {
        let client = Client::open(url.expose())?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(PATIENCE))
            .set_number_of_retries(1)
            .set_max_delay(Duration::from_secs(1));
        let commands = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { client, commands })
    }

    /// The connection for commands.
    pub(crate) fn commands(&self) -> ConnectionManager {
        self.commands.clone()
    }

    /// A connection of its own, named `name` in `CLIENT LIST`, whose reads may block without limit.
    pub(crate) async fn blocking(&self, name: &str) -> Result<MultiplexedConnection, LangfuseError> {
        let config =
            AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(Some(PATIENCE));
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let () = redis::cmd("CLIENT").arg("SETNAME").arg(name).query_async(&mut connection).await?;
        Ok(connection)
    }

    /// `PING` within 2 s, as the worker's health page does.
    pub(crate) async fn ping(&self) -> bool {
        let mut commands = self.commands();
        let ping = redis::cmd("PING");
        let answer = ping.query_async::<String>(&mut commands);
        matches!(tokio::time::timeout(Duration::from_secs(2), answer).await, Ok(Ok(_)))
    }
}
