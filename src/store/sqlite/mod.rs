//! SQLite: one thread writes, a few read, and none of them belongs to the async runtime.

mod batches;
mod catalog;
mod connection;
mod keys;
pub(super) mod migrations;
mod reports;
mod rows;
mod select;
mod tasks;
mod threads;
mod upkeep;

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::time::timeout;
use uuid::Uuid;

use self::threads::Workers;
use super::{
    CatalogData, CatalogEdit, RowBatch, SchemaState, Store, StoreError, StoreOptions,
    record::Unfit, schema,
};
use crate::domain::ApiKey;

/// The store in an SQLite file.
#[derive(Debug)]
pub(super) struct Sqlite {
    target: Arc<str>,
    writer: Workers,
    readers: Workers,
    patience: Duration,
}

/// The newest migration that the file has seen, such as `V4__tasks`; none when figw has never
/// migrated it.
///
/// # Errors
/// What SQLite said, on one line.
pub fn newest_migration(connection: &Connection) -> Result<Option<String>, String> {
    let applied = migrations::applied(connection).map_err(|error| error.to_string())?;
    Ok(applied.last().map(schema::Applied::label))
}

/// What can go wrong inside a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Refused(#[from] StoreError),
}

impl Trouble {
    /// As the store's callers see it.
    pub(super) fn explain(self, target: &str) -> StoreError {
        let target = target.to_owned();
        match self {
            Self::Refused(error) => error,
            Self::Unfit(error) => StoreError::Unfit { target, reason: error.to_string() },
            Self::Sqlite(error) if may_pass(&error) => {
                StoreError::Unavailable { target, reason: error.to_string() }
            }
            Self::Sqlite(error) if is_unfit(&error) => {
                StoreError::Unfit { target, reason: error.to_string() }
            }
            Self::Sqlite(error) => StoreError::Failed { target, reason: error.to_string() },
        }
    }
}

/// Whether the values are at fault: a missing table is not theirs.
fn is_unfit(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    matches!(error.sqlite_error_code(), Some(ConstraintViolation | TooBig | TypeMismatch))
}

/// Whether waiting (for a lock, for somebody to free the disk) can help.
fn may_pass(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::ReadOnly
        )
    )
}

impl Sqlite {
    pub(super) async fn open(path: PathBuf, options: &StoreOptions) -> Result<Self, StoreError> {
        let target: Arc<str> = connection::describe(&path).into();
        let patience = options.statement_timeout;
        let readers = options.max_connections.clamp(1, 8);
        let connections = connection::blocking(&target, move || {
            connection::check_it_is_there(&path)?;
            let writer = connection::open_to_write(&path, patience)?;
            let readers = (0..readers)
                .map(|_| connection::open_to_read(&path, patience))
                .collect::<Result<Vec<_>, _>>()?;
            Ok((writer, readers))
        });
        let (writer, readers) = connections.await?;
        let threads = |name, connections| {
            Workers::start(name, connections).map_err(|e| StoreError::Failed {
                target: target.to_string(),
                reason: format!("cannot start a thread: {e}"),
            })
        };
        Ok(Self {
            writer: threads("sqlite-writer", vec![writer])?,
            readers: threads("sqlite-reader", readers)?,
            target,
            patience,
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(&self.readers, job).await
    }

    /// Runs the job in a transaction of its own; an error rolls it back.
    async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let in_transaction = move |connection: &mut Connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let result = job(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        self.run(&self.writer, in_transaction).await
    }

    async fn run<T: Send + 'static>(
        &self,
        workers: &Workers,
        job: impl FnOnce(&mut Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        match timeout(self.patience, workers.run(job)).await {
            Ok(Some(result)) => result.map_err(|trouble| trouble.explain(&self.target)),
            Ok(None) => Err(StoreError::Failed {
                target: self.target.to_string(),
                reason: "its thread has ended; restart figw".to_owned(),
            }),
            Err(_) => Err(StoreError::Unavailable {
                target: self.target.to_string(),
                reason: format!("no answer within {:?}", self.patience),
            }),
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    fn describe(&self) -> String {
        self.target.to_string()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?)
        })
        .await
    }

    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let applied = self.read(|connection| migrations::applied(connection)).await?;
        Ok(schema::state(&schema::sqlite(), &applied))
    }

    async fn catalog_version(&self) -> Result<i64, StoreError> {
        self.read(|connection| catalog::version(connection)).await
    }

    async fn catalog(&self) -> Result<CatalogData, StoreError> {
        self.read(|connection| {
            let transaction = connection.transaction()?;
            catalog::read(&transaction)
        })
        .await
    }

    async fn edit_catalog(&self, base: i64, edits: &[CatalogEdit]) -> Result<i64, StoreError> {
        let edits = edits.to_vec();
        self.write(move |transaction| catalog::edit(transaction, base, &edits)).await
    }

    async fn create_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let key = key.clone();
        self.write(move |transaction| keys::create(transaction, &key)).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        self.read(|connection| keys::read(connection, keys::ALL)).await
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        self.write(move |transaction| keys::revoke(transaction, id, at)).await
    }

    async fn write_rows(&self, rows: Arc<RowBatch>) -> Result<Option<u32>, StoreError> {
        self.write(move |transaction| rows::write(transaction, &rows)).await.map(|()| None)
    }
}
