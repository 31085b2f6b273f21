//! What is kept: one trait in the domain's verbs, with SQLite and PostgreSQL behind it.

mod batches;
mod edit;
mod figures;
pub mod locks;
pub mod migrate;
mod options;
mod postgres;
mod reader;
mod record;
mod replicas;
mod reports;
mod schema;
mod select;
mod spool;
mod sqlite;
mod tasks;
pub mod upkeep;
pub mod writer;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::{AccessRow, ApiKey, Cluster, Endpoint, Federation, PromptRow, UsageRow};

pub use batches::{Admission, BatchStore, LONGEST_LIST, MOST_CLAIMED};
pub use figures::{Answer, BatchFilter, FiguresError, MOST_SAMPLES};
pub use options::{Location, StoreOptions};
pub use postgres::{MIGRATION_LOCK, PostgresUrl, Session, explain};
pub use reader::{ReadStore, Reader};
pub use replicas::{Condition, Position};
pub use reports::ReportStore;
pub use schema::{is_newer, is_older};
pub use select::{Row, Select, Selected};
pub use sqlite::newest_migration;
pub use tasks::TaskStore;
pub use upkeep::{Aging, Deleted, Retention, Span, Upkeep, UpkeepStore};
pub use writer::{RowWriter, WriterOptions, WriterState};

/// What metrics call the database that takes the writes.
const PRIMARY: &str = "primary";

/// Opens the database that the URL's scheme names. PostgreSQL is not connected to before it is
/// needed; an SQLite file is created (mode 0600) when it is missing.
///
/// # Errors
/// [`StoreError::Invalid`] when the URL makes no sense, [`StoreError::Failed`] when the SQLite file
/// cannot be opened.
pub async fn open(options: &StoreOptions) -> Result<Arc<dyn Store>, StoreError> {
    open_location(options.location()?, options).await
}

/// Opens this database as the options have it, whatever their URLs are.
///
/// # Errors
/// As [`open`].
pub async fn open_location(
    location: Location,
    options: &StoreOptions,
) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match location {
        Location::Sqlite(path) => Arc::new(sqlite::Sqlite::open(path, options).await?),
        Location::Postgres(url) => Arc::new(postgres::Postgres::open(&url, options, PRIMARY)?),
    })
}

/// Everything of the catalogue and every key that is not revoked, as of one moment.
#[derive(Debug, Clone, Default)]
pub struct CatalogData {
    /// Grows with every change; what instances poll.
    pub version: i64,
    /// By name.
    pub clusters: Vec<Cluster>,
    /// By slug.
    pub endpoints: Vec<Endpoint>,
    /// By model.
    pub federations: Vec<Federation>,
    /// By creation; without revoked ones.
    pub keys: Vec<ApiKey>,
}

/// One change to the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub enum CatalogEdit {
    /// Creates or replaces the cluster of that name.
    PutCluster(Cluster),
    /// Creates or replaces the endpoint with that slug.
    PutEndpoint(Endpoint),
    /// Creates or replaces the federation of that model.
    PutFederation(Federation),
    /// Removes the cluster of that name.
    RemoveCluster(String),
    /// Removes the endpoint with that slug.
    RemoveEndpoint(String),
    /// Removes the federation of that model.
    RemoveFederation(String),
}

/// Rows to be written together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowBatch {
    /// Inference requests.
    pub usage: Vec<UsageRow>,
    /// Other requests.
    pub access: Vec<AccessRow>,
    /// What was asked and answered in some of the inference requests.
    pub prompts: Vec<PromptRow>,
}

impl RowBatch {
    /// How many rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.usage.len() + self.access.len() + self.prompts.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.usage.is_empty() && self.access.is_empty() && self.prompts.is_empty()
    }

    /// The last use of every key in these rows.
    fn last_uses(&self) -> BTreeMap<Uuid, Timestamp> {
        let usage = self.usage.iter().filter_map(|row| Some((row.key_id?, row.started_at)));
        let access = self.access.iter().filter_map(|row| Some((row.key_id?, row.started_at)));
        let mut latest = BTreeMap::new();
        for (key, at) in usage.chain(access) {
            let last = latest.entry(key).or_insert(at);
            *last = at.max(*last);
        }
        latest
    }
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer in time; trying again may help.
    #[error("database {target} is unavailable: {reason}")]
    Unavailable {
        /// The database, without its password.
        target: String,
        /// What was seen.
        reason: String,
    },
    /// The request clashes with what is stored (a name that is taken, a catalogue changed meanwhile).
    #[error("{0}")]
    Conflict(String),
    /// The database's URL or another setting makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// What was to be written is at fault: no database of this schema would take it.
    #[error("database {target}: {reason}")]
    Unfit {
        /// The database, without its password.
        target: String,
        /// What was seen.
        reason: String,
    },
    /// Anything else.
    #[error("database {target}: {reason}")]
    Failed {
        /// The database, without its password.
        target: String,
        /// What was seen.
        reason: String,
    },
}

/// Where the database's schema stands against this program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// As this program expects it.
    Current,
    /// Migrations are missing; an empty database misses all.
    Behind {
        /// Names of the migrations to run, in their order.
        pending: Vec<String>,
    },
    /// A newer program has migrated it.
    Ahead {
        /// The newest migration found there.
        newest: String,
    },
    /// A migration that ran differs from the one this program carries.
    Diverged {
        /// Its name.
        migration: String,
    },
}

/// The database, in the verbs that figw needs.
#[async_trait]
pub trait Store:
    BatchStore + TaskStore + ReadStore + UpkeepStore + Send + Sync + std::fmt::Debug
{
    /// What this store is, for messages: its URL without the password.
    fn describe(&self) -> String;

    /// Asks the database for a sign of life.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Where the schema stands. Never changes anything.
    async fn schema_state(&self) -> Result<SchemaState, StoreError>;

    /// How far the server is, where the database can have replicas.
    async fn position(&self) -> Result<Option<Position>, StoreError> {
        Ok(None)
    }

    /// The catalogue's version, as cheaply as can be. Of a server that takes no writes it is no
    /// answer.
    async fn catalog_version(&self) -> Result<i64, StoreError>;

    /// The whole catalogue with the usable keys, read in one transaction.
    async fn catalog(&self) -> Result<CatalogData, StoreError>;

    /// Applies all edits or none, if the catalogue is still at `base`, and returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when somebody changed the catalogue since `base`.
    async fn edit_catalog(&self, base: i64, edits: &[CatalogEdit]) -> Result<i64, StoreError>;

    /// Keeps a new key.
    async fn create_key(&self, key: &ApiKey) -> Result<(), StoreError>;

    /// Every key, revoked and expired ones too, by creation.
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError>;

    /// Revokes a key. Returns `false` when there is no such key; revoking twice is no error.
    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError>;

    /// Writes rows; those that are there already are left as they are. Also moves the last use of
    /// the keys in them forward. Returns the server's timeline, which every promotion of a replica
    /// changes; none where there are no replicas.
    async fn write_rows(&self, rows: Arc<RowBatch>) -> Result<Option<u32>, StoreError>;
}
