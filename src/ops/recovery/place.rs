//! The directory that a server is recovered into: made beside its place, and moved there whole.

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    thread,
};

use walkdir::WalkDir;

use crate::ops::backup::{BackupError, repository::sync_directory};

/// A directory in the making; what is not put into its place is removed with this value.
#[derive(Debug)]
pub(super) struct Place {
    into: PathBuf,
    parent: PathBuf,
    hidden: PathBuf,
    is_kept: bool,
    /// Keeps a second run away; the kernel drops the lock with the process.
    _lock: File,
}

impl Place {
    /// Begins beside `into`, which must be missing or empty. What an interrupted run has left
    /// there goes.
    pub(super) fn begin(into: &Path) -> Result<Self, BackupError> {
        let into = std::path::absolute(into).map_err(|e| BackupError::io("read", into, &e))?;
        let (Some(parent), Some(name)) = (into.parent(), into.file_name()) else {
            return Err(BackupError::Invalid(format!(
                "--into {}: name a directory that is missing or empty",
                into.display()
            )));
        };
        let parent = parent.to_owned();
        check_target(&into, &parent)?;
        let hidden = parent.join(format!(".{}.figw-restoring", name.to_string_lossy()));
        let failed = |e: io::Error| BackupError::io("create", &hidden, &e);
        match fs::DirBuilder::new().mode(0o700).create(&hidden) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let lock = open_directory(&hidden)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {
                return Err(BackupError::failed(format!(
                    "another run of figw restores into {}; wait for its end",
                    into.display()
                )));
            }
        }
        take_over(&lock, &hidden)?;
        clear(&hidden).map_err(failed)?;
        Ok(Self { into, parent, hidden, is_kept: false, _lock: lock })
    }

    /// Where it is being made.
    pub(super) fn path(&self) -> &Path {
        &self.hidden
    }

    /// Whether files get the owners that they had: only root can do that.
    pub(super) fn is_roots(&self) -> Result<bool, BackupError> {
        let found =
            self.hidden.metadata().map_err(|e| BackupError::io("read", &self.hidden, &e))?;
        Ok(found.uid() == 0)
    }

    /// Brings everything to the disk and puts it into its place.
    pub(super) fn commit(mut self) -> Result<PathBuf, BackupError> {
        sync_tree(&self.hidden)?;
        fs::rename(&self.hidden, &self.into)
            .map_err(|e| BackupError::io("write", &self.into, &e))?;
        self.is_kept = true;
        sync_directory(&self.parent)?;
        Ok(self.into.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_kept {
            // The next run removes what cannot be removed now.
            let _ = fs::remove_dir_all(&self.hidden);
        }
    }
}

/// Opens the directory, but nothing that a link leads to.
fn open_directory(hidden: &Path) -> Result<File, BackupError> {
    let failed = |e: io::Error| BackupError::io("open", hidden, &e);
    let found = hidden.symlink_metadata().map_err(failed)?;
    let opened = File::open(hidden).map_err(failed)?;
    let same = opened.metadata().map_err(failed)?;
    if !found.is_dir() || (found.dev(), found.ino()) != (same.dev(), same.ino()) {
        return Err(BackupError::failed(format!(
            "{} is in the way, and is no directory; remove it",
            hidden.display()
        )));
    }
    Ok(opened)
}

/// Makes the directory this user's alone: an interrupted run has given it to the owner of the
/// files, or somebody else has made it.
fn take_over(directory: &File, hidden: &Path) -> Result<(), BackupError> {
    let failed = |e: io::Error| BackupError::io("take over", hidden, &e);
    // A file of one's own shows who one is.
    let mine = tempfile::tempfile_in(hidden.parent().unwrap_or(hidden)).and_then(|f| f.metadata());
    let mine = mine.map_err(failed)?;
    if directory.metadata().map_err(failed)?.uid() != mine.uid() {
        fchown(directory, Some(mine.uid()), Some(mine.gid())).map_err(failed)?;
    }
    directory.set_permissions(fs::Permissions::from_mode(0o700)).map_err(failed)
}

/// Brings every file and directory to the disk. Several at a time: each waits for the disk, which
/// takes many at once for the time of one.
fn sync_tree(directory: &Path) -> Result<(), BackupError> {
    const THREADS: usize = 16;
    let mut paths = Vec::new();
    for entry in WalkDir::new(directory) {
        let entry = entry.map_err(|error| BackupError::failed(error.to_string()))?;
        if entry.file_type().is_file() || entry.file_type().is_dir() {
            paths.push(entry.into_path());
        }
    }
    let sync_all = |paths: &[PathBuf]| paths.iter().try_for_each(|path| sync_directory(path));
    thread::scope(|scope| {
        let each = paths.len().div_ceil(THREADS).max(1);
        let threads: Vec<_> =
            paths.chunks(each).map(|paths| scope.spawn(move || sync_all(paths))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .unwrap_or_else(|_| Err(BackupError::failed("bringing files to the disk failed")))
        })
    })
}

/// Removes everything in the directory, but not the directory, which is locked.
fn clear(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn check_target(into: &Path, parent: &Path) -> Result<(), BackupError> {
    let refused = |why: &str| {
        Err(BackupError::Invalid(format!(
            "--into {}: {why}; name a directory that is missing or empty",
            into.display()
        )))
    };
    let unreadable = |e: io::Error| BackupError::io("read", into, &e);
    let above = match parent.metadata() {
        Ok(above) if above.is_dir() => above,
        _ => return refused("the directory above it does not exist"),
    };
    let found = match into.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        found => found.map_err(unreadable)?,
    };
    if found.is_symlink() {
        return refused("it is a symbolic link");
    }
    if !found.is_dir() {
        return refused("it is no directory");
    }
    if found.dev() != above.dev() {
        return refused("it is a mount point, which cannot be put into place whole");
    }
    if fs::read_dir(into).map_err(unreadable)?.next().is_some() {
        return refused("it is not empty");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_committed_leaves_the_place_as_it_was() {
        let above = tempfile::tempdir().unwrap();
        let into = above.path().join("data");
        fs::create_dir_all(above.path().join(".data.figw-restoring/base/1")).unwrap();
        let place = Place::begin(&into).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "left by an earlier run");
        assert!(Place::begin(&into).unwrap_err().to_string().contains("another run"));
        fs::write(place.path().join("half"), "").unwrap();
        drop(place);
        assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0);

        let (hidden, elsewhere) =
            (above.path().join(".data.figw-restoring"), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("precious"), "").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &hidden).unwrap();
        assert!(Place::begin(&into).unwrap_err().to_string().contains("in the way"));
        assert!(elsewhere.path().join("precious").exists(), "a link is not followed");
        fs::remove_file(&hidden).unwrap();

        fs::create_dir(&into).unwrap();
        let place = Place::begin(&into).unwrap();
        fs::write(place.path().join("whole"), "").unwrap();
        place.commit().unwrap();
        assert!(into.join("whole").exists());
        assert!(Place::begin(&into).unwrap_err().to_string().contains("it is not empty"));
    }
}
