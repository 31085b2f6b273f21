//! Uploads in pieces to a store of objects. The store keeps the pieces of one that is never finished,
//! so its number is noted here before the first piece goes out: what a killed run has sent, the next
//! one takes back.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::ErrorKind,
    path::{Path as FilePath, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use object_store::{
    MultipartUpload, ObjectStoreExt, PutPayload, PutResult, UploadPart,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use serde::{Deserialize, Serialize};

use super::{
    super::{error::BackupError, repository::write_synced},
    place::Place,
};

/// The note's name in the directory of the backups, whose lock lets one upload run at a time.
const NOTE: &str = ".offsite-upload";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    place: String,
    key: String,
    number: String,
}

impl Note {
    fn read(path: &FilePath) -> Result<Option<Self>, BackupError> {
        match fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            // One that cannot be understood tells of nothing that could be taken back.
            read => read
                .map(|text| serde_json::from_slice(&text).ok())
                .map_err(|error| BackupError::io("read", path, &error)),
        }
    }

    fn write(&self, path: &FilePath) -> Result<(), BackupError> {
        let text = serde_json::to_vec(self);
        write_synced(path, &text.map_err(|error| BackupError::failed(error.to_string()))?)
    }
}

/// An upload whose number is noted until it is whole or taken back.
struct Numbered {
    store: Arc<dyn MultipartStore>,
    key: Path,
    number: String,
    pieces: usize,
    arrived: Arc<Mutex<BTreeMap<usize, PartId>>>,
    note: PathBuf,
}

impl fmt::Debug for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Numbered({} of {})", self.number, self.key)
    }
}

impl Numbered {
    fn forget(&self) {
        // The next run finds it, and that there is nothing left to be taken back.
        let _ = fs::remove_file(&self.note);
    }
}

#[async_trait::async_trait]
impl MultipartUpload for Numbered {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, arrived) = (Arc::clone(&self.store), Arc::clone(&self.arrived));
        let (key, number, index) = (self.key.clone(), self.number.clone(), self.pieces);
        self.pieces += 1;
        Box::pin(async move {
            let part = store.put_part(&key, &number, index, data).await?;
            arrived.lock().unwrap_or_else(PoisonError::into_inner).insert(index, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let arrived =
            std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner));
        let parts = arrived.into_values().collect();
        let put = self.store.complete_multipart(&self.key, &self.number, parts).await?;
        self.forget();
        Ok(put)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.store.abort_multipart(&self.key, &self.number).await?;
        self.forget();
        Ok(())
    }
}

impl Place {
    /// Begins an upload in pieces.
    pub(super) async fn begin_pieces(
        &self,
        key: &Path,
        failed: impl Fn(&object_store::Error) -> BackupError,
    ) -> Result<Box<dyn MultipartUpload>, BackupError> {
        let (Some(store), Some(backups)) = (&self.multipart, &self.backups) else {
            return self.store.put_multipart(key).await.map_err(|error| failed(&error));
        };
        let number = store.create_multipart(key).await.map_err(|error| failed(&error))?;
        let upload = Numbered {
            store: Arc::clone(store),
            key: key.clone(),
            number: number.clone(),
            pieces: 0,
            arrived: Arc::default(),
            note: backups.join(NOTE),
        };
        Note { place: self.shown.clone(), key: key.to_string(), number }.write(&upload.note)?;
        Ok(Box::new(upload))
    }

    /// Takes back what an interrupted run has sent here of a file. The exclusive lock must be held.
    ///
    /// # Errors
    /// When the note of it cannot be read.
    pub(super) async fn take_back(&self) -> Result<(), BackupError> {
        let (Some(store), Some(backups)) = (&self.multipart, &self.backups) else { return Ok(()) };
        let path = backups.join(NOTE);
        let Some(note) = Note::read(&path)?.filter(|note| note.place == self.shown) else {
            return Ok(());
        };
        match store.abort_multipart(&Path::from(note.key), &note.number).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                fs::remove_file(&path).map_err(|error| BackupError::io("remove", &path, &error))
            }
            // It costs some room there, and no run its success.
            Err(error) => {
                let error = self.failed("take back an unfinished upload from", &error);
                tracing::warn!("{error}");
                Ok(())
            }
        }
    }
}
