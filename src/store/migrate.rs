//! Bringing a database to this program's schema.

mod error;

use std::time::{Duration, Instant};

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use refinery::{Migration, SchemaVersion};
use serde::Serialize;

pub(super) use self::error::Refused;
pub use self::error::{FailedStep, MigrateError};
use super::{
    SchemaState, StoreError, StoreOptions,
    locks::{self, Dialect, Lock},
    options::Location,
    postgres::migrations::PostgresMigrator,
    schema::{self, Applied},
    sqlite::migrations::{self as sqlite, SqliteMigrator},
};

/// How often a lock is tried for again that could not be had within the time-out.
const RETRIES: usize = 4;

/// What a migration run is doing.
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
    /// A lock on a table could not be had; it will be tried again.
    Blocked {
        /// The migration.
        migration: &'a str,
        /// What it could not lock.
        what: &'a str,
        /// How long others now have the table to themselves.
        pause: Duration,
    },
    /// A migration is done.
    Finished {
        /// Its name.
        migration: &'a str,
        /// How long it took.
        took: Duration,
    },
}

/// Told what a run is doing.
pub type Report<'a> = &'a mut (dyn FnMut(Progress<'_>) + Send);

/// A database that can be migrated, whichever it is.
#[async_trait]
pub(super) trait Migrator: Send {
    fn target(&self) -> &str;
    async fn try_lock(&mut self) -> Result<bool, StoreError>;
    async fn unlock(&mut self) -> Result<(), StoreError>;
    async fn applied(&mut self) -> Result<Vec<Applied>, StoreError>;
    /// Applies one of these migrations, in a transaction of its own.
    async fn run(&mut self, all: &[Migration], step: &Step) -> Result<(), Refused>;
}

/// A migration that is pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub migration: String,
    /// The locks that it takes on tables that are in use.
    pub locks: Vec<Lock>,
    #[serde(skip)]
    pub(super) version: SchemaVersion,
}

/// Where a schema stands, and what would be done about it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where it stands.
    pub state: SchemaState,
    /// What is pending, in its order.
    pub steps: Vec<Step>,
    /// Whether figw has never migrated the database.
    pub is_new: bool,
}

/// Migrations other than those that this program carries, in their order.
#[derive(Debug, Clone)]
pub struct Migrations(Vec<Migration>);

impl Migrations {
    /// Names such as `V1__catalog`, each with its SQL.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a name has another form.
    pub fn new<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, StoreError> {
        let migrations = files.into_iter().map(|(name, sql)| Migration::unapplied(name, sql));
        let migrations: Vec<_> = migrations
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Invalid(error.to_string()))?;
        Ok(Self(schema::in_order(&migrations)))
    }
}

/// Where the schema stands. Changes nothing, not even creating an SQLite file.
///
/// # Errors
/// When the database cannot be read.
pub async fn plan(options: &StoreOptions) -> Result<SchemaState, StoreError> {
    Ok(plan_steps(options).await?.state)
}

/// As [`plan`], with the locks that each pending migration takes and how large the tables are.
///
/// # Errors
/// When the database cannot be read.
pub async fn plan_steps(options: &StoreOptions) -> Result<Plan, StoreError> {
    plan_others(None, options).await
}

/// As [`plan_steps`], for these migrations instead of this program's own when there are any.
///
/// # Errors
/// As [`plan_steps`].
pub async fn plan_others(
    migrations: Option<Migrations>,
    options: &StoreOptions,
) -> Result<Plan, StoreError> {
    match options.migration_location()? {
        Location::Sqlite(path) => {
            let applied = sqlite::seen(path, options.statement_timeout).await?;
            Ok(Plan::new(Dialect::Sqlite, &or_own(migrations, schema::sqlite), &applied))
        }
        Location::Postgres(url) => {
            let mut migrator = PostgresMigrator::open(&url, options).await?;
            let applied = migrator.applied().await?;
            let all = or_own(migrations, schema::postgres);
            let mut plan = Plan::new(Dialect::Postgres, &all, &applied);
            let locks = plan.steps.iter_mut().flat_map(|step| &mut step.locks);
            migrator.measure(locks).await?;
            Ok(plan)
        }
    }
}

fn or_own(others: Option<Migrations>, own: fn() -> Vec<Migration>) -> Vec<Migration> {
    others.map_or_else(own, |Migrations(others)| others)
}

impl Plan {
    fn new(dialect: Dialect, all: &[Migration], applied: &[Applied]) -> Self {
        let state = schema::state(all, applied);
        let is_new = applied.is_empty();
        if !matches!(state, SchemaState::Behind { .. }) {
            return Self { state, steps: Vec::new(), is_new };
        }
        let missing: Vec<_> = schema::missing(all, applied).collect();
        let before = all.iter().filter(|one| !missing.contains(one)).filter_map(Migration::sql);
        let locks = locks::estimate(dialect, before, missing.iter().filter_map(|one| one.sql()));
        let step = |(one, locks): (&&Migration, _)| Step {
            migration: schema::label(one),
            locks,
            version: one.version(),
        };
        Self { state, steps: missing.iter().zip(locks).map(step).collect(), is_new }
    }
}

/// Applies what is pending, and returns its names. Waits at most `lock_wait` for another run.
///
/// # Errors
/// As [`Run::begin`] and [`Run::finish`].
pub async fn apply(
    options: &StoreOptions,
    lock_wait: Duration,
    report: Report<'_>,
) -> Result<Vec<String>, MigrateError> {
    Run::begin(options, lock_wait, report).await?.finish(report).await
}

/// A run that holds the migrations' lock and knows what is pending. Dropping it changes nothing.
pub struct Run {
    migrator: Box<dyn Migrator>,
    all: Vec<Migration>,
    plan: Plan,
    /// The first pause after a lock could not be had.
    pause: Duration,
}

impl Run {
    /// Waits at most `lock_wait` for another run, and looks what is pending.
    ///
    /// # Errors
    /// [`MigrateError::Locked`] when the other run took longer; [`MigrateError::Unsuitable`] when
    /// the schema is newer than this program or differs from it; otherwise what the database said.
    pub async fn begin(
        options: &StoreOptions,
        lock_wait: Duration,
        report: Report<'_>,
    ) -> Result<Self, MigrateError> {
        Self::begin_others(None, options, lock_wait, report).await
    }

    /// As [`Run::begin`], with these migrations instead of this program's own when there are any.
    ///
    /// # Errors
    /// As [`Run::begin`].
    pub async fn begin_others(
        migrations: Option<Migrations>,
        options: &StoreOptions,
        lock_wait: Duration,
        report: Report<'_>,
    ) -> Result<Self, MigrateError> {
        let (dialect, own, mut migrator): (_, fn() -> _, Box<dyn Migrator>) =
            match options.migration_location()? {
                Location::Sqlite(path) => {
                    let migrator = SqliteMigrator::open(path, options.statement_timeout).await?;
                    (Dialect::Sqlite, schema::sqlite, Box::new(migrator))
                }
                Location::Postgres(url) => {
                    let migrator = PostgresMigrator::open(&url, options).await?;
                    (Dialect::Postgres, schema::postgres, Box::new(migrator))
                }
            };
        let all = or_own(migrations, own);
        lock(migrator.as_mut(), lock_wait, report).await?;
        let plan = Plan::new(dialect, &all, &migrator.applied().await?);
        match plan.state {
            SchemaState::Current | SchemaState::Behind { .. } => {
                Ok(Self { migrator, all, plan, pause: options.lock_timeout })
            }
            state => Err(MigrateError::Unsuitable { target: migrator.target().to_owned(), state }),
        }
    }

    /// What is pending.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Applies what is pending, and returns its names.
    ///
    /// # Errors
    /// [`MigrateError::Step`] when a migration fails. Nothing of it remains; those before it stay.
    pub async fn finish(mut self, report: Report<'_>) -> Result<Vec<String>, MigrateError> {
        let result = self.apply(report).await;
        let unlocked = self.migrator.unlock().await;
        let applied = result?;
        unlocked?;
        Ok(applied)
    }

    async fn apply(&mut self, report: Report<'_>) -> Result<Vec<String>, MigrateError> {
        let steps = std::mem::take(&mut self.plan.steps);
        let mut applied = Vec::new();
        for step in &steps {
            let migration = &step.migration;
            report(Progress::Starting { migration, done: applied.len(), total: steps.len() });
            let since = Instant::now();
            if let Err(refused) = self.run(step, report).await {
                return Err(self.explain(step, applied, refused).await);
            }
            report(Progress::Finished { migration, took: since.elapsed() });
            applied.push(migration.clone());
        }
        Ok(applied)
    }

    /// Runs a step. When it cannot lock a table, others get it for a while before the next attempt:
    /// whoever waits for a lock keeps away all that come after.
    async fn run(&mut self, step: &Step, report: Report<'_>) -> Result<(), Refused> {
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(self.pause)
            .with_max_delay(self.pause.max(Duration::from_secs(10)))
            .with_max_times(RETRIES)
            .build();
        loop {
            let result = self.migrator.run(&self.all, step).await;
            let (Err(Refused::Locked { what, .. }), Some(pause)) = (&result, pauses.next()) else {
                return result;
            };
            report(Progress::Blocked { migration: &step.migration, what, pause });
            tokio::time::sleep(pause).await;
        }
    }

    async fn explain(
        &mut self,
        step: &Step,
        applied: Vec<String>,
        refused: Refused,
    ) -> MigrateError {
        // A connection may break while a step is committed: only the database knows.
        let seen = self.migrator.applied().await;
        let is_undone = seen.is_ok_and(|seen| seen.iter().all(|seen| seen.version != step.version));
        MigrateError::Step(Box::new(FailedStep {
            target: self.migrator.target().to_owned(),
            migration: step.migration.clone(),
            reason: refused.to_string(),
            applied,
            is_undone,
        }))
    }
}

/// Polls: waiting inside the database would hold a snapshot, and `CREATE INDEX CONCURRENTLY` waits
/// for all snapshots.
async fn lock(
    migrator: &mut dyn Migrator,
    at_most: Duration,
    report: Report<'_>,
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

#[cfg(test)]
mod tests;
