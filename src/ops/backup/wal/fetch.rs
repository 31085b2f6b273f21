//! `restore_command`: the content as it was, or nothing.

use std::{
    fs,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use super::{
    super::{
        archive::{CHUNK, Identities, PartReader, create_private},
        blocking,
        error::BackupError,
        manifest::hex,
        offsite::{Patience, Place},
    },
    Archived, WalArchive,
    name::WalName,
    names_in,
};
use crate::config::Backup;

/// Beginning of the name of a directory beside its place that a file is written in.
const NEW: &str = ".figw-fetch-";
/// Age from which such a directory belongs to nobody any more.
const ABANDONED: Duration = Duration::from_mins(10);

/// Puts the archived file of this name to `to`, whole and checked: from the archive beside the
/// backups, or else from off-site. The answer says whether one of them has it.
///
/// # Errors
/// When an archive is away, or the file is damaged or cannot be opened with these keys.
pub async fn fetch(
    config: &Backup,
    name: &WalName,
    to: &Path,
    identities: &[PathBuf],
) -> Result<bool, BackupError> {
    let archive = WalArchive::beside(&config.directory);
    let identities = Identities::read(&[&config.identities[..], identities].concat())?;
    let directory = match to.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    sweep(&directory);
    let is_away = !archive.directory().exists();
    let local = if is_away && config.offsite_url.is_some() { None } else { archive.find(name)? };
    let failed = |error: io::Error| BackupError::io("write", to, &error);
    let scratch = tempfile::Builder::new().prefix(NEW).tempdir_in(&directory).map_err(failed)?;
    let archived = match (local, &config.offsite_url) {
        (Some(archived), _) => archived,
        (None, None) => return Ok(false),
        (None, Some(url)) => {
            let place = Place::open(url.reveal()?.expose_secret(), Patience::Transfer)?;
            let place = place.known_in(&config.directory)?;
            match place.bring_wal(name, scratch.path(), is_away).await? {
                Some(archived) => archived,
                None => return Ok(false),
            }
        }
    };
    let (new, to) = (scratch.path().join("content"), to.to_owned());
    blocking(move || {
        unpack(&archived, &new, &identities)?;
        // PostgreSQL brings what it keeps to the disk itself, and fetches anew after a crash.
        fs::rename(&new, &to).map_err(|error| BackupError::io("write", &to, &error))?;
        drop(scratch);
        Ok(true)
    })
    .await
}

fn unpack(archived: &Archived, to: &Path, identities: &Identities) -> Result<(), BackupError> {
    let failed = |error: io::Error| BackupError::io("write", to, &error);
    let Archived { compression, encrypted, .. } = *archived;
    let mut reader = PartReader::open_file(&archived.path, compression, encrypted, identities)?;
    let mut file = create_private(to).map_err(failed)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| reader.damaged(&error))?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(failed)?;
    }
    if hex(&hash.finalize()) == archived.sha256 {
        return Ok(());
    }
    Err(reader.damaged(&"the SHA-256 of its content is not the one in its name"))
}

/// Removes what killed fetches have left. Whatever goes wrong here can wait.
fn sweep(directory: &Path) {
    for name in names_in(directory).unwrap_or_default() {
        let path = directory.join(&name);
        let age = path.metadata().and_then(|found| found.modified()).ok().map(|at| at.elapsed());
        if name.starts_with(NEW) && matches!(age, Some(Ok(age)) if age > ABANDONED) {
            let _ = fs::remove_dir_all(path);
        }
    }
}
