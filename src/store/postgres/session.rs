//! One connection of a command's own, outside any pool.

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{PostgresUrl, connect::Way, migrations};
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
        let (client, connection) = Way::new(url, options)?.for_long_silence().connect().await?;
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
