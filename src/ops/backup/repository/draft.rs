//! A backup being made under a hidden name.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use super::{
    super::{
        error::BackupError,
        manifest::{MANIFEST, Manifest, SUMS},
    },
    NEW, Repository, Stored, hand_over,
};

/// A backup being made; what is not committed is removed with this value.
#[derive(Debug)]
pub struct Draft {
    pub(super) repository: Repository,
    /// Its name, once it is whole.
    pub id: String,
    pub(super) directory: PathBuf,
    pub(super) is_kept: bool,
}

impl Draft {
    /// Where its parts go.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes manifest and checksums, brings everything to the disk, and gives it its name.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn commit(self, manifest: &Manifest) -> Result<Stored, BackupError> {
        let text = manifest.to_json();
        write_synced(&self.directory.join(MANIFEST), &text)?;
        write_synced(&self.directory.join(SUMS), manifest.sums(&text).as_bytes())?;
        self.adopt(manifest)
    }

    /// Gives it its name once manifest and checksums are in it, as this manifest has them.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(in super::super) fn adopt(mut self, manifest: &Manifest) -> Result<Stored, BackupError> {
        self.hand_over();
        sync_directory(&self.directory)?;
        let to = self.repository.directory.join(&self.id);
        fs::rename(&self.directory, &to).map_err(|e| BackupError::io("write", &to, &e))?;
        self.is_kept = true;
        sync_directory(&self.repository.directory)?;
        let stored = self.repository.stored(&self.id);
        match &stored.state {
            Ok(read) if read == manifest => Ok(stored),
            Ok(_) => Err(BackupError::Damaged(format!(
                "{}: what was read back is not what was written; look after the disk",
                to.join(MANIFEST).display()
            ))),
            Err(why) => Err(BackupError::Damaged(format!("{}: {why}", to.display()))),
        }
    }

    fn hand_over(&self) {
        hand_over(&self.directory);
        for entry in fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            hand_over(&entry.path());
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // The next run sweeps up what cannot be removed now.
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// Writes a file so that it is there, whole, after a crash.
///
/// # Errors
/// When the disk does not take it.
pub fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    use std::io::Write;
    let failed = |e: io::Error| BackupError::io("write", path, &e);
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(directory).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    hand_over(file.path());
    file.persist(path).map_err(|e| failed(e.error))?;
    sync_directory(directory)
}

/// Brings the names in a directory to the disk.
///
/// # Errors
/// When the disk does not take them.
pub fn sync_directory(path: &Path) -> Result<(), BackupError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|e| BackupError::io("write", path, &e))
}
