//! Rows on disk until the database has them.
//!
//! A spool is a directory that one process holds by a kernel lock. Rows are appended to the open
//! segment, a file of framed records, and synced. A sealed segment is not written to again; it is
//! removed once the database has its rows, and moved aside until the next start when it refuses them.

mod directory;
mod segment;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use uuid::Uuid;

pub(super) use self::segment::read;
use self::{directory::Directory, segment::encode};
use super::RowBatch;

/// Beyond this a segment is sealed; what one reading of a segment may cost in memory.
const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;

/// What the buffer for records keeps between two flushes.
const FRAME_BYTES: usize = 1024 * 1024;

/// A sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// Unknown for a segment found at the start.
    pub(super) rows: Option<u64>,
}

/// A directory of segments, held by this process.
#[derive(Debug)]
pub(super) struct Spool {
    directory: Directory,
    open: Option<OpenSegment>,
    frame: Vec<u8>,
}

#[derive(Debug)]
struct OpenSegment {
    file: File,
    segment: Segment,
    rows: u64,
}

impl Spool {
    /// Takes a directory below `root` for this instance and returns it with the segments found
    /// there and in directories that nobody holds any more, oldest first.
    pub(super) fn open(root: &Path, instance: &str) -> io::Result<(Self, Vec<Segment>)> {
        let directory = Directory::take(root, instance)?;
        directory.bring_back_rejected()?;
        directory.adopt_orphans(root);
        let segments = directory.segments()?;
        Ok((Self { directory, open: None, frame: Vec::new() }, segments))
    }

    /// Where the segments are.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Appends the rows to the open segment and syncs it. When this fails, none of the rows count
    /// as kept, though some may be on disk (writing them twice is harmless), and the segment must be
    /// sealed: nothing behind a torn record would be found again.
    pub(super) fn append(&mut self, rows: &RowBatch) -> io::Result<()> {
        self.frame.clear();
        encode(rows, &mut self.frame)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.create()?,
        };
        let written = open.file.write_all(&self.frame).and_then(|()| open.file.sync_data());
        if written.is_ok() {
            open.segment.bytes += self.frame.len() as u64;
            open.rows += rows.len() as u64;
        }
        self.open = Some(open);
        // One huge batch must not hold its memory for ever.
        self.frame.shrink_to(FRAME_BYTES);
        written
    }

    fn create(&self) -> io::Result<OpenSegment> {
        // UUIDv7: names sort by time and never clash, not even between directories.
        let path = self.directory.path().join(format!("{}.{}", Uuid::now_v7(), segment::EXTENSION));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        self.directory.sync()?;
        Ok(OpenSegment { file, segment: Segment { path, bytes: 0, rows: None }, rows: 0 })
    }

    /// Size of the open segment, with its rows.
    pub(super) fn open_size(&self) -> Option<(u64, u64)> {
        self.open.as_ref().map(|open| (open.segment.bytes, open.rows))
    }

    pub(super) fn is_full(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.segment.bytes >= SEGMENT_BYTES)
    }

    /// Closes the open segment.
    pub(super) fn seal(&mut self) -> Option<Segment> {
        let open = self.open.take()?;
        Some(Segment { rows: Some(open.rows), ..open.segment })
    }
}

/// Removes a segment whose rows the database has.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Moves a segment that the database refuses out of the way, and returns its new path.
pub(super) fn reject(path: &Path) -> io::Result<PathBuf> {
    let aside = path.with_extension(segment::REJECTED);
    fs::rename(path, &aside)?;
    Ok(aside)
}
