//! Knowing a place again: a marker in it, and a note here of the places that were used.
//!
//! A disk that is not mounted leaves an empty directory, and a wrong prefix an empty one in a store.
//! Neither is to be taken for a place that copies went to before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::Path as FilePath,
};

use jiff::Timestamp;
use object_store::{ObjectStoreExt, path::Path};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{error::BackupError, repository::write_synced},
    place::Place,
};

/// The marker's name in the place.
const MARKER: &str = "figw-offsite.json";
/// The note's name in the directory of the backups.
const NOTE: &str = "offsite.json";
/// What to do about a place that is not the one that was used.
const REMEDY: &str = "mount the right disk or correct backup.offsite_url, or, if copies are to go \
                      there from now on, run `figw backup sync --new-place`";

/// What a place says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    id: Uuid,
    begun_at: Timestamp,
    /// Version of the figw that began it.
    figw: String,
}

/// The markers that were found in each place, for disks may take turns.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    places: BTreeMap<String, BTreeSet<Uuid>>,
}

impl Note {
    fn read(backups: &FilePath) -> Result<Self, BackupError> {
        let path = backups.join(NOTE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|error| BackupError::io("read", &path, &error))?,
        };
        serde_json::from_slice(&text).map_err(|error| {
            BackupError::failed(format!(
                "{} cannot be understood: {error}; look whether the place for off-site copies is \
                 the right one, then remove that file",
                path.display()
            ))
        })
    }

    fn write(&self, backups: &FilePath) -> Result<(), BackupError> {
        let path = backups.join(NOTE);
        let text = serde_json::to_vec_pretty(self);
        let text = text.map_err(|error| BackupError::failed(error.to_string()))?;
        write_synced(&path, &text)?;
        // PostgreSQL's user asks it, too, when it fetches WAL.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .map_err(|error| BackupError::io("write", &path, &error))
    }
}

/// Whether this user may look into a directory.
fn may_enter(directory: &FilePath) -> bool {
    let looked = fs::metadata(directory.join(NOTE));
    !looked.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

impl Place {
    /// The place as it is known in this directory of backups.
    ///
    /// # Errors
    /// When the note there cannot be read.
    pub(in crate::ops::backup) fn known_in(
        mut self,
        backups: &FilePath,
    ) -> Result<Self, BackupError> {
        self.backups = Some(backups.to_owned());
        self.known = match Note::read(backups) {
            Ok(mut note) => note.places.remove(&self.shown).unwrap_or_default(),
            // PostgreSQL's user may fetch WAL from off-site alone.
            Err(_) if !may_enter(backups) => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        Ok(self)
    }

    /// Takes the place for a new one, whatever is known of it.
    pub(super) fn begin_anew(&mut self) {
        self.known.clear();
    }

    /// Makes sure that it is the place that was used before, if one was; the answer is its marker.
    ///
    /// # Errors
    /// When it is another one, or cannot be looked at.
    pub(super) async fn recognise(&self) -> Result<Option<Marker>, BackupError> {
        let marker = self.marker().await?;
        match &marker {
            _ if self.known.is_empty() => Ok(marker),
            Some(found) if self.known.contains(&found.id) => Ok(marker),
            Some(_) => Err(BackupError::failed(format!(
                "{self} is not the place that off-site copies went to before: its {MARKER} is \
                 another one's; {REMEDY}"
            ))),
            None => Err(BackupError::failed(format!(
                "{self} lacks {MARKER}, although off-site copies went there before; {REMEDY}"
            ))),
        }
    }

    /// Makes sure that it is the right place to write to: one that is new is marked, and known from
    /// then on.
    ///
    /// # Errors
    /// As [`Place::recognise`], and when it cannot be written to.
    pub(super) async fn enter(&self, backups: &FilePath) -> Result<(), BackupError> {
        let marker = match self.recognise().await? {
            Some(marker) => marker,
            None => self.mark().await?,
        };
        let mut note = Note::read(backups)?;
        if note.places.entry(self.shown.clone()).or_default().insert(marker.id) {
            note.write(backups)?;
        }
        Ok(())
    }

    fn marker_key(&self) -> Path {
        self.prefix.clone().join(MARKER)
    }

    async fn marker(&self) -> Result<Option<Marker>, BackupError> {
        if self.directory.as_ref().is_some_and(|directory| !directory.exists()) {
            return Ok(None);
        }
        let Some(text) = self.text(&self.marker_key()).await? else { return Ok(None) };
        let marker = serde_json::from_slice(&text).map_err(|error| {
            BackupError::failed(format!(
                "{MARKER} in {self} cannot be understood: {error}; if the place is the right one, \
                 remove that file and run `figw backup sync --new-place`"
            ))
        })?;
        Ok(Some(marker))
    }

    async fn mark(&self) -> Result<Marker, BackupError> {
        self.create()?;
        let figw = env!("CARGO_PKG_VERSION").to_owned();
        let marker = Marker { id: Uuid::new_v4(), begun_at: Timestamp::now(), figw };
        let text = serde_json::to_vec_pretty(&marker);
        let text = text.map_err(|error| BackupError::failed(error.to_string()))?;
        let put = self.store.put(&self.marker_key(), text.into()).await;
        put.map_err(|error| self.failed(&format!("write {MARKER} to"), &error))?;
        // Two machines may begin at once: what stands there in the end counts.
        Ok(self.marker().await?.unwrap_or(marker))
    }
}
