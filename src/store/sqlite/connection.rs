//! Opening the file.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::Trouble;
use crate::store::StoreError;

/// The database's URL, for messages.
pub(super) fn describe(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

/// Runs `work` on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    target: &str,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|trouble| trouble.explain(target)),
        Err(error) => {
            Err(StoreError::Failed { target: target.to_owned(), reason: error.to_string() })
        }
    }
}

/// Only a migration makes a database: an empty one where it was looked for in vain would mislead.
pub(super) fn check_it_is_there(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        return Ok(());
    }
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Err(StoreError::Failed {
        target: describe(path),
        reason: format!(
            "there is no file {}; look whether database.url is right, or run `figw migrate` to make it",
            shown.display()
        ),
    })
}

/// Opens the file for reading and writing; creates it for its owner alone when it is missing.
pub(super) fn open_to_write(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    create_for_owner(path)?;
    let connection = open(path, patience)?;
    // WAL lets readers go on while the writer writes; with it, NORMAL cannot corrupt the file.
    use_wal(&connection, patience)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    super::upkeep::add_functions(&connection)?;
    Ok(connection)
}

/// Switches to WAL. Of two that do so at once on a new file, SQLite refuses one on the spot, whatever
/// its busy timeout: both hold what the other waits for.
fn use_wal(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    let given_up = Instant::now() + patience;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error) if is_busy(&error) && Instant::now() < given_up => thread::sleep(PAUSE),
            switched => return switched,
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
}

/// Opens the file for queries only.
pub(super) fn open_to_read(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    let connection = open(path, patience)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn open(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    // Each connection stays on one thread: SQLite's own locking would only cost.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    Ok(connection)
}

fn create_for_owner(path: &Path) -> Result<(), StoreError> {
    let failed = |reason| StoreError::Failed { target: describe(path), reason };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        return Err(failed(format!(
            "the directory {} does not exist; create it first",
            directory.display()
        )));
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|e| failed(format!("cannot be opened for writing: {e}")))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn many_make_a_new_file_at_once() {
        for _ in 0..50 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("new.db");
            let together = Barrier::new(4);
            thread::scope(|threads| {
                for _ in 0..4 {
                    threads.spawn(|| {
                        together.wait();
                        let connection = open_to_write(&path, Duration::from_secs(10)).unwrap();
                        connection.execute_batch("CREATE TABLE IF NOT EXISTS t (a)").unwrap();
                    });
                }
            });
        }
    }
}
