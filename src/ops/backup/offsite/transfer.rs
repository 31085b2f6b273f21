//! Reading an object, a piece at a time, and knowing its SHA-256 afterwards.

use std::{
    fs::File,
    io::{self, Write},
    path::Path as FilePath,
};

use bytes::Bytes;
use object_store::{ObjectStoreExt, path::Path};
use sha2::{Digest, Sha256};

use super::{
    super::{blocking, error::BackupError, manifest::hex, meter::Meter},
    place::Place,
};

/// What is read at a time, in bytes.
const READ: u64 = 4 << 20;

/// A file as it should be.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) bytes: u64,
    /// In hexadecimal; none when it becomes known on the way.
    pub(super) sha256: Option<String>,
}

impl Expected {
    pub(super) fn is(&self, sha256: &str) -> bool {
        self.sha256.as_ref().is_none_or(|expected| expected == sha256)
    }
}

impl Place {
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

/// `ID/part`: what an object is called in messages.
pub(super) fn name_of(key: &Path) -> String {
    let mut parts: Vec<_> = key.parts().map(|part| part.as_ref().to_owned()).collect();
    parts.split_off(parts.len().saturating_sub(2)).join("/")
}
