//! PostgreSQL's errors, sorted by whether trying again may help.

use std::{error::Error, io};

use tokio_postgres::error::SqlState;

use crate::store::{StoreError, record::Unfit};

/// What can go wrong inside an operation.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Postgres(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    Refused(#[from] StoreError),
    /// The address leads to a replica where a primary is wanted.
    #[error("it takes no writes: this is a replica, and none has been promoted yet")]
    Replica,
}

impl Trouble {
    /// Whether the server turned out to be one that takes no writes.
    pub(super) fn is_read_only(&self) -> bool {
        match self {
            Self::Replica => true,
            Self::Postgres(error) => error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION),
            Self::Unfit(_) | Self::Refused(_) => false,
        }
    }

    /// As the store's callers see it.
    pub(super) fn explain(self, target: &str) -> StoreError {
        let target = target.to_owned();
        match self {
            Self::Refused(error) => error,
            Self::Replica => StoreError::Unavailable { target, reason: self.to_string() },
            Self::Unfit(error) => StoreError::Unfit { target, reason: error.to_string() },
            Self::Postgres(error) if may_pass(&error) => {
                StoreError::Unavailable { target, reason: one_line(&error) }
            }
            Self::Postgres(error) if is_unfit(&error) => {
                StoreError::Unfit { target, reason: one_line(&error) }
            }
            Self::Postgres(error) => StoreError::Failed { target, reason: one_line(&error) },
        }
    }
}

/// Whether a failure to connect may pass: only the server's own word (a wrong password, no such
/// database) is final.
pub(super) fn connect_may_pass(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none() || may_pass(error)
}

/// Whether trying again may help.
pub(super) fn may_pass(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        Some(code) => {
            // Connection, rolled back, out of resources, object in use, operator's action, I/O.
            const PASSING: [&str; 6] = ["08", "40", "53", "55", "57", "58"];
            *code == SqlState::READ_ONLY_SQL_TRANSACTION
                || PASSING.iter().any(|class| code.code().starts_with(class))
        }
        None => error.is_closed() || has_io_cause(error),
    }
}

/// Whether the values are at fault: they do not fit their types, break a constraint, are too large,
/// or a trigger turns them down. A missing right or table is not their fault.
fn is_unfit(error: &tokio_postgres::Error) -> bool {
    const VALUES: [&str; 4] = ["22", "23", "54", "P0"];
    error.code().is_some_and(|code| VALUES.iter().any(|class| code.code().starts_with(class)))
}

fn has_io_cause(error: &tokio_postgres::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<io::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

pub(super) fn one_line(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", db.message().replace('\n', " "), db.code().code());
    }
    match error.source() {
        Some(cause) if !error.to_string().contains(&cause.to_string()) => {
            format!("{error}: {cause}")
        }
        _ => error.to_string(),
    }
}
