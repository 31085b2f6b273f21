//! Migrating a PostgreSQL database, one run at a time.

use std::time::Duration;

use jiff::Timestamp;
use refinery::{Migration, Runner, Target};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::{
    Client, Error, Transaction,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    PostgresUrl, Session,
    error::{Trouble, one_line},
    tls,
    url::Trust,
};
use crate::store::{
    StoreError, StoreOptions,
    locks::{Lock, Subject},
    migrate::{Migrator, Refused, Step},
    schema::{self, APPLIED, Applied},
};

/// The advisory lock's number: `figw` as ASCII.
pub const LOCK: i64 = 0x6669_6777;

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
    session: Session,
    trust: Trust,
    patience: Duration,
    /// The longest wait for a lock, and the longest time that others may have to wait for ours.
    lock_timeout: Duration,
}

impl PostgresMigrator {
    pub(in crate::store) async fn open(
        url: &PostgresUrl,
        options: &StoreOptions,
    ) -> Result<Self, StoreError> {
        let session = Session::open(url, options).await?;
        Ok(Self {
            target: url.describe(),
            session,
            trust: url.trust.clone(),
            patience: options.statement_timeout,
            lock_timeout: options.lock_timeout,
        })
    }

    /// Notes how large the locked tables are.
    pub(in crate::store) async fn measure(
        &self,
        locks: impl Iterator<Item = &mut Lock>,
    ) -> Result<(), StoreError> {
        const SIZE: &str = "SELECT pg_total_relation_size(to_regclass($1))";
        for lock in locks {
            if let Subject::Table(table) = &lock.table {
                let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(table, Type::TEXT)];
                let size = self.session.client.query_typed_one(SIZE, &parameters);
                let size = self.in_time(async { size.await?.try_get::<_, Option<i64>>(0) }).await?;
                lock.bytes = size.and_then(|bytes| bytes.try_into().ok());
            }
        }
        Ok(())
    }

    async fn flag(&self, query: &str) -> Result<bool, StoreError> {
        let answer = self.session.client.query_typed_one(query, &[(&LOCK, Type::INT8)]);
        self.in_time(async { answer.await?.try_get(0) }).await
    }

    async fn in_time<T, E: Into<Trouble>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, StoreError> {
        let answer = timeout(self.patience, answer).await;
        let answer = answer.map_err(|_| StoreError::Unavailable {
            target: self.target.clone(),
            reason: format!("no answer within {:?}", self.patience),
        })?;
        answer.map_err(|error| error.into().explain(&self.target))
    }
}

#[async_trait::async_trait]
impl Migrator for PostgresMigrator {
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
        self.in_time(applied(&self.session.client)).await
    }

    async fn run(&mut self, all: &[Migration], step: &Step) -> Result<(), Refused> {
        let Some((migration, sql)) = all
            .iter()
            .find(|migration| migration.version() == step.version)
            .and_then(|migration| Some((migration, migration.sql()?)))
        else {
            return Err(Refused::Failed("this figw does not have it".to_owned()));
        };
        // Makes refinery's table and compares what ran; applies nothing.
        let history = Runner::new(all).set_target(Target::Version(0));
        let history = history.run_async(&mut self.session.client).await;
        history.map_err(|error| Refused::Failed(schema::explain(&error)))?;

        let limit = self.lock_timeout;
        let token = self.session.client.cancel_token();
        let connector = tls::connector(&self.trust).map_err(Refused::Failed)?;
        let transaction =
            self.session.client.transaction().await.map_err(|error| failed(&error))?;
        let until = lock_tables(&transaction, &step.locks, limit).await?;
        let work = work(transaction, migration, sql);
        let Some(until) = until else { return work.await.map_err(|error| refused(&error, limit)) };
        tokio::pin!(work);
        let result = if let Ok(result) = timeout_at(until, &mut work).await {
            result
        } else {
            // Should this fail, the server's own time-out ends the statement.
            if let Err(error) = token.cancel_query(connector).await {
                tracing::debug!("cannot cancel: {}", one_line(&error));
            }
            work.await
        };
        result.map_err(|error| match error.code() {
            Some(&SqlState::QUERY_CANCELED) => {
                Refused::Slow { what: all_of(&step.locks), timeout: limit }
            }
            _ => refused(&error, limit),
        })
    }
}

/// Locks what others use, in one order for all runs, before anything is done. Returns when they
/// must have it back: so long after the first of these locks.
async fn lock_tables(
    transaction: &Transaction<'_>,
    locks: &[Lock],
    limit: Duration,
) -> Result<Option<Instant>, Refused> {
    const EXISTS: &str = "SELECT to_regclass($1) IS NOT NULL";
    let mut until = None;
    for lock in locks.iter().filter(|lock| lock.blocks_somebody()) {
        if let Subject::Table(table) = &lock.table {
            let row = transaction.query_typed_one(EXISTS, &[(table, Type::TEXT)]).await;
            if !row.and_then(|row| row.try_get(0)).map_err(|error| failed(&error))? {
                continue;
            }
            let left = until.map_or(limit, |until: Instant| until.duration_since(Instant::now()));
            let statement = format!(
                "{}; LOCK TABLE {table} IN {} MODE",
                setting("lock_timeout", left),
                lock.mode
            );
            transaction.batch_execute(&statement).await.map_err(|error| {
                if could_not_lock(&error) {
                    Refused::Locked { what: describe(lock), timeout: limit }
                } else {
                    failed(&error)
                }
            })?;
        }
        until.get_or_insert_with(|| Instant::now() + limit);
    }
    // Whatever the server's own settings are, a step that is in nobody's way may take its time.
    let longest = if until.is_some() { limit } else { Duration::ZERO };
    let settings =
        [setting("lock_timeout", limit), setting("statement_timeout", longest)].join("; ");
    transaction.batch_execute(&settings).await.map_err(|error| failed(&error))?;
    Ok(until)
}

/// Runs the migration's SQL, and writes it down in refinery's table.
async fn work(transaction: Transaction<'_>, migration: &Migration, sql: &str) -> Result<(), Error> {
    const NOTE: &str = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
                        VALUES ($1, $2, $3, $4)";
    transaction.batch_execute(sql).await?;
    let (now, checksum) = (Timestamp::now().to_string(), migration.checksum().to_string());
    transaction
        .execute_typed(
            NOTE,
            &[
                (&migration.version(), Type::INT4),
                (&migration.name(), Type::TEXT),
                (&now, Type::TEXT),
                (&checksum, Type::TEXT),
            ],
        )
        .await?;
    transaction.commit().await
}

/// Sets something for the rest of the transaction; zero means no limit.
fn setting(name: &str, limit: Duration) -> String {
    let milliseconds = if limit.is_zero() && name == "statement_timeout" {
        0
    } else {
        limit.as_millis().clamp(1, 1 << 30)
    };
    format!("SET LOCAL {name} = {milliseconds}")
}

fn could_not_lock(error: &Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::LOCK_NOT_AVAILABLE) || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

fn refused(error: &Error, timeout: Duration) -> Refused {
    if could_not_lock(error) {
        let seen = one_line(error);
        return Refused::Locked { what: format!("what it needs ({seen})"), timeout };
    }
    Refused::Failed(one_line(error))
}

fn failed(error: &Error) -> Refused {
    Refused::Failed(one_line(error))
}

/// `table usage (ACCESS EXCLUSIVE)`.
fn describe(lock: &Lock) -> String {
    match &lock.table {
        Subject::Table(table) => format!("table {table} ({})", lock.mode),
        _ => format!("whatever it uses ({})", lock.mode),
    }
}

fn all_of(locks: &[Lock]) -> String {
    let blocking = locks.iter().filter(|lock| lock.blocks_somebody());
    blocking.map(describe).collect::<Vec<_>>().join(" and ")
}
