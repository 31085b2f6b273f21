//! Reading: decrypt, decompress, and compare the hash of what was stored.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use sha2::Digest;

use super::{
    super::{
        error::BackupError,
        growth::{Following, Growth},
        manifest::{Part, hex},
    },
    CHUNK, Tally,
};
use crate::config::Compression;

/// Secret keys that encrypted parts are opened with.
#[derive(Default)]
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} identities", self.0.len())
    }
}

impl Identities {
    /// Reads files as `age-keygen` writes them.
    ///
    /// # Errors
    /// When a file cannot be read or holds no key.
    pub fn read(paths: &[PathBuf]) -> Result<Self, BackupError> {
        let mut all = Vec::new();
        for path in paths {
            let file = File::open(path).map_err(|e| BackupError::io("read", path, &e))?;
            let unusable = |error: &dyn std::fmt::Display| {
                BackupError::Invalid(format!(
                    "{} is no file with secret keys of age: {error}; `age-keygen` makes one",
                    path.display()
                ))
            };
            let keys = age::IdentityFile::from_buffer(io::BufReader::new(file))
                .map_err(|error| unusable(&error))?;
            all.extend(keys.into_identities().map_err(|error| unusable(&error))?);
        }
        Ok(Self(all))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn decrypt(
        &self,
        path: &Path,
        sealed: Box<dyn Read + Send>,
    ) -> Result<Box<dyn Read + Send>, BackupError> {
        let sealed = io::BufReader::with_capacity(CHUNK, sealed);
        let decryptor =
            age::Decryptor::new_buffered(sealed).map_err(|error| damaged(path, &error))?;
        let keys = self.0.iter().map(|key| &**key as &dyn age::Identity);
        let opened = decryptor.decrypt(keys);
        Ok(Box::new(opened.map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => self.no_key(path),
            other => damaged(path, &other),
        })?))
    }

    fn no_key(&self, path: &Path) -> BackupError {
        let what = if self.is_empty() {
            "is encrypted and there is no key to open it; name the file with the secret key"
        } else {
            "is encrypted to other keys than those given; name the file with the right secret key"
        };
        BackupError::Locked(format!(
            "{} {what}: --identity FILE or backup.identities",
            path.display()
        ))
    }
}

/// Why a file cannot be read: only one that is not there says something about its backup.
fn unreadable(path: &Path, error: &io::Error) -> BackupError {
    match error.kind() {
        io::ErrorKind::NotFound => BackupError::Damaged(format!("{} is missing", path.display())),
        _ => BackupError::io("read", path, error),
    }
}

fn damaged(path: &Path, how: &dyn std::fmt::Display) -> BackupError {
    BackupError::Damaged(format!("{} is damaged: {how}", path.display()))
}

/// A part that is still being written, for whoever reads it meanwhile.
#[derive(Debug)]
pub struct Follow {
    pub(super) path: PathBuf,
    pub(super) compression: Compression,
    pub(super) encrypted: bool,
    pub(super) growth: Arc<Growth>,
}

impl Follow {
    /// Opens the part. Reading it waits for the writer, and ends with it.
    ///
    /// # Errors
    /// As [`PartReader::open`].
    pub fn open(self, identities: &Identities) -> Result<PartReader, BackupError> {
        let file = File::open(&self.path).map_err(|e| BackupError::io("read", &self.path, &e))?;
        let stored = Box::new(Following::new(file, self.growth));
        PartReader::unpack(&self.path, stored, self.compression, self.encrypted, identities)
    }
}

/// A sealed file being read: gives the content.
pub struct PartReader {
    path: PathBuf,
    layers: Box<dyn Read + Send>,
    stored: SharedTally,
    content_bytes: u64,
}

impl PartReader {
    /// Opens a part of the backup in this directory.
    ///
    /// # Errors
    /// [`BackupError::Locked`] when no identity opens it, [`BackupError::Damaged`] when it is not
    /// there or its beginning makes no sense.
    pub fn open(
        directory: &Path,
        part: &Part,
        identities: &Identities,
    ) -> Result<Self, BackupError> {
        Self::open_file(&directory.join(&part.name), part.compression, part.encrypted, identities)
    }

    /// Opens any sealed file.
    ///
    /// # Errors
    /// As [`PartReader::open`].
    pub fn open_file(
        path: &Path,
        compression: Compression,
        encrypted: bool,
        identities: &Identities,
    ) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        Self::unpack(path, Box::new(file), compression, encrypted, identities)
    }

    /// Takes the layers off what `stored` gives; `path` names it in errors.
    fn unpack(
        path: &Path,
        stored: Box<dyn Read + Send>,
        compression: Compression,
        encrypted: bool,
        identities: &Identities,
    ) -> Result<Self, BackupError> {
        let stored = SharedTally(Arc::new(Mutex::new(Tally::new(stored))));
        let mut layers: Box<dyn Read + Send> = Box::new(stored.clone());
        if encrypted {
            layers = identities.decrypt(path, layers)?;
        }
        if compression == Compression::Zstd {
            let decoder = zstd::Decoder::new(layers);
            layers = Box::new(decoder.map_err(|error| damaged(path, &error))?);
        }
        Ok(Self { path: path.to_owned(), layers, stored, content_bytes: 0 })
    }

    /// What an error while reading means.
    pub fn damaged(&self, error: &dyn std::fmt::Display) -> BackupError {
        damaged(&self.path, error)
    }

    /// Reads the rest, and compares the whole with what the manifest says of it.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when it differs.
    pub fn finish(mut self, part: &Part) -> Result<(), BackupError> {
        io::copy(&mut self, &mut io::sink()).map_err(|error| self.damaged(&error))?;
        let mut tally = self.stored.0.lock().unwrap_or_else(PoisonError::into_inner);
        // What stands behind the end of the innermost layer belongs to the file all the same.
        io::copy(&mut *tally, &mut io::sink()).map_err(|error| self.damaged(&error))?;
        compare(&self.path, part, tally.bytes, &hex(&tally.hash.clone().finalize()))?;
        if self.content_bytes == part.content_bytes {
            return Ok(());
        }
        Err(self.damaged(&format!(
            "it holds {} bytes instead of {}",
            self.content_bytes, part.content_bytes
        )))
    }
}

impl Read for PartReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.layers.read(buffer)?;
        self.content_bytes += read as u64;
        Ok(read)
    }
}

/// The file below all layers, which is asked for its hash once they are done.
#[derive(Clone)]
struct SharedTally(Arc<Mutex<Tally<Box<dyn Read + Send>>>>);

impl Read for SharedTally {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).read(buffer)
    }
}

/// Reads a part as it is stored and compares it with its manifest: no key is needed.
///
/// # Errors
/// [`BackupError::Damaged`] when it differs or cannot be read.
pub fn check_stored(directory: &Path, part: &Part) -> Result<(), BackupError> {
    let path = directory.join(&part.name);
    let (bytes, sha256) = hash_file(&path).map_err(|error| unreadable(&path, &error))?;
    compare(&path, part, bytes, &sha256)
}

/// Bytes of a file, and its SHA-256 in hexadecimal.
///
/// # Errors
/// When it cannot be read.
pub fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut tally = Tally::new(io::sink());
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((tally.bytes, hex(&tally.hash.finalize()))),
            read => tally.passed(&buffer[..read]),
        }
    }
}

fn compare(path: &Path, part: &Part, bytes: u64, sha256: &str) -> Result<(), BackupError> {
    if bytes != part.bytes {
        return Err(damaged(path, &format!("{bytes} bytes long instead of {}", part.bytes)));
    }
    if sha256 != part.sha256 {
        return Err(damaged(path, &"its SHA-256 differs from the manifest's"));
    }
    Ok(())
}
