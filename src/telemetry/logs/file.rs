//! The log in a file: whole lines, rotated by size, also while two processes write to it.
//!
//! Each write looks whether the path still leads to the open file, so that nothing needs to be told
//! when another process, logrotate or a person has moved it. A lock on the file keeps a rotation and
//! what another process writes apart.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::queue::count;

/// The owner writes, the group may read.
const MODE: u32 = 0o640;

/// How often a file that is being moved is looked for.
const TRIES: u32 = 8;

/// How long a file that could not be moved aside is left where it is.
const ROTATE_AGAIN: Duration = Duration::from_mins(1);

/// An open log file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    max_bytes: u64,
    keep: u32,
    file: File,
    /// Whether the last write failed, which was said.
    is_failing: bool,
    /// When it was last tried in vain to move the file aside, which was said.
    stuck: Option<Instant>,
}

impl LogFile {
    /// Opens the file, or makes it. What it holds stays.
    ///
    /// # Errors
    /// As the operating system's.
    pub(super) fn open(path: &Path, max_bytes: u64, keep: u32) -> io::Result<Self> {
        let file = append_to(path)?;
        Ok(Self { path: path.to_owned(), max_bytes, keep, file, is_failing: false, stuck: None })
    }

    /// Writes whole lines. Returns how many could not be written.
    pub(super) fn write(&mut self, lines: &[u8]) -> u64 {
        let mut rest = lines;
        while !rest.is_empty() {
            match self.write_some(&mut rest) {
                Ok(()) => self.tell(None),
                Err(error) => {
                    self.tell(Some(&error));
                    return count(rest);
                }
            }
        }
        0
    }

    /// Writes as many lines as one file takes.
    fn write_some(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        let mut size = self.lock()?;
        let mut is_full = size > 0 && size + first_line(rest).len() as u64 > self.max_bytes;
        if is_full && self.try_rotation() {
            size = self.lock()?;
            is_full = false;
        }
        let room = self.max_bytes.saturating_sub(size);
        // Better one file that is too long than lines that are lost.
        let part = if is_full { *rest } else { fitting(rest, room) };
        let written = self.append(part, size);
        let _ = flock(&self.file, FlockOperation::Unlock);
        let (written, outcome) = written;
        *rest = &rest[written..];
        outcome
    }

    /// Appends all of `part` to the file of this size, or else whole lines of it.
    fn append(&mut self, part: &[u8], size: u64) -> (usize, io::Result<()>) {
        let mut written = 0;
        while written < part.len() {
            match self.file.write(&part[written..]) {
                Ok(0) => return self.cut(part, written, size, io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.cut(part, written, size, error),
            }
        }
        (written, Ok(()))
    }

    /// Takes back what is not a whole line; nobody else has written meanwhile.
    fn cut(
        &self,
        part: &[u8],
        written: usize,
        size: u64,
        error: io::Error,
    ) -> (usize, io::Result<()>) {
        let whole = memchr::memrchr(b'\n', &part[..written]).map_or(0, |end| end + 1);
        if whole < written {
            // A disk that takes nothing may still give back.
            let _ = self.file.set_len(size + whole as u64);
        }
        (whole, Err(error))
    }

    /// Locks the file that the path leads to, and returns its size.
    fn lock(&mut self) -> io::Result<u64> {
        for _ in 0..TRIES {
            // Where locks are not to be had, as on some network file systems, it goes without.
            let _ = flock(&self.file, FlockOperation::LockExclusive);
            let own = self.file.metadata()?;
            let at_path = fs::metadata(&self.path).ok();
            if at_path.is_some_and(|found| (found.dev(), found.ino()) == (own.dev(), own.ino())) {
                return Ok(own.len());
            }
            // Closing the old one gives its lock back.
            self.file = append_to(&self.path)?;
        }
        Ok(self.file.metadata()?.len())
    }

    /// Moves the file aside, unless that has failed within the last minute. Says once that it
    /// fails, until it works again. Returns whether it was moved.
    fn try_rotation(&mut self) -> bool {
        if self.stuck.is_some_and(|tried| tried.elapsed() < ROTATE_AGAIN) {
            return false;
        }
        match self.rotate() {
            Ok(()) => {
                self.stuck = None;
                true
            }
            Err(error) => {
                if self.stuck.replace(Instant::now()).is_none() {
                    complain(&self.path, "cannot be rotated, and grows until it can", &error);
                }
                false
            }
        }
    }

    /// Moves the file, which is locked, aside, and the older ones one further.
    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.keep).rev() {
            let from = numbered(&self.path, number);
            match fs::rename(&from, numbered(&self.path, number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        if self.keep == 0 {
            fs::remove_file(&self.path)
        } else {
            fs::rename(&self.path, numbered(&self.path, 1))
        }
    }

    /// Says once that it fails, and once that it works again, where that can still be read.
    fn tell(&mut self, error: Option<&io::Error>) {
        match (error, self.is_failing) {
            (Some(error), false) => {
                complain(&self.path, "takes no lines; they are lost until it does", error);
            }
            (None, true) => tracing::info!("the log file takes lines again"),
            _ => {}
        }
        self.is_failing = error.is_some();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(MODE).open(path)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The whole lines for which there is room, and at least one.
fn fitting(lines: &[u8], room: u64) -> &[u8] {
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    match lines.get(..room) {
        None => lines,
        Some(fits) => match memchr::memrchr(b'\n', fits) {
            Some(end) => &lines[..=end],
            None => first_line(lines),
        },
    }
}

fn first_line(lines: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', lines).map_or(lines, |end| &lines[..=end])
}

fn complain(path: &Path, what: &str, error: &io::Error) {
    // There is nobody left to tell when standard error is gone.
    let _ = writeln!(io::stderr(), "figw: the log file {} {what}: {error}", path.display());
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, thread};

    use super::*;

    /// All lines of the file and those before it, oldest first.
    fn all(path: &Path, keep: u32) -> String {
        let older = (1..=keep).rev().map(|number| numbered(path, number));
        older.chain([path.to_owned()]).filter_map(|file| fs::read_to_string(file).ok()).collect()
    }

    #[test]
    fn a_restart_goes_on_and_a_full_file_moves_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for round in 0..5 {
            let mut file = LogFile::open(&path, 30, 2).unwrap();
            assert_eq!(file.write(format!("line {round} a\nline {round} b\n").as_bytes()), 0);
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !MODE, 0, "nobody else may read it");
        let kept = "line 1 b\nline 2 a\nline 2 b\nline 3 a\nline 3 b\nline 4 a\nline 4 b\n";
        assert_eq!(all(&path, 9), kept, "three lines in each, and the oldest are gone");
    }

    #[test]
    fn a_line_that_is_longer_than_a_file_is_not_torn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let long = format!("{}\n", "x".repeat(100));
        let mut file = LogFile::open(&path, 30, 3).unwrap();
        assert_eq!(file.write(format!("a\n{long}b\n").as_bytes()), 0);
        assert_eq!(fs::read_to_string(numbered(&path, 1)).unwrap(), long);
        assert_eq!(all(&path, 3), format!("a\n{long}b\n"));
    }

    #[test]
    fn a_file_that_cannot_be_moved_aside_grows_until_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let in_the_way = numbered(&path, 1);
        fs::create_dir(&in_the_way).unwrap();
        let mut file = LogFile::open(&path, 10, 1).unwrap();
        assert_eq!(file.write(b"line 1\nline 2\nline 3\nline 4\n"), 0);
        let stuck = file.stuck;
        assert!(stuck.is_some());
        assert_eq!(file.write(b"line 5\n"), 0);
        assert_eq!(file.stuck, stuck, "it was not tried again at once");
        fs::remove_dir(&in_the_way).unwrap();
        file.write(b"line 6\n");
        let before = "line 1\nline 2\nline 3\nline 4\nline 5\nline 6\n";
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        file.stuck = Instant::now().checked_sub(ROTATE_AGAIN);
        assert_eq!(file.write(b"line 7\n"), 0);
        assert_eq!(all(&path, 1), format!("{before}line 7\n"));
        assert_eq!(fs::read_to_string(&in_the_way).unwrap(), before, "a minute later it was");
        assert_eq!(file.stuck, None);
    }

    #[test]
    fn two_writers_lose_and_tear_nothing_while_it_is_rotated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (writers, lines) = (4, 2_000);
        let threads: Vec<_> = (0..writers)
            .map(|writer| {
                let path = path.clone();
                thread::spawn(move || {
                    let mut file = LogFile::open(&path, 4_096, 10_000).unwrap();
                    for line in 0..lines {
                        assert_eq!(file.write(format!("{writer}:{line:06}\n").as_bytes()), 0);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        let text = all(&path, 100);
        assert_eq!(text.lines().count(), writers * lines);
        for writer in 0..writers {
            let start = format!("{writer}:");
            let own: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(&start)).collect();
            assert!(own.is_sorted() && own.len() == lines, "in order");
        }
        assert!(fs::read_dir(directory.path()).unwrap().count() > 10, "it was rotated");
    }

    #[test]
    fn who_moves_the_file_need_not_tell() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut file = LogFile::open(&path, 1 << 20, 3).unwrap();
        file.write(b"before\n");
        fs::rename(&path, directory.path().join("moved")).unwrap();
        file.write(b"after\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
        fs::remove_file(&path).unwrap();
        file.write(b"again\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "again\n");
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let mut file = LogFile::open(Path::new("/dev/full"), 1 << 20, 3).unwrap();
        assert_eq!(file.write(b"one\ntwo\n"), 2);
    }
}
