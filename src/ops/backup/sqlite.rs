//! SQLite: a copy of one snapshot with the online backup API, checked before it is sealed.
//!
//! Everything here blocks.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Write},
    path::Path,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{
    archive::{CHUNK, Sealing, create_private},
    error::BackupError,
    manifest::{Content, DatabaseFacts, Engine, Part},
    meter::Meter,
    repository::Draft,
    verify::Verifier,
    watch::Expected,
};
use crate::store::newest_migration;

/// Pages copied between two looks at the clock: 16 MiB at the usual size of a page.
const PAGES: i32 = 4096;

/// How long another process may keep the file locked.
const PATIENCE: Duration = Duration::from_secs(30);

/// Backs up the file as of now.
pub(super) fn dump(
    path: &Path,
    sealing: &Sealing,
    draft: &Draft,
    verifier: &Verifier,
) -> Result<(DatabaseFacts, Part, Timestamp), BackupError> {
    // Where nothing is done to the copy, it is the part.
    let name = if sealing.is_plain() {
        sealing.file_name(Content::SqliteFile.file_stem())
    } else {
        ".copy".to_owned()
    };
    let copy = draft.directory().join(name);
    let moment = copy_snapshot(path, &copy, &verifier.meter)?;
    let examined = {
        let copy = copy.clone();
        thread::spawn(move || examine(&copy, Thoroughness::Quick))
    };
    let part = if sealing.is_plain() {
        verifier.meter.begin("checking the backup", 0);
        sealing.adopt(&copy, Content::SqliteFile)
    } else {
        seal(&copy, sealing, draft, verifier)
    };
    let examined =
        examined.join().map_err(|_| BackupError::failed("checking the database failed"))?;
    // A database that is damaged itself explains more than what became of its copy.
    let (schema, tables) = examined?;
    let part = part?;
    if !sealing.is_plain() {
        fs::remove_file(&copy).map_err(|error| BackupError::io("remove", &copy, &error))?;
    }
    let facts = DatabaseFacts {
        engine: Engine::Sqlite,
        identity: format!("sqlite:{}", path.display()),
        version: rusqlite::version().to_owned(),
        schema,
        tables,
    };
    Ok((facts, part, moment))
}

/// Copies the file as it is at one moment, which is returned, while others go on writing.
pub(super) fn copy_snapshot(
    path: &Path,
    copy: &Path,
    meter: &Meter,
) -> Result<Timestamp, BackupError> {
    if !path.exists() {
        return Err(BackupError::failed(format!(
            "sqlite:{} does not exist; run `figw migrate` first, or set database.url",
            path.display()
        )));
    }
    let failed = |error: rusqlite::Error| explain(path, &error);
    let from = open(path)?;
    // With a transaction open, writers do not make the copy start over.
    from.execute_batch("BEGIN").map_err(failed)?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).map_err(failed)?;
    let moment = Timestamp::now();
    let page: i64 = from.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
    let pages: i64 =
        from.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(failed)?;
    let bytes = |pages: i64| u64::try_from(pages.saturating_mul(page)).unwrap_or(0);
    meter.begin("copying the database", bytes(pages));
    let failed_copy = |error: rusqlite::Error| explain(copy, &error);
    create_private(copy).map_err(|error| BackupError::io("write", copy, &error))?;
    let mut to = Connection::open(copy).map_err(failed_copy)?;
    // The copy is worth nothing before it is whole: a journal would only cost.
    to.pragma_update(None, "journal_mode", "OFF").map_err(failed_copy)?;
    to.pragma_update(None, "synchronous", "OFF").map_err(failed_copy)?;
    let backup = Backup::new(&from, &mut to).map_err(failed_copy)?;
    let mut done = 0;
    loop {
        let step = backup.step(PAGES).map_err(failed_copy)?;
        let progress = backup.progress();
        let copied = bytes(i64::from(progress.pagecount - progress.remaining));
        meter.advance(copied.saturating_sub(done));
        done = copied;
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    drop(backup);
    // The source's header asks for a write-ahead log, which a lone file has no use for.
    to.pragma_update(None, "journal_mode", "DELETE").map_err(failed_copy)?;
    Ok(moment)
}

fn open(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(|error| explain(path, &error))?;
    connection.busy_timeout(PATIENCE).map_err(|error| explain(path, &error))?;
    Ok(connection)
}

/// How much of a file is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Every page and every row.
    Quick,
    /// Also that every index agrees with its table, which takes about eight times as long.
    Full,
}

/// Checks a file that nobody else writes to: whole, and how many rows each table has.
///
/// # Errors
/// [`BackupError::Damaged`] when SQLite finds a mistake in it.
pub fn examine(
    path: &Path,
    thoroughness: Thoroughness,
) -> Result<(Option<String>, BTreeMap<String, u64>), BackupError> {
    let connection = open(path)?;
    let failed = |error: rusqlite::Error| explain(path, &error);
    let check = match thoroughness {
        Thoroughness::Quick => "quick_check",
        Thoroughness::Full => "integrity_check",
    };
    let verdict: String =
        connection.pragma_query_value(None, check, |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(BackupError::Damaged(format!(
            "the database is damaged: {}; restore a backup from before",
            verdict.lines().next().unwrap_or_default()
        )));
    }
    let schema = newest_migration(&connection).map_err(BackupError::Failed)?;
    Ok((schema, table_counts(&connection).map_err(failed)?))
}

/// Rows of each table.
///
/// # Errors
/// What SQLite said.
pub fn table_counts(connection: &Connection) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut tables = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )?;
    let names: Vec<String> =
        tables.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut counts = BTreeMap::new();
    for name in names {
        let quoted = name.replace('"', "\"\"");
        let count =
            connection.query_row(&format!("SELECT count(*) FROM \"{quoted}\""), [], |row| {
                row.get::<_, i64>(0)
            })?;
        counts.insert(name, u64::try_from(count).unwrap_or(0));
    }
    Ok(counts)
}

fn seal(
    copy: &Path,
    sealing: &Sealing,
    draft: &Draft,
    verifier: &Verifier,
) -> Result<Part, BackupError> {
    let failed = |error| BackupError::io("read", copy, &error);
    let mut from = File::open(copy).map_err(failed)?;
    let meter = &verifier.meter;
    meter.begin("checking and writing the backup", from.metadata().map_or(0, |meta| meta.len()));
    let mut part = sealing.part(draft.directory(), Content::SqliteFile)?;
    let watch = verifier.watch(&part, Content::SqliteFile);
    let path = part.path().to_owned();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).map_err(failed)?;
        if read == 0 {
            break;
        }
        part.write_all(&buffer[..read]).map_err(|error| BackupError::io("write", &path, &error))?;
        meter.advance(read as u64);
    }
    let part = part.finish()?;
    watch.finish(draft.directory(), &part, Expected::Bytes)?;
    Ok(part)
}

/// SQLite's error on one line.
pub(in crate::ops) fn explain(path: &Path, error: &rusqlite::Error) -> BackupError {
    let remedy = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; free some space there",
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            "; another process keeps it locked"
        }
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            return BackupError::Damaged(format!("sqlite:{}: {error}", path.display()));
        }
        _ => "",
    };
    BackupError::Failed(format!("sqlite:{}: {error}{remedy}", path.display()))
}
