//! Why a database was not migrated.

use std::{fmt, time::Duration};

use crate::store::{SchemaState, StoreError};

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
    /// A migration was not applied.
    #[error(transparent)]
    Step(Box<FailedStep>),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A migration that was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FailedStep {
    /// The database.
    pub target: String,
    /// The migration's name.
    pub migration: String,
    /// Why.
    pub reason: String,
    /// Migrations of the same run that were applied before it, and stay.
    pub applied: Vec<String>,
    /// Whether the database has confirmed that nothing of it remains.
    pub is_undone: bool,
}

impl fmt::Display for FailedStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, migration, reason, .. } = self;
        write!(f, "database {target}: migration {migration} {reason}; ")?;
        f.write_str(if self.is_undone {
            "the database is as it was before this step"
        } else {
            "whether it was applied in spite of that, the database cannot tell now: look with \
             `figw migrate --plan` once it answers"
        })
    }
}

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Refused {
    /// Somebody else holds what it needs; trying again may help.
    #[error(
        "could not lock {what} within {}, however often it tried; run `figw migrate` again in a \
         quiet hour, or with a larger migrate.lock_timeout",
        humantime::format_duration(*.timeout)
    )]
    Locked {
        /// The table, and how.
        what: String,
        timeout: Duration,
    },
    /// It kept others waiting for too long.
    #[error(
        "was stopped: it would have kept {what} locked for longer than {}; run `figw migrate` \
         again in a quiet hour with a larger migrate.lock_timeout",
        humantime::format_duration(*.timeout)
    )]
    Slow {
        /// The tables, and how.
        what: String,
        timeout: Duration,
    },
    /// The database said so.
    #[error("failed: {0}")]
    Failed(String),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        // The database's name is in front of the whole message already.
        Self::Failed(match error {
            StoreError::Unavailable { reason, .. }
            | StoreError::Unfit { reason, .. }
            | StoreError::Failed { reason, .. } => reason,
            other => other.to_string(),
        })
    }
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
