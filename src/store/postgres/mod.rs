//! PostgreSQL, directly or through PgBouncer in transaction mode.
//!
//! A pooler may give every transaction another server connection, so nothing here outlives its
//! transaction: no named statements (`query_typed` sends an unnamed one), no session settings.

mod batches;
mod catalog;
mod error;
mod keys;
pub(super) mod migrations;
mod rows;
mod session;
mod tasks;
mod tls;
mod url;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use jiff::Timestamp;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::Client;
use uuid::Uuid;

use self::error::{Trouble, explain_pool};
pub use self::{
    migrations::LOCK as MIGRATION_LOCK,
    session::{Session, explain},
    url::PostgresUrl,
};
use super::{
    CatalogData, CatalogEdit, RowBatch, SchemaState, Store, StoreError, StoreOptions, schema,
};
use crate::domain::ApiKey;

/// The store in a PostgreSQL database.
#[derive(Debug)]
pub(super) struct Postgres {
    target: String,
    pool: Pool,
    patience: Duration,
}

impl Postgres {
    pub(super) fn open(url: &PostgresUrl, options: &StoreOptions) -> Result<Self, StoreError> {
        let target = url.describe();
        let failed = |reason| StoreError::Failed { target: target.clone(), reason };
        let manager = Manager::from_config(
            connect_options(url, options),
            tls::connector(&url.trust).map_err(&failed)?,
            // `Fast` sends nothing: there is no session state to clean up.
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(options.max_connections.max(1))
            .wait_timeout(Some(options.connect_timeout))
            .create_timeout(Some(options.connect_timeout))
            .recycle_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { target, pool, patience: options.statement_timeout })
    }

    async fn connection(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| explain_pool(error, &self.target))
    }

    /// Gives the connection back, unless the answer to an old question may still come on it.
    fn settle<T>(
        &self,
        connection: Object,
        outcome: Result<Result<T, Trouble>, Elapsed>,
    ) -> Result<T, StoreError> {
        if let Ok(result) = outcome {
            return result.map_err(|trouble| trouble.explain(&self.target));
        }
        drop(Object::take(connection));
        Err(StoreError::Unavailable {
            target: self.target.clone(),
            reason: format!("no answer within {:?}", self.patience),
        })
    }
}

fn connect_options(url: &PostgresUrl, options: &StoreOptions) -> tokio_postgres::Config {
    let mut config = url.config.clone();
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.connect_timeout);
    }
    // A server that vanished without a word is noticed by the kernel, too.
    config.keepalives_idle(Duration::from_mins(1));
    config.tcp_user_timeout(options.statement_timeout);
    config
}

/// Runs an operation on a pooled connection, for at most the statement time-out.
macro_rules! run {
    ($store:ident, $client:ident => $operation:expr) => {{
        let mut connection = $store.connection().await?;
        let $client: &mut Client = &mut connection;
        let outcome = timeout($store.patience, $operation).await;
        $store.settle(connection, outcome)
    }};
}
use run;

#[async_trait]
impl Store for Postgres {
    fn describe(&self) -> String {
        self.target.clone()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        run!(self, c => async { Ok(c.simple_query("").await.map(drop)?) })
    }

    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let applied = run!(self, c => migrations::applied(c))?;
        Ok(schema::state(&schema::postgres(), &applied))
    }

    async fn catalog_version(&self) -> Result<i64, StoreError> {
        run!(self, c => catalog::version(c))
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

    async fn write_rows(&self, rows: Arc<RowBatch>) -> Result<(), StoreError> {
        run!(self, c => rows::write(c, &rows))
    }
}
