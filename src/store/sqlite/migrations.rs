//! Migrating an SQLite file, one run at a time.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use refinery::{Migration, Runner, Target};
use rusqlite::Connection;

use super::{
    Trouble,
    catalog::all,
    connection::{self, blocking, describe},
};
use crate::store::{
    StoreError,
    migrate::{Migrator, Refused, Step},
    schema::{self, APPLIED, Applied},
};

/// What ran on this database; nothing when it has never been migrated.
pub(in crate::store) fn applied(connection: &Connection) -> Result<Vec<Applied>, Trouble> {
    let known: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history')",
        [],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(Vec::new());
    }
    all(connection, APPLIED, |row| {
        Ok(Applied { version: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? })
    })
}

/// What ran on the file, without creating it.
pub(in crate::store) async fn seen(
    path: PathBuf,
    patience: Duration,
) -> Result<Vec<Applied>, StoreError> {
    let target = describe(&path);
    let seen = blocking(&target, move || {
        if path.exists() {
            applied(&connection::open_to_read(&path, patience)?)
        } else {
            Ok(Vec::new())
        }
    });
    seen.await
}

/// An SQLite file being migrated.
#[derive(Debug)]
pub(in crate::store) struct SqliteMigrator {
    target: String,
    lock: File,
    connection: Option<Connection>,
}

impl SqliteMigrator {
    pub(in crate::store) async fn open(
        path: PathBuf,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let target = describe(&path);
        let opened = blocking(&target, move || {
            let connection = connection::open_to_write(&path, patience)?;
            Ok((connection, open_lock(&path)?))
        });
        let (connection, lock) = opened.await?;
        Ok(Self { target, lock, connection: Some(connection) })
    }

    /// Lends the connection to a thread that may block.
    async fn with_connection<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return Err(StoreError::Failed {
                target: self.target.clone(),
                reason: "an earlier step was interrupted".to_owned(),
            });
        };
        let lent = blocking(&self.target, move || {
            let result = work(&mut connection);
            Ok((connection, result))
        });
        let (connection, result) = lent.await?;
        self.connection = Some(connection);
        result.map_err(|trouble| trouble.explain(&self.target))
    }
}

#[async_trait::async_trait]
impl Migrator for SqliteMigrator {
    fn target(&self) -> &str {
        &self.target
    }

    async fn try_lock(&mut self) -> Result<bool, StoreError> {
        match self.lock.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(StoreError::Failed {
                target: self.target.clone(),
                reason: format!("cannot lock the file beside it: {e}"),
            }),
        }
    }

    async fn unlock(&mut self) -> Result<(), StoreError> {
        self.lock.unlock().map_err(|e| StoreError::Failed {
            target: self.target.clone(),
            reason: format!("cannot unlock the file beside it: {e}"),
        })
    }

    async fn applied(&mut self) -> Result<Vec<Applied>, StoreError> {
        self.with_connection(|connection| applied(connection)).await
    }

    async fn run(&mut self, all: &[Migration], step: &Step) -> Result<(), Refused> {
        let runner = Runner::new(all).set_target(Target::Version(step.version));
        let target = self.target.clone();
        let applied = self.with_connection(move |connection| {
            let applied = runner.run(connection).map(drop);
            applied.map_err(|e| StoreError::Failed { target, reason: schema::explain(&e) }.into())
        });
        Ok(applied.await?)
    }
}

/// A kernel lock dies with its process, so it can never be left behind.
fn open_lock(database: &Path) -> Result<File, StoreError> {
    let mut path = OsString::from(database);
    path.push(".migrate.lock");
    let open = |path: &Path| -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
    };
    open(path.as_ref()).map_err(|e| StoreError::Failed {
        target: describe(database),
        reason: format!("cannot open {}: {e}", Path::new(&path).display()),
    })
}
