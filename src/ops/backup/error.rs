//! What can go wrong with backups, in one line that says what to do.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{config::SecretError, store::StoreError};

/// Why a backup, or something done with one, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// Another run works on the backups.
    #[error(
        "another run of figw works on the backups in {directory}; try again later, or wait for it with --lock-wait"
    )]
    Busy {
        /// Where the backups are.
        directory: PathBuf,
    },
    /// Wrong usage or configuration.
    #[error("{0}")]
    Invalid(String),
    /// A backup is not what it was when it was made.
    #[error("{0}")]
    Damaged(String),
    /// An encrypted backup that none of the keys at hand opens. Says nothing about its state.
    #[error("{0}")]
    Locked(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl BackupError {
    /// Anything that is neither usage nor damage.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// What an operation on a file met; `action` is what figw tried, such as `write`.
    #[must_use]
    pub fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let remedy = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "; free some space there, or move it to a larger disk"
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "; figw must run as a user who may"
            }
            ErrorKind::NotFound if action != "read" => "; create the directory first",
            _ => "",
        };
        Self::Failed(format!("cannot {action} {}: {error}{remedy}", path.display()))
    }
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Invalid(message) => Self::Invalid(message),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<SecretError> for BackupError {
    fn from(error: SecretError) -> Self {
        Self::Invalid(error.to_string())
    }
}
