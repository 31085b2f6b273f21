//! PostgreSQL, directly or through PgBouncer in transaction mode.
//!
//! A pooler may give every transaction another server connection, so nothing here outlives its
//! transaction: no named statements (`query_typed` sends an unnamed one), no session settings.

mod batches;
mod catalog;
mod connect;
mod error;
mod keys;
pub(super) mod migrations;
mod pool;
mod position;
mod reports;
mod rows;
mod select;
mod session;
mod tasks;
mod tls;
mod upkeep;
mod url;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::Client;
use uuid::Uuid;

use self::{error::Trouble, pool::Connections};
pub use self::{
    migrations::LOCK as MIGRATION_LOCK,
    session::{Session, explain},
    url::PostgresUrl,
};
use super::{
    CatalogData, CatalogEdit, Position, RowBatch, SchemaState, Store, StoreError, StoreOptions,
    schema,
};
use crate::domain::ApiKey;

/// The store in a PostgreSQL database.
#[derive(Debug)]
pub(super) struct Postgres {
    connections: Connections,
    patience: Duration,
}

impl Postgres {
    /// Connects to nobody yet. `name` is what metrics call the database.
    pub(super) fn open(
        url: &PostgresUrl,
        options: &StoreOptions,
        name: &str,
    ) -> Result<Self, StoreError> {
        let connections = Connections::new(url, options, name)?;
        Ok(Self { connections, patience: options.statement_timeout })
    }

    /// Closes the connections that nobody uses.
    pub(super) fn forget_connections(&self) {
        self.connections.forget_idle("unwell");
    }
}

/// How far the server of this session is, or what it says instead, on one line.
pub(super) async fn position(client: &Client) -> Result<Position, String> {
    position::read(client).await.map_err(|trouble| match trouble {
        Trouble::Postgres(error) => explain(&error),
        other => other.to_string(),
    })
}

/// Runs an operation on a pooled connection, for at most the statement time-out.
macro_rules! run {
    ($store:ident, $client:ident => $operation:expr) => {{
        let mut loan = $store.connections.lend().await?;
        let $client: &mut Client = loan.client();
        let outcome = timeout($store.patience, $operation).await;
        loan.settle(outcome)
    }};
}
use run;

#[async_trait]
impl Store for Postgres {
    fn describe(&self) -> String {
        self.connections.target().to_owned()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        run!(self, c => async { Ok(c.simple_query("").await.map(drop)?) })
    }

    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let applied = run!(self, c => migrations::applied(c))?;
        Ok(schema::state(&schema::postgres(), &applied))
    }

    async fn catalog_version(&self) -> Result<i64, StoreError> {
        run!(self, c => catalog::current_version(c))
    }

    async fn position(&self) -> Result<Option<Position>, StoreError> {
        run!(self, c => position::read(c)).map(Some)
    }

    async fn catalog(&self) -> Result<CatalogData, StoreError> {
        run!(self, c => catalog::read(c))
    }

    async fn edit_catalog(&self, base: i64, edits: &[CatalogEdit]) -> Result<i64, StoreError> {
        run!(self, c => catalog::edit(c, base, edits))
    }

    async fn create_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        run!(self, c => keys::create(c, key))
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        run!(self, c => keys::read(c, keys::ALL))
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        run!(self, c => keys::revoke(c, id, at))
    }

    async fn write_rows(&self, rows: Arc<RowBatch>) -> Result<Option<u32>, StoreError> {
        run!(self, c => rows::write(c, &rows))
    }
}
