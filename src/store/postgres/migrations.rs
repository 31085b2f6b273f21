//! Migrating a PostgreSQL database, one run at a time.

use std::time::Duration;

use refinery::{Runner, SchemaVersion, Target};
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::{Client, types::Type};

use super::{
    PostgresUrl, connect_options,
    error::{Trouble, explain_connect},
    tls,
};
use crate::store::{
    StoreError, StoreOptions,
    migrate::Migrator,
    schema::{self, APPLIED, Applied},
};

/// The advisory lock's number: `figw` as ASCII.
const LOCK: i64 = 0x6669_6777;

/// What ran on this database; nothing when it has never been migrated.
pub(super) async fn applied(client: &Client) -> Result<Vec<Applied>, Trouble> {
    let known = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    if !client.query_typed_one(known, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(Vec::new());
    }
    let rows = client.query_typed(APPLIED, &[]).await?;
    let applied = rows.iter().map(|row| {
        Ok(Applied { version: row.try_get(0)?, name: row.try_get(1)?, checksum: row.try_get(2)? })
    });
    applied.collect()
}

/// A PostgreSQL database being migrated, on one connection of its own.
#[derive(Debug)]
pub(in crate::store) struct PostgresMigrator {
    target: String,
    client: Client,
    connection: JoinHandle<()>,
    patience: Duration,
}

impl Drop for PostgresMigrator {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl PostgresMigrator {
    pub(in crate::store) async fn open(
        url: &PostgresUrl,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let target = url.describe();
        let connector = tls::connector(&url.trust)
            .map_err(|reason| StoreError::Failed { target: target.clone(), reason })?;
        let mut config = connect_options(url, options);
        // A migration may take its time: only keepalives watch this connection.
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
        Ok(Self { target, client, connection, patience: options.statement_timeout })
    }

    async fn flag(&self, query: &str) -> Result<bool, StoreError> {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 1] =
            [(&LOCK, Type::INT8)];
        let answer = self.client.query_typed_one(query, &parameters);
        let row = timeout(self.patience, answer)
            .await
            .map_err(|_| self.out_of_time())?
            .map_err(|e| Trouble::from(e).explain(&self.target))?;
        row.try_get(0).map_err(|e| Trouble::from(e).explain(&self.target))
    }

    fn out_of_time(&self) -> StoreError {
        StoreError::Unavailable {
            target: self.target.clone(),
            reason: format!("no answer within {:?}", self.patience),
        }
    }
}

#[async_trait::async_trait]
impl Migrator for PostgresMigrator {
    fn runner(&self) -> Runner {
        schema::postgres()
    }

    fn target(&self) -> &str {
        &self.target
    }

    async fn try_lock(&mut self) -> Result<bool, StoreError> {
        self.flag("SELECT pg_try_advisory_lock($1)").await
    }

    async fn unlock(&mut self) -> Result<(), StoreError> {
        if self.flag("SELECT pg_advisory_unlock($1)").await? {
            return Ok(());
        }
        Err(StoreError::Failed {
            target: self.target.clone(),
            reason: "the migrations' lock was on another session: this address is a pooler; set \
                     database.migration_url to the server itself"
                .to_owned(),
        })
    }

    async fn applied(&mut self) -> Result<Vec<Applied>, StoreError> {
        let applied = timeout(self.patience, applied(&self.client)).await;
        applied.map_err(|_| self.out_of_time())?.map_err(|trouble| trouble.explain(&self.target))
    }

    async fn run_to(&mut self, version: SchemaVersion) -> Result<(), StoreError> {
        let runner = schema::postgres().set_target(Target::Version(version));
        runner.run_async(&mut self.client).await.map(drop).map_err(|e| StoreError::Failed {
            target: self.target.clone(),
            reason: schema::explain(&e),
        })
    }
}
