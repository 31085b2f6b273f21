//! Moving one file to or from the store, a piece at a time, and knowing its SHA-256 afterwards.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path as FilePath,
    time::Duration,
};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, path::Path};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::{
    super::{blocking, error::BackupError, manifest::hex, meter::Meter},
    place::Place,
};

/// What is uploaded at a time, in bytes. S3 wants at least 5 MiB.
pub(super) const PIECE: usize = 6 << 20;
/// What is read back at a time, in bytes.
const READ: u64 = 4 << 20;
/// Pieces that are on their way beside each other.
const IN_FLIGHT: usize = 2;
/// S3 takes no more pieces of one object than 10,000.
const MOST_PIECES: u64 = 9_000;
/// How long cleaning up after a failure may take.
const CLEANING: Duration = Duration::from_secs(5);

/// A file as it should be.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) bytes: u64,
    /// In hexadecimal; none when it becomes known on the way.
    pub(super) sha256: Option<String>,
}

impl Expected {
    fn is(&self, sha256: &str) -> bool {
        self.sha256.as_ref().is_none_or(|expected| expected == sha256)
    }
}

/// A local file being read, with the hash of what was read.
struct Pieces {
    file: File,
    hash: Sha256,
    size: usize,
}

impl Pieces {
    fn next(mut self) -> io::Result<(Self, Bytes)> {
        let mut piece = Vec::with_capacity(self.size);
        (&mut self.file).take(self.size as u64).read_to_end(&mut piece)?;
        self.hash.update(&piece);
        Ok((self, piece.into()))
    }
}

/// Large enough for the whole file to be few enough pieces.
fn piece_size(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(MOST_PIECES)).unwrap_or(PIECE).max(PIECE)
}

async fn read_piece(path: &FilePath, pieces: Pieces) -> Result<(Pieces, Bytes), BackupError> {
    let path = path.to_owned();
    blocking(move || pieces.next().map_err(|error| BackupError::io("read", &path, &error))).await
}

impl Place {
    /// Uploads a local file, reads it back, and returns its SHA-256.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when the local file is not as expected; then nothing was stored.
    pub(super) async fn upload(
        &self,
        from: &FilePath,
        to: &Path,
        expected: &Expected,
        meter: &Meter,
    ) -> Result<String, BackupError> {
        meter.begin(format!("uploading {}", name_of(to)), expected.bytes);
        let file = File::open(from).map_err(|error| BackupError::io("read", from, &error))?;
        let size = piece_size(expected.bytes);
        let pieces = Pieces { file, hash: Sha256::new(), size };
        let sha256 = if expected.bytes <= size as u64 {
            self.upload_whole(from, to, expected, pieces, meter).await?
        } else {
            self.upload_pieces(from, to, expected, pieces, meter).await?
        };
        let expected = Expected { bytes: expected.bytes, sha256: Some(sha256.clone()) };
        if self.holds(to, &expected, meter).await? {
            return Ok(sha256);
        }
        Err(BackupError::failed(format!(
            "{self} gives back something else for {} than was uploaded; look after the store",
            name_of(to)
        )))
    }

    async fn upload_whole(
        &self,
        from: &FilePath,
        to: &Path,
        expected: &Expected,
        pieces: Pieces,
        meter: &Meter,
    ) -> Result<String, BackupError> {
        let (pieces, piece) = read_piece(from, pieces).await?;
        let sha256 = hex(&pieces.hash.finalize());
        check_local(from, expected, piece.len() as u64, &sha256)?;
        let put = self.store.put(to, piece.into()).await;
        put.map_err(|error| self.upload_failed(to, &error))?;
        meter.advance(expected.bytes);
        Ok(sha256)
    }

    async fn upload_pieces(
        &self,
        from: &FilePath,
        to: &Path,
        expected: &Expected,
        pieces: Pieces,
        meter: &Meter,
    ) -> Result<String, BackupError> {
        let begun = self.store.put_multipart(to).await;
        let mut upload = begun.map_err(|error| self.upload_failed(to, &error))?;
        match self.send_pieces(upload.as_mut(), from, to, expected, pieces, meter).await {
            Ok(sha256) => Ok(sha256),
            Err(error) => {
                // What cannot be taken back now is hidden, and the store's own rules remove it.
                let _ = tokio::time::timeout(CLEANING, upload.abort()).await;
                Err(error)
            }
        }
    }

    async fn send_pieces(
        &self,
        upload: &mut dyn MultipartUpload,
        from: &FilePath,
        to: &Path,
        expected: &Expected,
        mut pieces: Pieces,
        meter: &Meter,
    ) -> Result<String, BackupError> {
        let mut sending = JoinSet::new();
        let mut bytes = 0;
        let sent = |done: Result<object_store::Result<u64>, tokio::task::JoinError>| match done {
            Ok(Ok(bytes)) => {
                meter.advance(bytes);
                Ok(())
            }
            Ok(Err(error)) => Err(self.upload_failed(to, &error)),
            Err(error) => Err(BackupError::failed(error.to_string())),
        };
        loop {
            let (rest, piece) = read_piece(from, pieces).await?;
            pieces = rest;
            if piece.is_empty() {
                break;
            }
            let length = piece.len() as u64;
            bytes += length;
            let part = upload.put_part(piece.into());
            sending.spawn(async move { part.await.map(|()| length) });
            while sending.len() >= IN_FLIGHT {
                sending.join_next().await.map_or(Ok(()), sent)?;
            }
        }
        while let Some(done) = sending.join_next().await {
            sent(done)?;
        }
        let sha256 = hex(&pieces.hash.finalize());
        check_local(from, expected, bytes, &sha256)?;
        upload.complete().await.map_err(|error| self.upload_failed(to, &error))?;
        Ok(sha256)
    }

    fn upload_failed(&self, to: &Path, error: &object_store::Error) -> BackupError {
        self.failed(&format!("upload {} to", name_of(to)), error)
    }

    /// Whether the store holds just this under the key. Reads all of it.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub(super) async fn holds(
        &self,
        key: &Path,
        expected: &Expected,
        meter: &Meter,
    ) -> Result<bool, BackupError> {
        let reading = |error: &object_store::Error| {
            self.failed(&format!("read {} back from", name_of(key)), error)
        };
        match self.store.head(key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(reading(&error)),
            Ok(found) if found.size != expected.bytes => return Ok(false),
            Ok(_) => {}
        }
        meter.begin(format!("reading {} back", name_of(key)), expected.bytes);
        let sha256 = self.read(key, expected.bytes, None, meter).await?;
        Ok(expected.is(&sha256))
    }

    /// Downloads an object into a new file, which is on the disk afterwards.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when it is not as expected.
    pub(super) async fn download(
        &self,
        key: &Path,
        to: &FilePath,
        expected: &Expected,
        meter: &Meter,
    ) -> Result<(), BackupError> {
        meter.begin(format!("downloading {}", name_of(key)), expected.bytes);
        let failed = |error: io::Error| BackupError::io("write", to, &error);
        let file = File::create_new(to).map_err(failed)?;
        let copy = file.try_clone().map_err(failed)?;
        let sha256 = self.read(key, expected.bytes, Some((copy, to)), meter).await?;
        if !expected.is(&sha256) {
            return Err(BackupError::Damaged(format!(
                "the copy of {} in {self} is damaged: its SHA-256 differs from the manifest's; \
                 `figw backup sync` replaces it where the backup is still good",
                name_of(key)
            )));
        }
        let path = to.to_owned();
        blocking(move || file.sync_all().map_err(|error| BackupError::io("write", &path, &error)))
            .await
    }

    /// Reads so many bytes of an object into `to`, and returns their SHA-256. The next piece is on
    /// its way while one is hashed.
    async fn read(
        &self,
        key: &Path,
        bytes: u64,
        to: Option<(File, &FilePath)>,
        meter: &Meter,
    ) -> Result<String, BackupError> {
        let fetch = |at: u64| async move {
            let end = bytes.min(at + READ);
            if at == end {
                return Ok(Bytes::new());
            }
            let piece = self.store.get_range(key, at..end).await;
            piece.map_err(|error| self.failed(&format!("read {} from", name_of(key)), &error))
        };
        let mut sink = (to.map(|(file, path)| (file, path.to_owned())), Sha256::new());
        let mut at = 0;
        let mut piece = fetch(0).await?;
        while !piece.is_empty() {
            at += piece.len() as u64;
            meter.advance(piece.len() as u64);
            let taken = blocking(move || {
                let (mut to, mut hash) = sink;
                if let Some((file, path)) = &mut to {
                    file.write_all(&piece).map_err(|e| BackupError::io("write", path, &e))?;
                }
                hash.update(&piece);
                Ok((to, hash))
            });
            let (taken, next) = tokio::join!(taken, fetch(at));
            (sink, piece) = (taken?, next?);
        }
        Ok(hex(&sink.1.finalize()))
    }
}

fn check_local(
    path: &FilePath,
    expected: &Expected,
    bytes: u64,
    sha256: &str,
) -> Result<(), BackupError> {
    let why = if bytes != expected.bytes {
        format!("{bytes} bytes long instead of {}", expected.bytes)
    } else if !expected.is(sha256) {
        "its SHA-256 differs from the manifest's".to_owned()
    } else {
        return Ok(());
    };
    Err(BackupError::Damaged(format!("{} is damaged: {why}", path.display())))
}

/// `ID/part`: what an object is called in messages.
fn name_of(key: &Path) -> String {
    let mut parts: Vec<_> = key.parts().map(|part| part.as_ref().to_owned()).collect();
    parts.split_off(parts.len().saturating_sub(2)).join("/")
}
