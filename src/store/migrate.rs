//! Bringing a database to this program's schema.

use std::{
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use refinery::{Runner, SchemaVersion};

use super::{
    SchemaState, StoreError, StoreOptions,
    options::Location,
    postgres::migrations::PostgresMigrator,
    schema::{self, Applied},
    sqlite::migrations::{self as sqlite, SqliteMigrator},
};

/// What [`apply`] is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress<'a> {
    /// Another run holds the lock; said once.
    Waiting {
        /// The database.
        target: &'a str,
        /// For how long it will wait.
        at_most: Duration,
    },
    /// A migration begins.
    Starting {
        /// Its name.
        migration: &'a str,
        /// How many of this run are done.
        done: usize,
        /// How many this run has to do.
        total: usize,
    },
    /// A migration is done.
    Finished {
        /// Its name.
        migration: &'a str,
        /// How long it took.
        took: Duration,
    },
}

/// Why a database was not migrated.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Another run holds the lock.
    #[error(
        "another migration of {target} is running; it did not finish within {}",
        humantime::format_duration(*.waited)
    )]
    Locked {
        /// The database.
        target: String,
        /// For how long this run waited.
        waited: Duration,
    },
    /// The schema is not one that this program can migrate.
    #[error("{target}: {state}")]
    Unsuitable {
        /// The database.
        target: String,
        /// Where its schema stands.
        state: SchemaState,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl fmt::Display for SchemaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("the schema is as this figw expects it"),
            Self::Behind { pending } => {
                write!(f, "the schema lacks {}; run `figw migrate`", pending.join(", "))
            }
            Self::Ahead { newest } => write!(
                f,
                "the schema was migrated by a newer figw (up to {newest}); run that release, or \
                 restore a backup made before it"
            ),
            Self::Diverged { migration } => write!(
                f,
                "migration {migration} differs from this figw's; the database was made by another \
                 build: run that one, or restore a backup"
            ),
        }
    }
}

/// A database that can be migrated, whichever it is.
#[async_trait]
pub(super) trait Migrator: Send {
    fn runner(&self) -> Runner;
    fn target(&self) -> &str;
    async fn try_lock(&mut self) -> Result<bool, StoreError>;
    async fn unlock(&mut self) -> Result<(), StoreError>;
    async fn applied(&mut self) -> Result<Vec<Applied>, StoreError>;
    /// Applies everything up to this version; each migration in a transaction of its own.
    async fn run_to(&mut self, version: SchemaVersion) -> Result<(), StoreError>;
}

/// Where the schema stands. Changes nothing, not even creating an SQLite file.
///
/// # Errors
/// When the database cannot be read.
pub async fn plan(options: &StoreOptions) -> Result<SchemaState, StoreError> {
    match options.migration_location()? {
        Location::Sqlite(path) => sqlite::state(path, options.statement_timeout).await,
        Location::Postgres(url) => {
            let applied = PostgresMigrator::open(&url, options).await?.applied().await?;
            Ok(schema::state(&schema::postgres(), &applied))
        }
    }
}

/// Applies what is pending, and returns its names. Waits at most `lock_wait` for another run.
///
/// # Errors
/// [`MigrateError::Locked`] when the other run took longer; [`MigrateError::Unsuitable`] when the
/// schema is newer than this program or differs from it; otherwise what the database said. Of a
/// migration that fails nothing remains; those before it stay.
pub async fn apply(
    options: &StoreOptions,
    lock_wait: Duration,
    report: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Vec<String>, MigrateError> {
    let mut migrator: Box<dyn Migrator> = match options.migration_location()? {
        Location::Sqlite(path) => {
            Box::new(SqliteMigrator::open(path, options.statement_timeout).await?)
        }
        Location::Postgres(url) => Box::new(PostgresMigrator::open(&url, options).await?),
    };
    lock(migrator.as_mut(), lock_wait, report).await?;
    let result = apply_pending(migrator.as_mut(), report).await;
    let unlocked = migrator.unlock().await;
    let applied = result?;
    unlocked?;
    Ok(applied)
}

/// Polls: waiting inside the database would hold a snapshot, and `CREATE INDEX CONCURRENTLY` waits
/// for all snapshots.
async fn lock(
    migrator: &mut dyn Migrator,
    at_most: Duration,
    report: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<(), MigrateError> {
    const LONGEST_PAUSE: Duration = Duration::from_secs(2);
    let since = Instant::now();
    let mut pause = Duration::from_millis(50);
    while !migrator.try_lock().await? {
        if pause == Duration::from_millis(50) {
            report(Progress::Waiting { target: migrator.target(), at_most });
        }
        let left = at_most.saturating_sub(since.elapsed());
        if left.is_zero() {
            let target = migrator.target().to_owned();
            return Err(MigrateError::Locked { target, waited: at_most });
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(())
}

async fn apply_pending(
    migrator: &mut dyn Migrator,
    report: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Vec<String>, MigrateError> {
    let runner = migrator.runner();
    let pending = match schema::state(&runner, &migrator.applied().await?) {
        SchemaState::Current => return Ok(Vec::new()),
        SchemaState::Behind { pending } => pending,
        state => {
            return Err(MigrateError::Unsuitable { target: migrator.target().to_owned(), state });
        }
    };
    for (done, name) in pending.iter().enumerate() {
        let known = runner.get_migrations().iter().find(|m| schema::label(m) == *name);
        let Some(migration) = known else { continue };
        report(Progress::Starting { migration: name, done, total: pending.len() });
        let since = Instant::now();
        migrator.run_to(migration.version()).await?;
        report(Progress::Finished { migration: name, took: since.elapsed() });
    }
    Ok(pending)
}
