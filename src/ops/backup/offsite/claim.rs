//! Telling a directory for off-site copies from the empty mount point of its disk.
//!
//! A mark in it is noted beside the backups. When it is gone although it was there, nothing is
//! written: the disk of the backups themselves would fill up with their copies.

use std::{fs, io::ErrorKind, path::Path};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    super::{
        error::BackupError,
        repository::{Repository, create_private, is_id, write_synced},
    },
    place::Place,
};

/// In the directory of copies: its mark.
const MARK: &str = "figw-offsite";
/// In the directory of backups: which mark was last seen, and where.
const NOTE: &str = "offsite.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    directory: String,
    mark: Uuid,
}

impl Place {
    /// Makes sure that a directory is there to be written to, and the same as before. A store of
    /// objects is always itself.
    ///
    /// # Errors
    /// When it cannot be created, or has lost its mark.
    pub(super) fn claim(&self, backups: &Repository) -> Result<(), BackupError> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let noted_in = backups.directory().join(NOTE);
        let noted = read_note(&noted_in)?.filter(|note| Path::new(&note.directory) == directory);
        let mark = match (read_mark(directory)?, &noted) {
            (Some(mark), _) => mark,
            (None, Some(note)) if !has_copies(directory) => {
                return Err(BackupError::failed(format!(
                    "{} had off-site copies in it and has lost its mark {}; is its disk mounted? To \
                     begin anew there, remove {}",
                    directory.display(),
                    note.mark,
                    noted_in.display()
                )));
            }
            (None, _) => {
                create_private(directory)
                    .map_err(|error| BackupError::io("create", directory, &error))?;
                let mark = Uuid::new_v4();
                write_synced(&directory.join(MARK), format!("{mark}\n").as_bytes())?;
                mark
            }
        };
        let note = Note { directory: directory.display().to_string(), mark };
        if noted.as_ref() == Some(&note) {
            return Ok(());
        }
        let text = serde_json::to_vec(&note)
            .map_err(|error| BackupError::failed(format!("{}: {error}", noted_in.display())))?;
        write_synced(&noted_in, &text)
    }
}

/// One that cannot be understood is as good as none.
fn read_note(path: &Path) -> Result<Option<Note>, BackupError> {
    Ok(read(path)?.and_then(|text| serde_json::from_str(&text).ok()))
}

fn read_mark(directory: &Path) -> Result<Option<Uuid>, BackupError> {
    Ok(read(&directory.join(MARK))?.and_then(|text| text.trim().parse().ok()))
}

fn read(path: &Path) -> Result<Option<String>, BackupError> {
    match fs::read_to_string(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        text => text.map(Some).map_err(|error| BackupError::io("read", path, &error)),
    }
}

/// Copies without a mark are of a figw that made none.
fn has_copies(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(is_id))
}
