//! `archive_command`: success only after the segment is safe.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::Path,
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::{
    super::{
        super::anew::create_anew,
        archive::{CHUNK, Sealing, hash_file},
        error::BackupError,
        manifest::hex,
        repository::{create_private, lock_directory, sync_directory, write_synced},
    },
    Archived, SYSTEM_IDENTIFIER, WalArchive,
    header::Header,
    name::WalName,
};

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The file in the archive.
    pub archived: Archived,
    /// Whether it was there before, with the same content.
    pub was_there: bool,
}

impl WalArchive {
    /// Archives the file at `path` under PostgreSQL's name for it. `wait` is how long another push
    /// may take.
    ///
    /// # Errors
    /// When the archive holds another content of this name, or the WAL of another cluster, or when
    /// it does not take the file. Then PostgreSQL keeps the file and tries again.
    pub async fn push(
        &self,
        path: &Path,
        name: &WalName,
        sealing: &Sealing,
        wait: Duration,
    ) -> Result<Pushed, BackupError> {
        self.create()?;
        let _lock = lock_directory(&self.directory, File::try_lock, wait).await?;
        let unreadable = |error: io::Error| BackupError::io("read", path, &error);
        let mut source = File::open(path).map_err(unreadable)?;
        let header = Header::read(&mut source, name).map_err(unreadable)?;
        source.rewind().map_err(unreadable)?;
        if let Some(header) = header {
            check_length(path, name, header)?;
            self.check_cluster(path, header)?;
        }
        match self.find(name)? {
            Some(archived) => self.compare(path, &mut source, name, archived),
            None => self.take_in(path, &mut source, name, sealing),
        }
    }

    /// Creates the archive for its owner alone, with its name on the disk.
    fn create(&self) -> Result<(), BackupError> {
        if self.directory.is_dir() {
            return Ok(());
        }
        create_private(&self.directory)
            .map_err(|e| BackupError::io("create", &self.directory, &e))?;
        // The directory of the backups may be new as well.
        for parent in self.directory.ancestors().skip(1).take(2) {
            sync_directory(parent)?;
        }
        Ok(())
    }

    /// The archive of one cluster takes nothing from another one.
    fn check_cluster(&self, path: &Path, header: Header) -> Result<(), BackupError> {
        let this = header.system_identifier.to_string();
        match self.system_identifier()? {
            Some(known) if known == this => Ok(()),
            Some(known) => Err(BackupError::failed(format!(
                "{} is WAL of the PostgreSQL cluster {this}, but {} holds that of the cluster \
                 {known}; give each cluster a backup.directory of its own (after initdb or \
                 pg_upgrade, begin a new one)",
                path.display(),
                self.directory.display()
            ))),
            None => {
                let note = self.directory.join(SYSTEM_IDENTIFIER);
                write_synced(&note, format!("{this}\n").as_bytes())
            }
        }
    }

    /// The same content is success, another one is not.
    fn compare(
        &self,
        path: &Path,
        source: &mut File,
        name: &WalName,
        archived: Archived,
    ) -> Result<Pushed, BackupError> {
        let mut hash = Sha256::new();
        io::copy(source, &mut hash).map_err(|e| BackupError::io("read", path, &e))?;
        let sha256 = hex(&hash.finalize());
        if sha256 != archived.sha256 {
            return Err(BackupError::failed(format!(
                "the archive holds {name} already, with other content: {} (SHA-256 {}) is not {} \
                 (SHA-256 {sha256}); if two servers archive into one directory, give each its own",
                archived.path.display(),
                archived.sha256,
                path.display(),
            )));
        }
        // The push that brought it here may have ended before its name was on the disk.
        self.sync_names(name)?;
        Ok(Pushed { archived, was_there: true })
    }

    fn sync_names(&self, name: &WalName) -> Result<(), BackupError> {
        sync_directory(&self.directory.join(name.directory()))?;
        sync_directory(&self.directory)
    }

    fn take_in(
        &self,
        path: &Path,
        source: &mut File,
        name: &WalName,
        sealing: &Sealing,
    ) -> Result<Pushed, BackupError> {
        // One name is enough under the lock, and so a killed push leaves no more than one file.
        let new = self.directory.join(".new");
        let taken = self.seal_under(&new, path, source, name, sealing);
        if taken.is_err() {
            // The next push tries again to remove it.
            let _ = fs::remove_file(&new);
        }
        Ok(Pushed { archived: taken?, was_there: false })
    }

    fn seal_under(
        &self,
        new: &Path,
        path: &Path,
        source: &mut File,
        name: &WalName,
        sealing: &Sealing,
    ) -> Result<Archived, BackupError> {
        let failed = |error: io::Error| BackupError::io("write", new, &error);
        let mut seal = sealing.writer(create_anew(new).map_err(failed)?).map_err(failed)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        loop {
            match source.read(&mut buffer).map_err(|e| BackupError::io("read", path, &e))? {
                0 => break,
                read => {
                    hash.update(&buffer[..read]);
                    seal.write_all(&buffer[..read]).map_err(failed)?;
                }
            }
        }
        let sealed = seal.finish().map_err(failed)?;
        sealed.file.sync_all().map_err(failed)?;
        let (bytes, sha256) = hash_file(new).map_err(|e| BackupError::io("read", new, &e))?;
        if (bytes, &sha256) != (sealed.bytes, &sealed.sha256) {
            return Err(BackupError::Damaged(format!(
                "{}: what was read back is not what was written; look after the disk",
                new.display()
            )));
        }
        let directory = self.directory.join(name.directory());
        create_private(&directory).map_err(|e| BackupError::io("create", &directory, &e))?;
        let sha256 = hex(&hash.finalize());
        let to = directory.join(sealing.file_name(&format!("{name}-{sha256}")));
        fs::rename(new, &to).map_err(|e| BackupError::io("write", &to, &e))?;
        self.sync_names(name)?;
        let (compression, encrypted) = (sealing.compression, sealing.encrypts());
        Ok(Archived { path: to, sha256, compression, encrypted })
    }
}

/// A segment that was cut off would end every recovery there.
fn check_length(path: &Path, name: &WalName, header: Header) -> Result<(), BackupError> {
    let length = path.metadata().map_err(|e| BackupError::io("read", path, &e))?.len();
    if !name.is_whole_segment() || length == header.segment_size {
        return Ok(());
    }
    Err(BackupError::failed(format!(
        "{} is {length} bytes long, but its segments have {}; it is not whole",
        path.display(),
        header.segment_size
    )))
}
