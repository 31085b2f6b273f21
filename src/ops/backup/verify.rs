//! Proving that a backup is good: its checksums, its layers, and what is in it against its manifest.
//!
//! Everything here blocks.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    process::Stdio,
    sync::Arc,
    thread,
};

use super::{
    archive::{CHUNK, Identities, PartReader, check_stored, create_private},
    base,
    copy_lines::CopyCounter,
    error::BackupError,
    manifest::{Content, DatabaseFacts, Manifest, Part},
    meter::Meter,
    repository::{Repository, Stored},
    sqlite,
    tools::{Running, Tools},
};

/// How far a backup was looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Every part was opened, read and counted.
    Content,
    /// The checksums alone: it is encrypted, and there was no key at hand.
    Checksums,
}

/// What verifying takes.
#[derive(Debug, Clone)]
pub struct Verifier {
    /// PostgreSQL's programs.
    pub tools: Tools,
    /// Keys for encrypted backups.
    pub identities: Arc<Identities>,
    /// Told how far it has come.
    pub meter: Arc<Meter>,
    /// Where there is room for a while.
    pub repository: Repository,
}

impl Verifier {
    /// Verifies a backup and notes it when it turns out broken. An earlier note does not count: it
    /// is looked at anew.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when it is broken; [`BackupError::Locked`] when none of the keys
    /// at hand opens it; [`BackupError::Failed`] when it cannot be told.
    pub fn verify(&self, stored: &Stored) -> Result<Depth, BackupError> {
        let stored = &self.repository.look_anew(stored)?;
        let manifest = stored.state.as_ref().map_err(|why| {
            let why = format!("backup {} is broken: {why}", stored.id);
            if stored.is_unreadable { BackupError::Failed(why) } else { BackupError::Damaged(why) }
        })?;
        let depth = self.check_parts(stored, manifest);
        let Err(BackupError::Damaged(why)) = depth else { return depth };
        let sums = manifest.parts.iter().try_for_each(|part| check_stored(&stored.directory, part));
        match sums {
            Err(BackupError::Damaged(_)) => {
                self.repository.mark_broken(&stored.id, &why)?;
                Err(BackupError::Damaged(why))
            }
            // A program that was killed, or is too old, must not condemn a good backup for good.
            _ => Err(BackupError::Failed(format!(
                "{why}; yet its checksums are right: look for another cause, and verify it again"
            ))),
        }
    }

    fn check_parts(&self, stored: &Stored, manifest: &Manifest) -> Result<Depth, BackupError> {
        self.meter.begin(format!("verifying {}", stored.id), content_bytes(manifest));
        let mut depth = Depth::Content;
        for part in &manifest.parts {
            if part.encrypted && self.identities.is_empty() {
                check_stored(&stored.directory, part)?;
                depth = Depth::Checksums;
            } else {
                self.check_content(stored, manifest, part)?;
            }
        }
        Ok(depth)
    }

    fn check_content(
        &self,
        stored: &Stored,
        manifest: &Manifest,
        part: &Part,
    ) -> Result<(), BackupError> {
        let mut reader = self.open(&stored.directory, part)?;
        match (part.content, &manifest.database) {
            (Content::PostgresqlDump, Some(facts)) => self.check_dump(&mut reader, facts)?,
            (Content::SqliteFile, Some(facts)) => self.check_sqlite(&mut reader, facts)?,
            (Content::ConfigurationTar, _) => {
                let files = manifest.configuration.as_ref().map_or(0, |facts| facts.files);
                compare_files(files, count_files(&mut reader)?)
                    .map_err(|why| reader.damaged(&why))?;
            }
            (Content::PostgresqlBaseTar, _) => {
                let found = base::examine(&mut reader)?;
                if Some(&found.start_wal) != manifest.base.as_ref().map(|base| &base.start_wal) {
                    return Err(reader.damaged(&"it begins at another WAL segment"));
                }
            }
            (_, None) => return Err(reader.damaged(&"the manifest does not tell its tables")),
        }
        reader.finish(part)
    }

    /// Opens a part for reading, under the eyes of the meter.
    pub(in crate::ops) fn open(
        &self,
        directory: &std::path::Path,
        part: &Part,
    ) -> Result<Metered, BackupError> {
        let reader = PartReader::open(directory, part, &self.identities)?;
        Ok(Metered { reader, meter: Arc::clone(&self.meter) })
    }

    fn check_dump(&self, reader: &mut Metered, facts: &DatabaseFacts) -> Result<(), BackupError> {
        let counted = self.count_dump(reader)?;
        compare_counts(&facts.tables, &counted).map_err(|why| reader.damaged(&why))
    }

    /// Lets `pg_restore` read the whole dump, and counts the rows in what it gives.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when the dump cannot be read.
    pub(super) fn count_dump(
        &self,
        reader: &mut Metered,
    ) -> Result<BTreeMap<String, u64>, BackupError> {
        let mut command = self.tools.command("pg_restore", None);
        command.args(["--data-only", "--file=-"]);
        let mut running = Running::start("pg_restore", command, Stdio::piped(), Stdio::piped())?;
        let broken = |error: io::Error| BackupError::failed(format!("pg_restore: {error}"));
        let mut stdin = running.stdin().map_err(broken)?;
        let mut stdout = running.stdout().map_err(broken)?;
        let counting = thread::spawn(move || {
            let mut counter = CopyCounter::default();
            let mut buffer = vec![0; CHUNK];
            loop {
                match stdout.read(&mut buffer) {
                    Ok(0) => return Ok(counter.finish()),
                    Ok(read) => counter.read(&buffer[..read]),
                    Err(error) => return Err(error),
                }
            }
        });
        let fed = feed(reader, &mut stdin);
        drop(stdin);
        let counted = counting.join().map_err(|_| BackupError::failed("counting rows failed"))?;
        // A damaged layer explains whatever pg_restore makes of it.
        fed?;
        running.finish().map_err(|error| match error {
            BackupError::Failed(why) => reader.damaged(&why),
            other => other,
        })?;
        counted.map_err(broken)
    }

    fn check_sqlite(&self, reader: &mut Metered, facts: &DatabaseFacts) -> Result<(), BackupError> {
        let scratch = tempfile::Builder::new()
            .prefix(".new-verify-")
            .tempdir_in(self.repository.directory())
            .map_err(|e| BackupError::io("write", self.repository.directory(), &e))?;
        let path = scratch.path().join("database.sqlite");
        let failed = |error: io::Error| BackupError::io("write", &path, &error);
        let mut file = create_private(&path).map_err(failed)?;
        feed(reader, &mut file)?;
        let (_, tables) =
            sqlite::examine(&path, sqlite::Thoroughness::Full).map_err(|error| match error {
                BackupError::Failed(why) | BackupError::Damaged(why) => reader.damaged(&why),
                other => other,
            })?;
        compare_counts(&facts.tables, &tables).map_err(|why| reader.damaged(&why))
    }
}

fn content_bytes(manifest: &Manifest) -> u64 {
    manifest.parts.iter().map(|part| part.content_bytes).sum()
}

/// Brings the content to `to`. That `to` takes no more is no error here: it will say why.
pub(in crate::ops) fn feed(reader: &mut Metered, to: &mut impl Write) -> Result<(), BackupError> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer).map_err(|error| reader.damaged(&error))?;
        if read == 0 {
            return Ok(());
        }
        match to.write_all(&buffer[..read]) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => {
                return Err(BackupError::failed(format!("cannot unpack the backup: {error}")));
            }
        }
    }
}

/// Reads an archive of the configuration to its end, and counts what is not a directory.
///
/// # Errors
/// [`BackupError::Damaged`] when it cannot be read.
pub(super) fn count_files(reader: &mut Metered) -> Result<u64, BackupError> {
    let mut found = 0;
    let mut walk = || -> io::Result<()> {
        let mut archive = tar::Archive::new(&mut *reader);
        for entry in archive.entries()? {
            let mut entry = entry?;
            found += u64::from(!entry.header().entry_type().is_dir());
            io::copy(&mut entry, &mut io::sink())?;
        }
        Ok(())
    };
    let walked = walk();
    walked.map_err(|error| reader.damaged(&error))?;
    Ok(found)
}

pub(super) fn compare_files(expected: u64, found: u64) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("it holds {found} files instead of {expected}"))
}

/// Compares what was counted with what a manifest says.
///
/// # Errors
/// The first table that differs, in words.
pub fn compare_counts(
    expected: &BTreeMap<String, u64>,
    found: &BTreeMap<String, u64>,
) -> Result<(), String> {
    let differs = expected.iter().find(|(table, rows)| {
        // pg_restore says nothing of a table without rows.
        found.get(*table).copied().unwrap_or(0) != **rows
    });
    if let Some((table, rows)) = differs {
        let found = found.get(table).copied().unwrap_or(0);
        return Err(format!("table {table} has {found} rows instead of {rows}"));
    }
    match found.keys().find(|table| !expected.contains_key(*table)) {
        Some(table) => Err(format!("table {table} is not in the manifest")),
        None => Ok(()),
    }
}

/// A part being read, which tells the meter.
pub(in crate::ops) struct Metered {
    pub(in crate::ops) reader: PartReader,
    pub(in crate::ops) meter: Arc<Meter>,
}

impl Metered {
    /// What an error while reading means.
    pub(in crate::ops) fn damaged(&self, why: &dyn std::fmt::Display) -> BackupError {
        self.reader.damaged(why)
    }

    /// Reads the rest and compares the whole with the manifest.
    pub(in crate::ops) fn finish(self, part: &Part) -> Result<(), BackupError> {
        self.reader.finish(part)
    }
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metered")
    }
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.meter.advance(read as u64);
        Ok(read)
    }
}
