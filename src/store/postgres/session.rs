//! One connection of a command's own, outside any pool.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::Client;

use super::{PostgresUrl, connect_options, error::explain_connect, migrations, tls};
use crate::store::{StoreError, StoreOptions, schema::Applied};

/// A session with a PostgreSQL server; it ends with this value.
#[derive(Debug)]
pub struct Session {
    /// The session itself.
    pub client: Client,
    connection: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Session {
    /// Connects. What runs in the session may take its time: only keepalives watch it.
    ///
    /// # Errors
    /// When no connection can be had within the options' `connect_timeout`.
    pub async fn open(url: &PostgresUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let target = url.describe();
        let connector = tls::connector(&url.trust)
            .map_err(|reason| StoreError::Failed { target: target.clone(), reason })?;
        let mut config = connect_options(url, options);
        config.tcp_user_timeout(Duration::ZERO);
        let connected = timeout(options.connect_timeout, config.connect(connector)).await;
        let (client, connection) = connected
            .map_err(|_| StoreError::Unavailable {
                target: target.clone(),
                reason: format!("no connection within {:?}", options.connect_timeout),
            })?
            .map_err(|error| explain_connect(&error, &target))?;
        let connection = tokio::spawn(async move {
            // Whoever uses the client sees the error as well.
            let _ = connection.await;
        });
        Ok(Self { client, connection })
    }

    /// The newest migration that the database has seen, such as `V4__tasks`; none when figw has
    /// never migrated it.
    ///
    /// # Errors
    /// What the database said, on one line.
    pub async fn newest_migration(&self) -> Result<Option<String>, String> {
        let applied = migrations::applied(&self.client).await.map_err(|error| error.to_string())?;
        Ok(applied.last().map(Applied::label))
    }
}

/// An error on one line, for messages.
#[must_use]
pub fn explain(error: &tokio_postgres::Error) -> String {
    super::error::one_line(error)
}
