//! SQLite: the backup is unpacked under a hidden name beside the file, proved, and only then given
//! its name. At every moment there is either the old file or the new one.
//!
//! Everything here blocks.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use rusqlite::{Connection, OpenFlags};

use super::{beside, source::Source};
use crate::ops::{
    anew::create_anew,
    backup::{
        BackupError,
        manifest::Engine,
        repository::sync_directory,
        sqlite::{Thoroughness, examine, explain},
        verify::{compare_counts, feed},
    },
};

/// How long another process may keep the file busy: whoever works on it longer keeps it open.
const PATIENCE: Duration = Duration::from_secs(2);

/// An SQLite file that a backup is put into.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Target {
    path: PathBuf,
    state: State,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Missing,
    /// A file without tables.
    Empty,
    /// With this table, for one.
    Full(String),
    /// SQLite cannot read it.
    Damaged,
}

impl Target {
    /// Looks at the file.
    pub(in crate::ops) fn look(path: &Path) -> Result<Self, BackupError> {
        // A link stays one: what it leads to is replaced.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let directory = parent(&path);
        if !directory.is_dir() {
            return Err(BackupError::failed(format!(
                "the directory {} does not exist; create it first",
                directory.display()
            )));
        }
        let state = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => State::Missing,
            Err(error) => return Err(BackupError::io("read", &path, &error)),
            Ok(found) if !found.is_file() => {
                return Err(BackupError::failed(format!("{} is not a file", path.display())));
            }
            Ok(_) => match first_table(&path) {
                Ok(Some(table)) => State::Full(table),
                Ok(None) => State::Empty,
                Err(BackupError::Damaged(_)) => State::Damaged,
                Err(other) => return Err(other),
            },
        };
        Ok(Self { path, state })
    }

    pub(super) fn describe(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// One of the things in it; none when it is empty or not there.
    pub(super) fn content(&self) -> Option<String> {
        match &self.state {
            State::Missing | State::Empty => None,
            State::Full(table) => Some(format!("TABLE {table}")),
            State::Damaged => Some("damaged content".to_owned()),
        }
    }

    /// Whether SQLite cannot read it, so that there is nothing to back up.
    pub(super) fn is_damaged(&self) -> bool {
        self.state == State::Damaged
    }

    pub(super) fn check(&self, source: &Source) -> Result<(), BackupError> {
        source.check_engine(Engine::Sqlite, &self.describe())
    }

    /// Keeps every other process from writing to the file, when it is there and can be read.
    pub(super) fn hold(&self) -> Result<Hold, BackupError> {
        match self.state {
            State::Missing => Ok(Hold { held: None, set_aside: false }),
            State::Damaged => Ok(Hold { held: None, set_aside: true }),
            State::Empty | State::Full(_) => match Held::take(&self.path) {
                Ok(held) => Ok(Hold { held: Some(held), set_aside: false }),
                Err(BackupError::Damaged(_)) => Ok(Hold { held: None, set_aside: true }),
                Err(other) => Err(other),
            },
        }
    }

    /// Puts the backup in place of whatever is there.
    pub(in crate::ops) fn fill(&self, source: &Source, hold: Hold) -> Result<Filled, BackupError> {
        let (facts, part) = source.database()?;
        source.meter.begin("restoring the database", part.content_bytes);
        let unpacked = Unpacked::create(&self.path)?;
        let mut reader = source.open(part)?;
        feed(&mut reader, &mut &unpacked.file)?;
        reader.finish(part)?;
        source.meter.begin("checking the database", 0);
        let (_, tables) = examine(&unpacked.path, Thoroughness::Full)?;
        compare_counts(&facts.tables, &tables).map_err(|why| {
            BackupError::Damaged(format!("backup {}: {why}; use another one", source.id()))
        })?;
        let set_aside = unpacked.take_the_place_of(&self.path, hold)?;
        Ok(Filled { tables, set_aside })
    }
}

/// What came of filling a file.
#[derive(Debug)]
pub(in crate::ops) struct Filled {
    /// Rows of each table.
    pub(in crate::ops) tables: BTreeMap<String, u64>,
    /// Where what could not be read is now.
    pub(super) set_aside: Vec<PathBuf>,
}

/// What is done about the file that is replaced.
#[derive(Debug)]
pub(in crate::ops) struct Hold {
    /// Keeps others from writing to it.
    held: Option<Held>,
    /// Whether it stays under another name.
    pub(super) set_aside: bool,
}

/// A file that nobody else can write to as long as this lives.
#[derive(Debug)]
struct Held {
    connection: Connection,
    path: PathBuf,
    version: i64,
}

impl Held {
    fn take(path: &Path) -> Result<Self, BackupError> {
        let failed = |error: rusqlite::Error| in_use(path, &error);
        let connection = open(path).map_err(failed)?;
        let exclusive = || -> rusqlite::Result<i64> {
            // Fails while anybody else has a file in WAL mode open, busy or not.
            set(&connection, "locking_mode", "EXCLUSIVE")?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            set(&connection, "journal_mode", "DELETE")?;
            // From here on others may read, as the safety backup must.
            set(&connection, "locking_mode", "NORMAL")?;
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
            connection.execute_batch("BEGIN IMMEDIATE")?;
            data_version(&connection)
        };
        let version = exclusive().map_err(failed)?;
        Ok(Self { connection, path: path.to_owned(), version })
    }

    /// Keeps others from reading, too.
    fn shut(&self) -> Result<(), BackupError> {
        let failed = |error: rusqlite::Error| in_use(&self.path, &error);
        let version = self
            .connection
            .execute_batch("ROLLBACK; BEGIN EXCLUSIVE")
            .and_then(|()| data_version(&self.connection))
            .map_err(failed)?;
        if version == self.version {
            return Ok(());
        }
        Err(BackupError::failed(format!(
            "sqlite:{} was written to meanwhile and is as it was; stop whoever uses it, and \
             restore once more",
            self.path.display()
        )))
    }
}

/// A backup under its hidden name; removed with this value unless it has taken its place.
struct Unpacked {
    path: PathBuf,
    file: File,
}

impl Unpacked {
    fn create(target: &Path) -> Result<Self, BackupError> {
        let path = beside(target, ".figw-restore");
        let failed = |error: io::Error| BackupError::io("write", &path, &error);
        // The one name, so that the next run clears away what a killed one has left. That stays
        // locked until the new file is: whoever holds a lock on neither is no second restore.
        let leftover = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Some(File::open(&path).map_err(failed)?),
            _ => None,
        };
        if let Some(leftover) = &leftover {
            lock(leftover, &path)?;
        }
        let file = create_anew(&path).map_err(failed)?;
        lock(&file, &path)?;
        drop(leftover);
        like_the_one_before(&file, target).map_err(failed)?;
        Ok(Self { path, file })
    }

    /// Returns where what could not be read is now.
    fn take_the_place_of(self, target: &Path, hold: Hold) -> Result<Vec<PathBuf>, BackupError> {
        let failed = |error: io::Error| BackupError::io("write", target, &error);
        self.file.sync_all().map_err(|error| BackupError::io("write", &self.path, &error))?;
        let time = Timestamp::now().to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
        let aside = with_suffix(target, &format!(".damaged-{time}"));
        let mut set_aside = Vec::new();
        if let Some(held) = &hold.held {
            held.shut()?;
        }
        if hold.set_aside {
            link_or_copy(target, &aside).map_err(failed)?;
            set_aside.push(aside.clone());
        }
        set_aside.extend(clear_companions(target, &aside)?);
        fs::rename(&self.path, target).map_err(failed)?;
        sync_directory(parent(target))?;
        drop(hold);
        Ok(set_aside)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        // Gone already when it has taken its place.
        let _ = fs::remove_file(&self.path);
    }
}

/// That no other restore is at work on the file.
fn lock(file: &File, path: &Path) -> Result<(), BackupError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::Error(error)) => Err(BackupError::io("write", path, &error)),
        Err(TryLockError::WouldBlock) => Err(BackupError::failed(format!(
            "another restore writes {}; try again when it is done",
            path.display()
        ))),
    }
}

/// SQLite would take a log or journal for the new file's. One with content is set aside.
fn clear_companions(target: &Path, aside: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut set_aside = Vec::new();
    for suffix in ["-wal", "-journal", "-shm"] {
        let path = with_suffix(target, suffix);
        let bytes = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            found => found.map_err(|error| BackupError::io("read", &path, &error))?.len(),
        };
        let cleared = if bytes == 0 || suffix == "-shm" {
            fs::remove_file(&path)
        } else {
            let to = with_suffix(aside, suffix);
            set_aside.push(to.clone());
            fs::rename(&path, to)
        };
        cleared.map_err(|error| BackupError::io("remove", &path, &error))?;
    }
    Ok(set_aside)
}

/// A second name for the file, so that it never is without one.
fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    if fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    // Not every file system has links.
    let mut copy = create_anew(to)?;
    io::copy(&mut File::open(from)?, &mut copy)?;
    copy.sync_all()
}

/// Gives the new file the owner and mode of the one it replaces. One that root creates goes to the
/// owner of its directory, who is to use it.
fn like_the_one_before(file: &File, target: &Path) -> io::Result<()> {
    let mine = file.metadata()?;
    let (owner, group, mode) = match fs::metadata(target) {
        Ok(old) => (old.uid(), old.gid(), old.mode() & 0o777),
        Err(_) if mine.uid() == 0 => {
            let directory = fs::metadata(parent(target))?;
            (directory.uid(), directory.gid(), 0o600)
        }
        Err(_) => (mine.uid(), mine.gid(), 0o600),
    };
    if (owner, group) != (mine.uid(), mine.gid()) {
        fchown(file, Some(owner), Some(group))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// A table in the file, if there is one.
fn first_table(path: &Path) -> Result<Option<String>, BackupError> {
    let look = || -> rusqlite::Result<Option<String>> {
        let connection = open(path)?;
        connection.query_row("SELECT min(name) FROM sqlite_schema", [], |row| row.get(0))
    };
    look().map_err(|error| in_use(path, &error))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

/// Sets what SQLite answers to.
fn set(connection: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, name, value, |_| Ok(()))
}

fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

fn in_use(path: &Path, error: &rusqlite::Error) -> BackupError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            BackupError::failed(format!(
                "another process has sqlite:{} open; stop it first: a gateway, or another command",
                path.display()
            ))
        }
        _ => explain(path, error),
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_under_the_hidden_name_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (target, precious) = (directory.path().join("db"), directory.path().join("precious"));
        let hidden = directory.path().join(".db.figw-restore");
        fs::write(&precious, "kept").unwrap();
        std::os::unix::fs::symlink(&precious, &hidden).unwrap();
        let unpacked = Unpacked::create(&target).unwrap();
        assert!(fs::symlink_metadata(&hidden).unwrap().is_file());
        let second = Unpacked::create(&target).map(drop).unwrap_err();
        assert!(second.to_string().contains("another restore"), "{second}");
        drop(unpacked);
        assert!(!hidden.exists());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");

        fs::write(&hidden, "left by a killed run").unwrap();
        let unpacked = Unpacked::create(&target).unwrap();
        assert_eq!(unpacked.file.metadata().unwrap().len(), 0);
    }
}
