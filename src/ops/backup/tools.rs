//! PostgreSQL's own client programs: found, checked, run, and their last words kept.

use std::{
    fmt::Display,
    io::{self, ErrorKind, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

use super::error::BackupError;
use crate::store::PostgresUrl;

/// How much of what a program says is kept, in bytes.
const LONGEST_WORDS: usize = 2000;

/// A pipe that gave fewer bytes than this is left alone for a while. Half of what the smallest pipe
/// holds, so that no writer is kept waiting.
const NEARLY_EMPTY: usize = 32 << 10;

/// How long it is left alone.
const LULL: Duration = Duration::from_millis(1);

/// Where the programs are.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    directory: Option<PathBuf>,
}

impl Tools {
    /// The programs in `backup.postgres_bin`, or else those on the search path.
    #[must_use]
    pub fn new(directory: Option<&Path>) -> Self {
        Self { directory: directory.map(Path::to_owned) }
    }

    /// A program, with nothing in its environment that could lead it to another server than `url`.
    #[must_use]
    pub fn command(&self, program: &str, url: Option<&PostgresUrl>) -> Command {
        let mut command = match &self.directory {
            Some(directory) => Command::new(directory.join(program)),
            None => Command::new(program),
        };
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        if let Some(url) = url {
            command.envs(url.client_environment());
        }
        // Their messages are read by figw, not by people.
        command.env("LC_ALL", "C");
        command
    }

    /// Makes sure that the program is there and can deal with a server of this major version.
    ///
    /// # Errors
    /// When it is missing, does not run, or is older than the server.
    pub fn require(&self, program: &str, server_major: u32) -> Result<u32, BackupError> {
        let package = format!("postgresql-client-{server_major}");
        let remedy = format!(
            "install {package} (Debian's name) or set backup.postgres_bin to the directory of \
             PostgreSQL {server_major}'s programs"
        );
        let output = self.command(program, None).arg("--version").output();
        let output = output.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                BackupError::failed(format!("{program} is not installed; {remedy}"))
            }
            _ => BackupError::failed(format!("{program} does not run: {error}; {remedy}")),
        })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let major = major_version(&said).ok_or_else(|| {
            let words = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
            BackupError::failed(format!(
                "{program} does not tell its version (it says `{}`); {remedy}",
                one_line(program, &words)
            ))
        })?;
        if major < server_major {
            return Err(BackupError::failed(format!(
                "{program} is of PostgreSQL {major}, older than the server's {server_major}; {remedy}"
            )));
        }
        Ok(major)
    }
}

/// `pg_dump (PostgreSQL) 15.18 (Debian …)` is 15.
fn major_version(said: &str) -> Option<u32> {
    let number = said.split_once(") ")?.1;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// A program that is running.
#[derive(Debug)]
pub struct Running {
    program: String,
    child: Child,
    words: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a program whose standard error is kept for messages.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        program: &str,
        mut command: Command,
        stdin: Stdio,
        stdout: Stdio,
    ) -> Result<Self, BackupError> {
        command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| BackupError::failed(format!("{program} does not start: {error}")))?;
        let stderr = child.stderr.take();
        let words = thread::spawn(move || stderr.map(last_words).unwrap_or_default());
        Ok(Self { program: program.to_owned(), child, words: Some(words) })
    }

    /// What it writes.
    ///
    /// # Errors
    /// When it was not started with a pipe, or somebody has taken it already.
    pub fn stdout(&mut self) -> io::Result<ProgramOutput> {
        let stdout = self.child.stdout.take();
        let stdout = stdout.ok_or_else(|| io::Error::other("standard output is not a pipe"))?;
        widen(&stdout);
        Ok(ProgramOutput { pipe: stdout, was_nearly_empty: false })
    }

    /// What it reads.
    ///
    /// # Errors
    /// When it was not started with a pipe, or somebody has taken it already.
    pub fn stdin(&mut self) -> io::Result<ChildStdin> {
        let stdin = self.child.stdin.take();
        stdin.inspect(widen).ok_or_else(|| io::Error::other("standard input is not a pipe"))
    }

    /// Waits for its end, which must be a success.
    ///
    /// # Errors
    /// What it said, on one line.
    pub fn finish(mut self) -> Result<(), BackupError> {
        let status = self.child.wait().map_err(|error| self.failed(&error))?;
        let words = self.words.take().and_then(|words| words.join().ok()).unwrap_or_default();
        if status.success() {
            for line in words.lines().filter(|line| !line.trim().is_empty()) {
                tracing::info!("{line}");
            }
            return Ok(());
        }
        let words = one_line(&self.program, &words);
        Err(self.failed(&if words.is_empty() { status.to_string() } else { words }))
    }

    fn failed(&self, why: &dyn Display) -> BackupError {
        BackupError::failed(format!("{} failed: {why}", self.program))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program writes, taken in large pieces: PostgreSQL's programs write 4 KiB at a time, and a
/// reader that comes for each of them costs both sides more than the work itself.
#[derive(Debug)]
pub struct ProgramOutput {
    pipe: ChildStdout,
    was_nearly_empty: bool,
}

impl Read for ProgramOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.was_nearly_empty {
            thread::sleep(LULL);
        }
        let read = self.pipe.read(buffer)?;
        self.was_nearly_empty = read < NEARLY_EMPTY.min(buffer.len());
        Ok(read)
    }
}

/// Makes a pipe hold a MiB instead of 64 KiB: both ends wait for each other less often. The system
/// may refuse; then it stays as it is.
fn widen(pipe: &impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
}

/// Reads to the end and keeps the beginning: the first error is the one that tells.
fn last_words(mut from: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let room = LONGEST_WORDS.saturating_sub(kept.len());
        kept.extend_from_slice(&buffer[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// All lines as one, without the program's name before each.
fn one_line(program: &str, words: &str) -> String {
    let start = format!("{program}: ");
    let lines = words.lines().map(|line| {
        let line = line.trim();
        let line = line.strip_prefix(&start).unwrap_or(line);
        line.strip_prefix("error: ").unwrap_or(line)
    });
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_packager_are_read() {
        for (said, major) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15)),
            ("pg_dump (PostgreSQL) 18beta1", Some(18)),
            ("pg_basebackup (EnterpriseDB 16.2.0) 16.2", Some(16)),
            ("something else", None),
        ] {
            assert_eq!(major_version(said), major, "{said}");
        }
    }

    #[test]
    fn several_lines_become_one() {
        let words = "pg_dump: error: connection failed\n\npg_dump: detail: no route\n";
        assert_eq!(one_line("pg_dump", words), "connection failed; detail: no route");
    }
}
