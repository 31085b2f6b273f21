//! Verifying a part while it is being written: the same layers, the same counts, and nearly no time
//! of its own.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use super::{
    archive::{PartWriter, check_stored},
    error::BackupError,
    manifest::{Content, Part},
    verify::{Metered, Verifier, compare_counts, compare_files, count_files},
};

/// A part that is being read behind its writer.
#[derive(Debug)]
pub(super) struct Watch {
    /// None for an encrypted part without a key to open it.
    reading: Option<JoinHandle<Result<Seen, BackupError>>>,
}

#[derive(Debug)]
struct Seen {
    reader: Metered,
    /// Rows of each table, of a dump.
    rows: Option<BTreeMap<String, u64>>,
    /// Files in an archive of the configuration.
    files: Option<u64>,
}

/// What should be in a part, besides the bytes that were written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    /// A dump with so many rows of each table.
    Rows(&'a BTreeMap<String, u64>),
    /// An archive with so many files.
    Files(u64),
    /// Nothing that was counted.
    Bytes,
}

impl Verifier {
    /// Reads the part as it is written, on a thread of its own.
    pub(super) fn watch(&self, part: &PartWriter, content: Content) -> Watch {
        if part.is_encrypted() && self.identities.is_empty() {
            return Watch { reading: None };
        }
        let (verifier, follow) = (self.clone(), part.follow());
        let reading = thread::spawn(move || {
            let reader = follow.open(&verifier.identities)?;
            // The writer tells how far it is; its shadow need not.
            let mut reader = Metered { reader, meter: Arc::default() };
            let (mut rows, mut files) = (None, None);
            match content {
                Content::PostgresqlDump => rows = Some(verifier.count_dump(&mut reader)?),
                Content::ConfigurationTar => files = Some(count_files(&mut reader)?),
                _ => {}
            }
            io::copy(&mut reader, &mut io::sink()).map_err(|error| reader.damaged(&error))?;
            Ok(Seen { reader, rows, files })
        });
        Watch { reading: Some(reading) }
    }
}

impl Watch {
    /// Compares what was seen with what was written, now that it is whole: the part itself, and
    /// what is expected in it.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] when they differ.
    pub(super) fn finish(
        self,
        directory: &Path,
        part: &Part,
        expected: Expected<'_>,
    ) -> Result<(), BackupError> {
        if let Some(reading) = self.reading {
            let seen = reading.join();
            let Seen { reader, rows, files } =
                seen.map_err(|_| BackupError::failed("reading the backup back failed"))??;
            match expected {
                Expected::Rows(tables) => compare_counts(tables, &rows.unwrap_or_default()),
                Expected::Files(expected) => compare_files(expected, files.unwrap_or_default()),
                Expected::Bytes => Ok(()),
            }
            .map_err(|why| reader.damaged(&why))?;
            reader.finish(part)?;
        }
        // Once more, now that the disk has it.
        check_stored(directory, part)
    }
}
