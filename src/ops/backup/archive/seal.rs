//! Writing: compress, encrypt, hash.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use age::x25519::Recipient;
use sha2::Digest;

use super::{
    super::{
        error::BackupError,
        growth::{Growing, GrowthEnd},
        manifest::{Content, Part, hex},
    },
    Follow, Tally, hash_file,
};
use crate::config::Compression;

/// zstd's level for each kind of content. Rows and indexes come out as small at level 1 as at zstd's
/// own default (a dump of usage rows a little smaller), in half the time.
const fn level(content: Content) -> i32 {
    match content {
        Content::PostgresqlDump | Content::SqliteFile => 1,
        _ => zstd::DEFAULT_COMPRESSION_LEVEL,
    }
}

/// How parts are written.
#[derive(Clone)]
pub struct Sealing {
    /// Whether to compress.
    pub compression: Compression,
    recipients: Vec<Recipient>,
}

impl std::fmt::Debug for Sealing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealing({:?}, {} recipients)", self.compression, self.recipients.len())
    }
}

impl Sealing {
    /// Compresses like this, and encrypts to these public keys of age, if there are any.
    ///
    /// # Errors
    /// When a key cannot be read.
    pub fn new(compression: Compression, encrypt_to: &[String]) -> Result<Self, BackupError> {
        let recipients = encrypt_to.iter().map(|key| {
            key.parse().map_err(|error| {
                BackupError::Invalid(format!("backup.encrypt_to: {key} is no age key: {error}"))
            })
        });
        Ok(Self { compression, recipients: recipients.collect::<Result<_, _>>()? })
    }

    /// Whether parts are encrypted.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        !self.recipients.is_empty()
    }

    /// Whether content is stored just as it is.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.compression == Compression::None && !self.encrypts()
    }

    /// Makes a part of a file that holds its content already: see [`Self::is_plain`].
    ///
    /// # Errors
    /// When it cannot be brought to the disk, or read.
    pub fn adopt(&self, path: &Path, content: Content) -> Result<Part, BackupError> {
        let file = File::open(path).map_err(|error| BackupError::io("read", path, &error))?;
        file.sync_all().map_err(|error| BackupError::io("write", path, &error))?;
        let (bytes, sha256) =
            hash_file(path).map_err(|error| BackupError::io("read", path, &error))?;
        Ok(Part {
            name: self.file_name(content.file_stem()),
            content,
            compression: self.compression,
            encrypted: self.encrypts(),
            bytes,
            sha256,
            content_bytes: bytes,
        })
    }

    /// The file name of something called `stem` when it is sealed like this.
    #[must_use]
    pub fn file_name(&self, stem: &str) -> String {
        let zstd = if self.compression == Compression::Zstd { ".zst" } else { "" };
        let age = if self.encrypts() { ".age" } else { "" };
        format!("{stem}{zstd}{age}")
    }

    /// Begins a part in this directory.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn part(&self, directory: &Path, content: Content) -> Result<PartWriter, BackupError> {
        let name = self.file_name(content.file_stem());
        let path = directory.join(&name);
        let failed = |error: io::Error| BackupError::io("write", &path, &error);
        let growth = GrowthEnd(Arc::default());
        let file = create_private(&path).map_err(failed)?;
        let output = Growing { file, growth: Arc::clone(&growth.0) };
        let seal = self.seal(output, level(content)).map_err(failed)?;
        let (compression, encrypted) = (self.compression, self.encrypts());
        Ok(PartWriter { name, path, content, compression, encrypted, seal, growth })
    }

    /// Seals whatever is written, into `output`.
    ///
    /// # Errors
    /// When `output` takes nothing.
    pub fn writer(&self, output: File) -> io::Result<SealWriter<File>> {
        self.seal(output, zstd::DEFAULT_COMPRESSION_LEVEL)
    }

    fn seal<W: Write>(&self, output: W, level: i32) -> io::Result<SealWriter<W>> {
        let tally = Tally::new(output);
        let encryptor = if self.encrypts() {
            let recipients = self.recipients.iter().map(|one| one as &dyn age::Recipient);
            let encryptor =
                age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
            Encryptor::Age(encryptor.wrap_output(tally)?)
        } else {
            Encryptor::None(tally)
        };
        let compressor = match self.compression {
            Compression::None => Compressor::None(encryptor),
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(encryptor, level)?;
                encoder.include_checksum(true)?;
                Compressor::Zstd(encoder)
            }
        };
        Ok(SealWriter { content_bytes: 0, compressor })
    }
}

/// A new file that its owner alone may read.
///
/// # Errors
/// When it cannot be created, or is there already.
pub fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// A part being written.
pub struct PartWriter {
    name: String,
    path: PathBuf,
    content: Content,
    compression: Compression,
    encrypted: bool,
    seal: SealWriter<Growing>,
    growth: GrowthEnd,
}

impl PartWriter {
    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// For reading the part while it is still being written, on another thread.
    #[must_use]
    pub fn follow(&self) -> Follow {
        Follow {
            path: self.path.clone(),
            compression: self.compression,
            encrypted: self.encrypted,
            growth: Arc::clone(&self.growth.0),
        }
    }

    /// Ends the part and brings it to the disk.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn finish(self) -> Result<Part, BackupError> {
        let failed = |error: io::Error| BackupError::io("write", &self.path, &error);
        let sealed = self.seal.finish().map_err(failed)?;
        // Who follows need not wait for the disk.
        drop(self.growth);
        sealed.file.file.sync_all().map_err(failed)?;
        Ok(Part {
            name: self.name,
            content: self.content,
            compression: self.compression,
            encrypted: self.encrypted,
            bytes: sealed.bytes,
            sha256: sealed.sha256,
            content_bytes: sealed.content_bytes,
        })
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.seal.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.seal.flush()
    }
}

/// Compresses, encrypts and hashes what is written.
pub struct SealWriter<W: Write> {
    content_bytes: u64,
    compressor: Compressor<W>,
}

/// What came of sealing. The file is not synced yet.
#[derive(Debug)]
pub struct Sealed<W> {
    /// The file that was written to.
    pub file: W,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Bytes that went in.
    pub content_bytes: u64,
}

impl<W: Write> SealWriter<W> {
    /// Writes the ends of all layers.
    ///
    /// # Errors
    /// When the file does not take them.
    pub fn finish(self) -> io::Result<Sealed<W>> {
        let encryptor = match self.compressor {
            Compressor::Zstd(encoder) => encoder.finish()?,
            Compressor::None(encryptor) => encryptor,
        };
        let tally = match encryptor {
            Encryptor::Age(stream) => stream.finish()?,
            Encryptor::None(tally) => tally,
        };
        let (sha256, bytes) = (hex(&tally.hash.finalize()), tally.bytes);
        Ok(Sealed { file: tally.inner, bytes, sha256, content_bytes: self.content_bytes })
    }
}

impl<W: Write> Write for SealWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.compressor {
            Compressor::Zstd(encoder) => encoder.write(bytes)?,
            Compressor::None(encryptor) => encryptor.write(bytes)?,
        };
        self.content_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.compressor {
            Compressor::Zstd(encoder) => encoder.flush(),
            Compressor::None(encryptor) => encryptor.flush(),
        }
    }
}

enum Compressor<W: Write> {
    Zstd(zstd::Encoder<'static, Encryptor<W>>),
    None(Encryptor<W>),
}

enum Encryptor<W: Write> {
    Age(age::stream::StreamWriter<Tally<W>>),
    None(Tally<W>),
}

impl<W: Write> Write for Encryptor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Age(stream) => stream.write(bytes),
            Self::None(tally) => tally.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Age(stream) => stream.flush(),
            Self::None(tally) => tally.flush(),
        }
    }
}
