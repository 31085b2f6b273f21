//! From the configuration to an open database.

use std::sync::Arc;

use crate::{
    config::{Config, SecretError, SecretUrl},
    store::{self, SchemaState, Store, StoreError, StoreOptions},
};

/// Which database the configuration names, with its secrets read.
///
/// # Errors
/// When a secret cannot be read.
pub fn options(config: &Config) -> Result<StoreOptions, SecretError> {
    let database = &config.database;
    Ok(StoreOptions {
        url: database.url.reveal()?,
        migration_url: database.migration_url.as_ref().map(SecretUrl::reveal).transpose()?,
        read_replicas: database
            .read_replicas
            .iter()
            .map(SecretUrl::reveal)
            .collect::<Result<_, _>>()?,
        replica_max_lag: database.replica_max_lag,
        connection_lifetime: database.connection_lifetime,
        max_connections: database.max_connections as usize,
        connect_timeout: database.connect_timeout,
        statement_timeout: database.statement_timeout,
        lock_timeout: config.migrate.lock_timeout,
    })
}

/// Opens a database whose schema is the one that this program expects.
///
/// # Errors
/// When it cannot be reached, or has another schema; the message names the remedy.
pub async fn open(options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    let store = store::open(options).await?;
    match store.schema_state().await? {
        SchemaState::Current => Ok(store),
        state => Err(StoreError::Failed { target: store.describe(), reason: state.to_string() }),
    }
}
