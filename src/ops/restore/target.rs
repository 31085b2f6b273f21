//! The database that a backup is put into, whichever it is.

use std::collections::BTreeMap;

use super::{
    super::backup::{BackupError, blocking},
    postgres,
    source::Source,
    sqlite,
};
use crate::store::{Location, StoreOptions};

/// A database that a backup is put into.
#[derive(Debug, Clone)]
pub(in crate::ops) enum Target {
    Postgres(Box<postgres::Target>),
    Sqlite(sqlite::Target),
}

impl Target {
    pub(in crate::ops) async fn look(
        location: Location,
        options: &StoreOptions,
    ) -> Result<Self, BackupError> {
        match location {
            Location::Postgres(url) => {
                postgres::Target::look(&url, options).await.map(Box::new).map(Self::Postgres)
            }
            Location::Sqlite(path) => {
                blocking(move || sqlite::Target::look(&path)).await.map(Self::Sqlite)
            }
        }
    }

    pub(in crate::ops) fn describe(&self) -> String {
        match self {
            Self::Postgres(target) => target.describe(),
            Self::Sqlite(target) => target.describe(),
        }
    }

    /// One of the things in it; none when it is empty.
    pub(super) fn content(&self) -> Option<String> {
        match self {
            Self::Postgres(target) => target.content().map(ToOwned::to_owned),
            Self::Sqlite(target) => target.content(),
        }
    }

    /// That there is nothing in it.
    pub(in crate::ops) fn must_be_empty(&self, remedy: &str) -> Result<(), BackupError> {
        match self.content() {
            None => Ok(()),
            Some(content) => Err(BackupError::failed(format!(
                "{} is not empty (it has {content}); {remedy}",
                self.describe()
            ))),
        }
    }

    /// Whether backup and programs fit.
    pub(in crate::ops) fn check(&self, source: &Source) -> Result<(), BackupError> {
        match self {
            Self::Postgres(target) => target.check(source),
            Self::Sqlite(target) => target.check(source),
        }
    }

    /// Looks at what will be put in. Returns hints for the operator.
    pub(in crate::ops) async fn look_through(
        &self,
        source: &Source,
    ) -> Result<Vec<String>, BackupError> {
        match self {
            Self::Postgres(_) => postgres::Target::look_through(source).await,
            Self::Sqlite(_) => Ok(Vec::new()),
        }
    }

    /// Puts the backup into a database that is empty.
    pub(in crate::ops) async fn fill(
        &self,
        source: &Source,
    ) -> Result<BTreeMap<String, u64>, BackupError> {
        match self {
            Self::Postgres(target) => target.fill(source).await,
            Self::Sqlite(target) => {
                let (target, source) = (target.clone(), source.clone());
                blocking(move || {
                    let hold = target.hold()?;
                    Ok(target.fill(&source, hold)?.tables)
                })
                .await
            }
        }
    }
}
