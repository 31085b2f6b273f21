//! The archived configuration, unpacked into a directory of its own.
//!
//! Everything here blocks.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use tar::EntryType;

use super::{beside, source::Source};
use crate::ops::backup::{BackupError, manifest::Part, repository::sync_directory};

/// Ending of the hidden names.
const UNFINISHED: &str = ".figw-restore";

/// Makes sure that the directory can be created, or is there and empty but for what an interrupted
/// run has left. Returns its absolute path without links.
pub(super) fn check(directory: &Path) -> Result<PathBuf, BackupError> {
    let unreadable = |error: io::Error| BackupError::io("read", directory, &error);
    let absolute = std::path::absolute(directory).map_err(unreadable)?;
    let entries = match fs::read_dir(&absolute) {
        Err(error) if error.kind() == ErrorKind::NotFound => return in_its_parent(&absolute),
        entries => entries.map_err(unreadable)?,
    };
    for entry in entries {
        if entry.map_err(unreadable)?.file_name() != UNFINISHED {
            return Err(BackupError::failed(format!(
                "{} is not empty; give --config-to an empty or a new directory",
                directory.display()
            )));
        }
    }
    absolute.canonicalize().map_err(unreadable)
}

/// The path of a directory that is to be created.
fn in_its_parent(directory: &Path) -> Result<PathBuf, BackupError> {
    let parent = directory.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent.filter(|parent| parent.is_dir()), directory.file_name()) {
        (Some(parent), Some(name)) if directory.symlink_metadata().is_err() => {
            Ok(parent.join(name))
        }
        (Some(_), Some(_)) => Err(BackupError::failed(format!(
            "{} is a link that leads nowhere; give --config-to an empty or a new directory",
            directory.display()
        ))),
        _ => Err(BackupError::failed(format!(
            "--config-to {}: the directory above it does not exist; create it first",
            directory.display()
        ))),
    }
}

/// Unpacks the part under a hidden name, and puts it into its place once it is whole.
pub(super) fn unpack(source: &Source, part: &Part, directory: &Path) -> Result<(), BackupError> {
    put(directory, |hidden| unpack_into(source, part, hidden))
}

/// Fills a directory that [`check`] has allowed.
fn put(
    directory: &Path,
    fill: impl FnOnce(&Path) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let directory = check(directory)?;
    // A directory that is there may be a mount point or somebody's current one, and stays.
    let is_there = directory.is_dir();
    let hidden = if is_there { directory.join(UNFINISHED) } else { beside(&directory, UNFINISHED) };
    let failed = |error: io::Error| BackupError::io("write", &hidden, &error);
    // What an interrupted run has left.
    match fs::remove_dir_all(&hidden) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&hidden)
        .map_err(|error| BackupError::io("create", &hidden, &error))?;
    let filled = fill(&hidden).and_then(|()| {
        if is_there { move_up(&hidden, &directory) } else { fs::rename(&hidden, &directory) }
            .map_err(|error| BackupError::io("write", &directory, &error))
    });
    if filled.is_err() {
        // The next run removes what cannot be removed now.
        let _ = fs::remove_dir_all(&hidden);
    }
    filled?;
    if is_there {
        sync_directory(&directory)?;
    }
    sync_directory(parent(&directory))
}

/// Until the hidden directory is gone, nobody takes the rest for whole.
fn move_up(hidden: &Path, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(hidden)? {
        let entry = entry?;
        fs::rename(entry.path(), directory.join(entry.file_name()))?;
    }
    File::open(directory)?.sync_all()?;
    fs::remove_dir(hidden)
}

fn unpack_into(source: &Source, part: &Part, directory: &Path) -> Result<(), BackupError> {
    source.meter.begin("unpacking the configuration", part.content_bytes);
    let mut reader = source.open(part)?;
    let outside = |path: PathBuf| {
        BackupError::Damaged(format!(
            "backup {}: the archive of the configuration holds {}, which would not be a file in \
             {}; it was not made by figw",
            source.id(),
            path.display(),
            directory.display()
        ))
    };
    let mut archive = tar::Archive::new(&mut reader);
    let unpacked = archive.entries().and_then(|entries| {
        for entry in entries {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            let known = [EntryType::Regular, EntryType::Directory, EntryType::Symlink];
            if !known.contains(&kind) || !entry.unpack_in(directory)? {
                return Ok(Some(entry.path()?.into_owned()));
            }
        }
        Ok(None)
    });
    match unpacked {
        Ok(None) => {
            reader.finish(part)?;
            sync_files(directory)
        }
        Ok(Some(path)) => Err(outside(path)),
        Err(error) => Err(BackupError::failed(format!(
            "cannot unpack the configuration into {}: {}",
            directory.display(),
            crate::outbound::reason(&error)
        ))),
    }
}

fn sync_files(directory: &Path) -> Result<(), BackupError> {
    for entry in walkdir::WalkDir::new(directory) {
        let entry = entry.map_err(|error| BackupError::failed(error.to_string()))?;
        if entry.file_type().is_file() {
            File::open(entry.path())
                .and_then(|file| file.sync_all())
                .map_err(|error| BackupError::io("write", entry.path(), &error))?;
        } else if entry.file_type().is_dir() {
            sync_directory(entry.path())?;
        }
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn write(hidden: &Path) -> Result<(), BackupError> {
        fs::write(hidden.join("file"), "").map_err(|e| BackupError::failed(e.to_string()))
    }

    #[test]
    fn a_directory_that_is_there_is_filled_and_stays_the_same() {
        let above = tempfile::tempdir().unwrap();
        let directory = above.path().join("there");
        fs::create_dir_all(directory.join(UNFINISHED).join("left")).unwrap();
        let inode = fs::metadata(&directory).unwrap().ino();
        let link = above.path().join("link");
        symlink(&directory, &link).unwrap();
        put(&link, |_| Err(BackupError::failed("no"))).unwrap_err();
        assert_eq!(names(&directory), Vec::<String>::new());
        put(&link, write).unwrap();
        assert_eq!(names(&directory), ["file"]);
        assert_eq!(fs::metadata(&directory).unwrap().ino(), inode);
        assert!(put(&link, write).unwrap_err().to_string().contains("not empty"));

        let new = above.path().join("new");
        put(&new, write).unwrap();
        assert_eq!(names(&new), ["file"]);
        assert_eq!(names(above.path()).len(), 3, "nothing hidden is left");
    }

    #[test]
    fn a_directory_without_one_above_it_is_refused_at_once() {
        let above = tempfile::tempdir().unwrap();
        let why = check(&above.path().join("a/b")).unwrap_err().to_string();
        assert!(why.contains("above it does not exist"), "{why}");
        symlink("nowhere", above.path().join("link")).unwrap();
        let why = check(&above.path().join("link")).unwrap_err().to_string();
        assert!(why.contains("leads nowhere"), "{why}");
        assert!(check(Path::new("new")).unwrap().is_absolute());
    }
}
