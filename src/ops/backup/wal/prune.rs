//! Which archived WAL no base backup needs any more.

use std::{
    fs,
    io::{self, ErrorKind},
    path::PathBuf,
};

use super::{
    super::{
        error::BackupError,
        manifest::{Kind, MANIFEST, Manifest, SUMS},
        repository::Stored,
    },
    WalArchive,
    name::WalName,
};

/// What a backup that stays needs of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it is no base backup.
    Nothing,
    /// Everything from this segment on.
    From {
        /// Its first segment.
        start: WalName,
        /// Whether one could recover with it.
        is_good: bool,
    },
    /// Nobody knows.
    Unknown,
}

impl Need {
    /// That of a backup which says this about itself.
    #[must_use]
    pub fn of(manifest: &Manifest, is_good: bool) -> Self {
        if manifest.kind != Kind::Base {
            return Self::Nothing;
        }
        let start = manifest.base.as_ref().and_then(|base| base.start_wal.parse().ok());
        start.map_or(Self::Unknown, |start| Self::From { start, is_good })
    }
}

impl From<&Stored> for Need {
    fn from(stored: &Stored) -> Self {
        match stored.manifest() {
            Some(manifest) => Self::of(manifest, true),
            None => manifest_of_broken(stored)
                .map_or(Self::Unknown, |manifest| Self::of(&manifest, false)),
        }
    }
}

/// The first WAL segment that recovery from any of the backups that stay needs. None, which means
/// that nothing may be removed, when no base backup is good, or one does not tell its start.
#[must_use]
pub fn needed_from(staying: impl IntoIterator<Item = Need>) -> Option<WalName> {
    let mut oldest: Option<WalName> = None;
    let mut is_any_good = false;
    for need in staying {
        let (start, is_good) = match need {
            Need::Nothing => continue,
            Need::From { start, is_good } => (start, is_good),
            Need::Unknown => return None,
        };
        is_any_good |= is_good;
        if oldest.as_ref().is_none_or(|oldest| start.is_before(oldest)) {
            oldest = Some(start);
        }
    }
    oldest.filter(|_| is_any_good)
}

/// What a broken backup says about itself, when at least that is as it was written.
fn manifest_of_broken(stored: &Stored) -> Option<Manifest> {
    let read = |name: &str| fs::read(stored.directory.join(name)).ok();
    Manifest::read(&stored.id, &read(MANIFEST)?, &read(SUMS)?).ok()
}

impl WalArchive {
    /// Archived files before this segment, on every timeline. Histories of timelines are never
    /// among them: they are small, and any recovery may ask for them.
    ///
    /// # Errors
    /// When the archive cannot be read.
    pub fn older_than(&self, first_needed: &WalName) -> Result<Vec<PathBuf>, BackupError> {
        let mut old = Vec::new();
        self.each(|name, path| {
            if name.is_before(first_needed) {
                old.push(path);
            }
            Ok(())
        })?;
        Ok(old)
    }

    /// Removes these files, and directories that are empty then.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove(&self, files: &[PathBuf]) -> Result<(), BackupError> {
        for file in files {
            match fs::remove_file(file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(BackupError::io("remove", file, &error));
                }
                _ => {}
            }
        }
        let mut directories: Vec<_> = files.iter().filter_map(|file| file.parent()).collect();
        directories.dedup();
        for directory in directories {
            let is_fine = |error: &io::Error| {
                matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound)
            };
            match fs::remove_dir(directory) {
                Err(error) if !is_fine(&error) => {
                    return Err(BackupError::io("remove", directory, &error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::backup::manifest::{BaseFacts, FORMAT};

    fn stored(kind: Kind, start_wal: &str, is_good: bool) -> Stored {
        let base = BaseFacts {
            identity: "postgres://h/db".to_owned(),
            major: 15,
            system_identifier: "7".to_owned(),
            start_wal: start_wal.to_owned(),
            end: None,
            segment_bytes: 16 << 20,
            bytes: 1,
        };
        let now = jiff::Timestamp::UNIX_EPOCH;
        let manifest = Manifest {
            format: FORMAT,
            id: "x".to_owned(),
            kind,
            figw: "0".to_owned(),
            started_at: now,
            moment: now,
            finished_at: now,
            database: None,
            configuration: None,
            base: (kind == Kind::Base).then_some(base),
            encrypted_to: Vec::new(),
            before_restore_of: None,
            parts: Vec::new(),
        };
        let state = if is_good { Ok(manifest) } else { Err("broken".to_owned()) };
        Stored { id: "x".to_owned(), directory: "/nowhere".into(), state, is_unreadable: false }
    }

    fn needed(staying: &[Stored]) -> Option<WalName> {
        needed_from(staying.iter().map(Need::from))
    }

    #[test]
    fn the_oldest_base_that_stays_decides() {
        let all = [
            stored(Kind::Complete, "", true),
            stored(Kind::Base, "000000020000000000000009", true),
            stored(Kind::Base, "000000030000000000000007", true),
        ];
        assert_eq!(needed(&all).unwrap().as_str(), "000000030000000000000007");
    }

    #[test]
    fn when_in_doubt_everything_is_needed() {
        assert_eq!(needed(&[stored(Kind::Complete, "", true)]), None);
        let unknown = [
            stored(Kind::Base, "000000020000000000000009", true),
            stored(Kind::Base, "000000020000000000000007", false),
        ];
        assert_eq!(needed(&unknown), None);
        assert_eq!(needed(&[stored(Kind::Base, "nonsense", true)]), None);
    }
}
