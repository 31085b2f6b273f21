//! The directories of a spool: each held by one process at most.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    Segment,
    segment::{EXTENSION, REJECTED},
};

const LOCK: &str = "lock";

/// A directory and the lock on it, which the kernel releases with the process.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Takes `root/instance`, or `root/instance-2` and so on while others hold those before.
    pub(super) fn take(root: &Path, instance: &str) -> io::Result<Self> {
        const MOST: u32 = 64;
        for number in 1..=MOST {
            let name =
                if number == 1 { instance.to_owned() } else { format!("{instance}-{number}") };
            let path = root.join(name);
            DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
            if let Some(directory) = Self::try_take(path)? {
                return Ok(directory);
            }
        }
        Err(io::Error::other(format!(
            "{MOST} processes already hold the spool `{instance}` in {}",
            root.display()
        )))
    }

    fn try_take(path: PathBuf) -> io::Result<Option<Self>> {
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(Self { path, _lock: lock })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes new names in the directory outlive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Moves the segments of directories that nobody holds here. A directory that resists is
    /// logged and left alone.
    pub(super) fn adopt_orphans(&self, root: &Path) {
        let Ok(entries) = fs::read_dir(root) else { return };
        for other in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if other == self.path || !other.join(LOCK).is_file() {
                continue;
            }
            match self.adopt(other.clone()) {
                Ok(0) => {}
                Ok(adopted) => {
                    tracing::info!(from = %other.display(), adopted, "adopted spooled rows");
                }
                Err(error) => {
                    tracing::warn!(from = %other.display(), %error, "cannot adopt spooled rows");
                }
            }
        }
    }

    /// Takes segments that the database once refused for new ones: it, or this program, may have
    /// changed since.
    pub(super) fn bring_back_rejected(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == REJECTED) {
                fs::rename(&path, path.with_extension(EXTENSION))?;
            }
        }
        Ok(())
    }

    fn adopt(&self, other: PathBuf) -> io::Result<usize> {
        let Some(other) = Self::try_take(other)? else { return Ok(0) };
        other.bring_back_rejected()?;
        let segments = other.segments()?;
        for segment in &segments {
            if let Some(name) = segment.path.file_name() {
                fs::rename(&segment.path, self.path.join(name))?;
            }
        }
        if !segments.is_empty() {
            self.sync()?;
        }
        Ok(segments.len())
    }

    /// The segments that are here, oldest first.
    pub(super) fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                segments.push(Segment { path, bytes: entry.metadata()?.len(), rows: None });
            }
        }
        segments.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()));
        Ok(segments)
    }
}
