//! The directory of backups: one directory each, under a hidden name until it is whole.
//!
//! ```text
//! .lock                       a kernel lock, which dies with its process
//! 20261125T155027Z-7f3a/      a backup: parts, manifest.json, SHA256SUMS
//! .new-20261125T160027Z-01c2/ one being made, or left by a run that was interrupted
//! .old-20261101T155027Z-9b01/ one being removed
//! wal/                        archived WAL, see `wal`
//! drill.json                  what the newest drill found
//! offsite.json                where off-site copies went, see `offsite`
//! ```

mod draft;
mod lock;

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, chown},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};

pub(super) use self::lock::lock_directory;
pub use self::{
    draft::{Draft, sync_directory, write_synced},
    lock::Lock,
};

use super::{
    error::BackupError,
    manifest::{MANIFEST, Manifest, SUMS},
    retention::moment_of,
};

/// Beginning of the names of backups that are not whole yet.
const NEW: &str = ".new-";
/// Beginning of the names of backups that are being removed.
const OLD: &str = ".old-";
/// In a backup that was found broken: why, as text.
pub(super) const BROKEN: &str = "BROKEN";

/// A directory of backups.
#[derive(Debug, Clone)]
pub struct Repository {
    directory: PathBuf,
}

/// A backup that is there.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its name.
    pub id: String,
    /// Where it is.
    pub directory: PathBuf,
    /// What it says about itself, or why it is broken.
    pub state: Result<Manifest, String>,
    /// Whether it could not be looked at, which says nothing about it.
    pub is_unreadable: bool,
}

impl Stored {
    /// Its manifest, when it is good.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.state.as_ref().ok()
    }

    /// When it was begun, as exactly as is known.
    fn begun_at(&self) -> Timestamp {
        self.manifest().map_or_else(|| moment_of(&self.id), |manifest| manifest.started_at)
    }
}

impl Repository {
    /// The directory, without looking whether it is there.
    #[must_use]
    pub fn at(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The directory, which is created for its owner alone when it is missing.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(directory: &Path) -> Result<Self, BackupError> {
        create_private(directory).map_err(|e| BackupError::io("create", directory, &e))?;
        Ok(Self::at(directory))
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps every other run away; waits at most this long for it.
    ///
    /// # Errors
    /// [`BackupError::Busy`] when the other run takes longer.
    pub async fn lock(&self, wait: Duration) -> Result<Lock, BackupError> {
        lock_directory(&self.directory, File::try_lock, wait).await
    }

    /// Keeps runs away that change or remove backups; others may read beside this one.
    ///
    /// # Errors
    /// As [`Repository::lock`].
    pub async fn lock_shared(&self, wait: Duration) -> Result<Lock, BackupError> {
        lock_directory(&self.directory, File::try_lock_shared, wait).await
    }

    /// Begins a backup under a hidden name. The exclusive lock must be held.
    ///
    /// # Errors
    /// When its directory cannot be created.
    pub fn begin(&self, now: Timestamp) -> Result<Draft, BackupError> {
        loop {
            let id = new_id(now);
            if !self.directory.join(&id).exists() {
                return self.begin_as(&id);
            }
        }
    }

    /// Begins a backup that has its name already. The exclusive lock must be held.
    ///
    /// # Errors
    /// When its directory cannot be created.
    pub(super) fn begin_as(&self, id: &str) -> Result<Draft, BackupError> {
        let directory = self.directory.join(format!("{NEW}{id}"));
        create_private(&directory).map_err(|e| BackupError::io("create", &directory, &e))?;
        Ok(Draft { repository: self.clone(), id: id.to_owned(), directory, is_kept: false })
    }

    /// Every backup, oldest first. None when the directory is missing.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Stored>, BackupError> {
        let failed = |e: io::Error| BackupError::io("read", &self.directory, &e);
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let mut backups = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if let Some(id) = entry.file_name().to_str().filter(|name| is_id(name)) {
                backups.push(self.stored(id));
            }
        }
        // Two of one second have their order in their manifests alone.
        backups.sort_by_cached_key(|one| (one.begun_at(), one.id.clone()));
        Ok(backups)
    }

    fn stored(&self, id: &str) -> Stored {
        let directory = self.directory.join(id);
        let (state, is_unreadable) = match look_at(id, &directory) {
            Ok(manifest) => (Ok(manifest), false),
            Err(Flaw::Broken(why)) => (Err(why), false),
            Err(Flaw::Unreadable(why)) => (Err(why), true),
        };
        Stored { id: id.to_owned(), state, is_unreadable, directory }
    }

    /// The backup of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(&self, id: &str) -> Result<Stored, BackupError> {
        if is_id(id) && self.directory.join(id).is_dir() {
            return Ok(self.stored(id));
        }
        Err(BackupError::failed(format!(
            "there is no backup {id} in {}; `figw backup list` shows what there is",
            self.directory.display()
        )))
    }

    /// Notes that a backup is broken, for every later command to see.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn mark_broken(&self, id: &str, why: &str) -> Result<(), BackupError> {
        write_synced(&self.directory.join(id).join(BROKEN), why.as_bytes())
    }

    /// Forgets that a backup was found broken, and looks at it anew.
    ///
    /// # Errors
    /// When the note cannot be removed.
    pub fn look_anew(&self, stored: &Stored) -> Result<Stored, BackupError> {
        let note = stored.directory.join(BROKEN);
        match fs::remove_file(&note) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(BackupError::io("remove", &note, &error))
            }
            _ => Ok(self.stored(&stored.id)),
        }
    }

    /// Removes a backup: at once from every list, then from the disk. The exclusive lock must be
    /// held.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, id: &str) -> Result<(), BackupError> {
        let from = self.directory.join(id);
        let to = self.directory.join(format!("{OLD}{id}"));
        let failed = |e: io::Error| BackupError::io("remove", &from, &e);
        fs::rename(&from, &to).map_err(failed)?;
        sync_directory(&self.directory)?;
        fs::remove_dir_all(&to).map_err(failed)
    }

    /// Removes what interrupted runs have left, and returns the names. What cannot be removed stays
    /// with a warning: it keeps nobody from making a backup. The exclusive lock must be held.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn sweep(&self) -> Result<Vec<String>, BackupError> {
        let failed = |e: io::Error| BackupError::io("read", &self.directory, &e);
        let mut swept = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(NEW) || name.starts_with(OLD) {
                let path = entry.path();
                let removed =
                    if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                match removed {
                    Ok(()) => swept.push(name),
                    Err(error) => tracing::warn!("{}", BackupError::io("remove", &path, &error)),
                }
            }
        }
        Ok(swept)
    }
}

/// What is wrong with a backup at a glance.
enum Flaw {
    Broken(String),
    Unreadable(String),
}

impl Flaw {
    fn of(name: &str, error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Broken(format!("{name} is missing")),
            _ => Self::Unreadable(format!("{name} cannot be read: {error}")),
        }
    }
}

/// Reads the manifest and compares what can be compared at a glance.
fn look_at(id: &str, directory: &Path) -> Result<Manifest, Flaw> {
    match fs::read_to_string(directory.join(BROKEN)) {
        Ok(why) => return Err(Flaw::Broken(why.trim_end().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Flaw::of(BROKEN, &error)),
    }
    let read = |name: &str| fs::read(directory.join(name)).map_err(|error| Flaw::of(name, &error));
    let manifest = Manifest::read(id, &read(MANIFEST)?, &read(SUMS)?).map_err(Flaw::Broken)?;
    for part in &manifest.parts {
        let found = fs::metadata(directory.join(&part.name));
        let found = found.map_err(|error| Flaw::of(&part.name, &error))?.len();
        if found != part.bytes {
            return Err(Flaw::Broken(format!(
                "{} is {found} bytes long instead of {}",
                part.name, part.bytes
            )));
        }
    }
    Ok(manifest)
}

/// Creates a directory and its parents for their owner alone.
pub(super) fn create_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Run by root, what is new belongs to the directory's owner: the next run may be the service's own.
/// Where root may not give anything away, it stays root's.
fn hand_over(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let owner = fs::metadata(parent.unwrap_or(Path::new(".")));
    let given = owner.and_then(|owner| chown(path, Some(owner.uid()), Some(owner.gid())));
    if let Err(error) = given {
        tracing::debug!("{} stays root's: {error}", path.display());
    }
}

/// `20261125T155027Z-7f3a`: sorts by time; the end keeps two backups of one second apart.
fn new_id(now: Timestamp) -> String {
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string();
    let [.., high, low] = *uuid::Uuid::new_v4().as_bytes();
    format!("{time}-{high:02x}{low:02x}")
}

/// Whether the name is one of [`new_id`]'s.
pub(super) fn is_id(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() == 21
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            8 => *byte == b'T',
            15 => *byte == b'Z',
            16 => *byte == b'-',
            17.. => byte.is_ascii_hexdigit(),
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_are_told_from_other_names() {
        let id = new_id("2026-11-25T15:50:27Z".parse().unwrap());
        assert!(id.starts_with("20261125T155027Z-"), "{id}");
        assert!(is_id(&id));
        for other in
            ["wal", ".new-20261125T155027Z-7f3a", "20261125T155027Z-7f3g", "../../etc/pass"]
        {
            assert!(!is_id(other), "{other}");
        }
    }
}
