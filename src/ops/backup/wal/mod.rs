//! The archive of PostgreSQL's write-ahead log, which brings a base backup to any later moment.
//!
//! ```text
//! wal/.lock                                          one push at a time
//! wal/.new                                           what is being pushed
//! wal/system-identifier                              the cluster whose WAL this is
//! wal/0000000100000000/000000010000000000000002-SHA-256.zst.age
//! wal/history/00000002.history-SHA-256.zst.age
//! ```
//!
//! The SHA-256 in a file's name is that of the content, so that pushing the same segment again is
//! found to be done already without any key, and a fetched one can be checked. Everything here
//! blocks, but for the wait for the lock.

mod fetch;
mod header;
mod name;
mod prune;
mod push;
mod survey;
mod timeline;

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

pub use self::{
    fetch::fetch,
    name::WalName,
    prune::{Need, needed_from},
    push::Pushed,
    survey::{Reach, Survey, describe_gap},
    timeline::{Lineage, Lsn},
};
use super::error::BackupError;
use crate::config::Compression;

/// The file that names the cluster whose WAL the archive holds.
const SYSTEM_IDENTIFIER: &str = "system-identifier";

/// An archive of WAL.
#[derive(Debug, Clone)]
pub struct WalArchive {
    directory: PathBuf,
}

/// A file in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Where it is.
    pub path: PathBuf,
    /// SHA-256 of the content, in hexadecimal.
    pub sha256: String,
    /// How it is compressed.
    pub compression: Compression,
    /// Whether it is encrypted with age.
    pub encrypted: bool,
}

impl WalArchive {
    /// The archive beside the backups in this directory; it need not exist yet.
    #[must_use]
    pub fn beside(backups: &Path) -> Self {
        Self { directory: backups.join("wal") }
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes sure that there is an archive. One that is away, such as a disk that is not mounted,
    /// must not be taken for one that lacks a segment.
    ///
    /// # Errors
    /// When there is none.
    pub fn require(&self) -> Result<(), BackupError> {
        match fs::metadata(&self.directory) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(BackupError::failed(format!(
                "{} is no directory; backup.directory must hold the archived WAL",
                self.directory.display()
            ))),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(BackupError::failed(format!(
                "there is no archive of WAL in {}; is its disk mounted, and does archive_command \
                 run `figw wal push`?",
                self.directory.display()
            ))),
            Err(error) => Err(BackupError::io("read", &self.directory, &error)),
        }
    }

    /// The archived file of this name, if there is one.
    ///
    /// # Errors
    /// When the archive is away or cannot be read.
    pub fn find(&self, name: &WalName) -> Result<Option<Archived>, BackupError> {
        self.require()?;
        let directory = self.directory.join(name.directory());
        let failed = |e: io::Error| BackupError::io("read", &directory, &e);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            entries => entries.map_err(failed)?,
        };
        let mut found: Option<Archived> = None;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let Some((of, this)) =
                entry.file_name().to_str().and_then(|file| Archived::parse(&directory, file))
            else {
                continue;
            };
            if of != *name {
                continue;
            }
            if let Some(other) = &found
                && other.sha256 != this.sha256
            {
                return Err(BackupError::Damaged(format!(
                    "the archive holds {name} twice, with different content: {} and {}; move the \
                     wrong one away",
                    other.path.display(),
                    this.path.display()
                )));
            }
            found = Some(this);
        }
        Ok(found)
    }

    /// The cluster whose WAL the archive holds, once it is known.
    ///
    /// # Errors
    /// When the note of it cannot be read.
    pub fn system_identifier(&self) -> Result<Option<String>, BackupError> {
        let path = self.directory.join(SYSTEM_IDENTIFIER);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::io("read", &path, &error)),
        }
    }

    /// When something was archived last; none when nothing ever was.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn newest(&self) -> Result<Option<SystemTime>, BackupError> {
        let mut newest = None;
        self.each(|name, path| {
            if name.position().is_some() {
                let failed = |e: io::Error| BackupError::io("read", &path, &e);
                let at = path.metadata().and_then(|found| found.modified()).map_err(failed)?;
                newest = newest.max(Some(at));
            }
            Ok(())
        })?;
        Ok(newest)
    }

    /// Shows every file of the archive, in no order.
    fn each(
        &self,
        mut see: impl FnMut(WalName, PathBuf) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        for directory in names_in(&self.directory)? {
            let path = self.directory.join(&directory);
            if directory.starts_with('.') || !path.is_dir() {
                continue;
            }
            for file in names_in(&path)? {
                if let Some((name, archived)) = Archived::parse(&path, &file)
                    && name.directory() == directory
                {
                    see(name, archived.path)?;
                }
            }
        }
        Ok(())
    }
}

impl Archived {
    /// Understands a file's name in the archive.
    pub(super) fn parse(directory: &Path, file: &str) -> Option<(WalName, Self)> {
        let (name, rest) = file.split_once('-')?;
        let (sha256, endings) = rest.split_at_checked(64)?;
        let (compression, encrypted) = match endings {
            "" => (Compression::None, false),
            ".age" => (Compression::None, true),
            ".zst" => (Compression::Zstd, false),
            ".zst.age" => (Compression::Zstd, true),
            _ => return None,
        };
        let sha256 = sha256.bytes().all(|b| b.is_ascii_hexdigit()).then(|| sha256.to_owned())?;
        let path = directory.join(file);
        Some((name.parse().ok()?, Self { path, sha256, compression, encrypted }))
    }
}

/// Names in a directory that figw can have given; none when it is missing.
fn names_in(directory: &Path) -> Result<Vec<String>, BackupError> {
    let failed = |e: io::Error| BackupError::io("read", directory, &e);
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    Ok(names)
}
