//! Uploading one file, a piece at a time, and reading it back.

use std::{
    fs::File,
    io::{self, Read},
    path::Path as FilePath,
    time::Duration,
};

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, path::Path};
use sha2::{Digest, Sha256};
use tokio::task::{JoinError, JoinSet};

use super::{
    super::{blocking, error::BackupError, manifest::hex, meter::Meter},
    place::Place,
    transfer::{Expected, name_of},
};

/// What is uploaded at a time, in bytes. S3 wants at least 5 MiB.
const PIECE: usize = 6 << 20;
/// Pieces that are on their way beside each other.
const IN_FLIGHT: usize = 2;
/// S3 takes no more pieces of one object than 10,000.
const MOST_PIECES: u64 = 9_000;
/// How long cleaning up after a failure may take.
const CLEANING: Duration = Duration::from_secs(5);

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

/// A local file on its way to its place.
struct Upload<'a> {
    place: &'a Place,
    from: &'a FilePath,
    to: &'a Path,
    expected: &'a Expected,
    meter: &'a Meter,
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
        let sha256 = Upload { place: self, from, to, expected, meter }.run().await?;
        let expected = Expected { bytes: expected.bytes, sha256: Some(sha256.clone()) };
        if self.holds(to, &expected, meter).await? {
            return Ok(sha256);
        }
        Err(BackupError::failed(format!(
            "{self} gives back something else for {} than was uploaded; look after the store",
            name_of(to)
        )))
    }
}

impl Upload<'_> {
    async fn run(&self) -> Result<String, BackupError> {
        let file = File::open(self.from);
        let file = file.map_err(|error| BackupError::io("read", self.from, &error))?;
        let size = piece_size(self.expected.bytes);
        let pieces = Pieces { file, hash: Sha256::new(), size };
        if self.expected.bytes <= size as u64 {
            self.send_whole(pieces).await
        } else {
            self.send_pieces(pieces).await
        }
    }

    async fn send_whole(&self, pieces: Pieces) -> Result<String, BackupError> {
        let (pieces, piece) = self.read(pieces).await?;
        let sha256 = self.check(piece.len() as u64, pieces.hash)?;
        let put = self.place.store.put(self.to, piece.into()).await;
        put.map_err(|error| self.failed(&error))?;
        self.meter.advance(self.expected.bytes);
        Ok(sha256)
    }

    async fn send_pieces(&self, pieces: Pieces) -> Result<String, BackupError> {
        let mut upload = self.place.begin_pieces(self.to, |error| self.failed(error)).await?;
        let sent = self.send_each(pieces, upload.as_mut()).await;
        if sent.is_err() {
            // What cannot be taken back now is hidden, and the next run tries again.
            let _ = tokio::time::timeout(CLEANING, upload.abort()).await;
        }
        sent
    }

    async fn send_each(
        &self,
        mut pieces: Pieces,
        upload: &mut dyn MultipartUpload,
    ) -> Result<String, BackupError> {
        let mut sending = JoinSet::new();
        let mut bytes = 0;
        loop {
            let (rest, piece) = self.read(pieces).await?;
            pieces = rest;
            if piece.is_empty() {
                break;
            }
            let length = piece.len() as u64;
            bytes += length;
            let part = upload.put_part(piece.into());
            sending.spawn(async move { part.await.map(|()| length) });
            while sending.len() >= IN_FLIGHT
                && let Some(done) = sending.join_next().await
            {
                self.sent(done)?;
            }
        }
        while let Some(done) = sending.join_next().await {
            self.sent(done)?;
        }
        let sha256 = self.check(bytes, pieces.hash)?;
        upload.complete().await.map_err(|error| self.failed(&error))?;
        Ok(sha256)
    }

    async fn read(&self, pieces: Pieces) -> Result<(Pieces, Bytes), BackupError> {
        let path = self.from.to_owned();
        blocking(move || pieces.next().map_err(|e| BackupError::io("read", &path, &e))).await
    }

    fn sent(&self, done: Result<object_store::Result<u64>, JoinError>) -> Result<(), BackupError> {
        let bytes = done.map_err(|error| BackupError::failed(error.to_string()))?;
        self.meter.advance(bytes.map_err(|error| self.failed(&error))?);
        Ok(())
    }

    /// That what was read is the file that it should be; the answer is its SHA-256.
    fn check(&self, bytes: u64, hash: Sha256) -> Result<String, BackupError> {
        let sha256 = hex(&hash.finalize());
        let why = if bytes != self.expected.bytes {
            format!("{bytes} bytes long instead of {}", self.expected.bytes)
        } else if !self.expected.is(&sha256) {
            "its SHA-256 differs from the manifest's".to_owned()
        } else {
            return Ok(sha256);
        };
        Err(BackupError::Damaged(format!("{} is damaged: {why}", self.from.display())))
    }

    fn failed(&self, error: &object_store::Error) -> BackupError {
        self.place.failed(&format!("upload {} to", name_of(self.to)), error)
    }
}
