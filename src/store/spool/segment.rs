//! A segment's records: length (4 bytes, little-endian), CRC-32 (4 bytes), then a row as JSON.
//!
//! JSON, because a newer figw must read what an older one left behind.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

use crate::{
    domain::{AccessRow, PromptRow, UsageRow},
    store::RowBatch,
};

/// Of segments that are to be written to the database.
pub(super) const EXTENSION: &str = "rows";
/// Of segments that the database refused.
pub(super) const REJECTED: &str = "rejected";

const HEADER: usize = 8;

#[derive(Serialize)]
enum RecordRef<'a> {
    #[serde(rename = "u")]
    Usage(&'a UsageRow),
    #[serde(rename = "a")]
    Access(&'a AccessRow),
    #[serde(rename = "p")]
    Prompt(&'a PromptRow),
}

#[derive(Deserialize)]
enum Record {
    #[serde(rename = "u")]
    Usage(UsageRow),
    #[serde(rename = "a")]
    Access(AccessRow),
    #[serde(rename = "p")]
    Prompt(PromptRow),
}

/// What was read from a segment.
#[derive(Debug, Default)]
pub(in crate::store) struct Contents {
    pub(in crate::store) rows: RowBatch,
    /// Bytes after the last good record.
    pub(in crate::store) torn: usize,
}

/// Appends the rows' records to `frame`.
pub(super) fn encode(rows: &RowBatch, frame: &mut Vec<u8>) -> io::Result<()> {
    for row in &rows.usage {
        push(&RecordRef::Usage(row), frame)?;
    }
    for row in &rows.access {
        push(&RecordRef::Access(row), frame)?;
    }
    for row in &rows.prompts {
        push(&RecordRef::Prompt(row), frame)?;
    }
    Ok(())
}

fn push(record: &RecordRef<'_>, frame: &mut Vec<u8>) -> io::Result<()> {
    let start = frame.len();
    frame.extend_from_slice(&[0; HEADER]);
    serde_json::to_writer(&mut *frame, record)?;
    let payload = &frame[start + HEADER..];
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let checksum = crc32fast::hash(payload);
    frame[start..start + 4].copy_from_slice(&length.to_le_bytes());
    frame[start + 4..start + HEADER].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads a segment up to its end, or to the first record that a crash has torn.
pub(in crate::store) fn read(path: &Path) -> io::Result<Contents> {
    let bytes = fs::read(path)?;
    let mut contents = Contents::default();
    let mut rest = bytes.as_slice();
    while let Some((payload, after)) = next(rest) {
        match serde_json::from_slice(payload) {
            Ok(Record::Usage(row)) => contents.rows.usage.push(row),
            Ok(Record::Access(row)) => contents.rows.access.push(row),
            Ok(Record::Prompt(row)) => contents.rows.prompts.push(row),
            // The checksum fits, so this was written: by a program that is newer than this one.
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
        rest = after;
    }
    contents.torn = rest.len();
    Ok(contents)
}

/// The first record and what follows it; `None` when no whole, sound record is left.
fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, bytes) = bytes.split_first_chunk()?;
    let (checksum, bytes) = bytes.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (payload, after) = bytes.split_at_checked(length)?;
    // A file that was extended but never written to reads as zeros, which would pass for empty
    // records: the CRC-32 of nothing is 0.
    (length > 0 && crc32fast::hash(payload) == u32::from_le_bytes(*checksum))
        .then_some((payload, after))
}
