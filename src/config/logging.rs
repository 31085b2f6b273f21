//! `logging`: what `serve` writes about itself.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    problem::Complaints,
    units::{SizeForm, size},
};

/// What `serve` writes about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// Form of a line.
    pub format: LogFormat,
    /// Least important lines to write. `-v`, `-q` and the variable `RUST_LOG` override it.
    pub level: LogLevel,
    /// Which requests get a line when they are at their end (module `figw::access`, level `info`), with
    /// caller, model, endpoint, status, time, tokens and bytes. Health checks and paths that are not
    /// figw's get none.
    pub requests: LogRequests,
    /// File to write to instead of standard error, or `/dev/stdout` for standard output. A file is made with
    /// mode 0640, and a restart goes on in it. Several processes may write to it, as while one takes over
    /// from another. Whoever moves it away, as logrotate does, need not tell figw: the next lines go to a
    /// new one.
    pub file: Option<PathBuf>,
    /// Size at which the file is rotated, to FILE.1, FILE.2 and so on; between two lines, never within one.
    #[serde(with = "size")]
    #[schemars(with = "SizeForm")]
    pub max_bytes: u64,
    /// Rotated files to keep.
    #[schemars(range(max = 10_000))]
    pub keep: u32,
    /// How much of prompts and answers is stored in the database, in the table `prompts`, for as long as
    /// `retention.prompts` says. No log ever holds any of it. What a back end says of a request that
    /// fails stands in its row (`usage.error`) whatever this is, and may repeat words of it.
    pub prompts: Prompts,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: LogLevel::default(),
            requests: LogRequests::default(),
            file: None,
            max_bytes: 10 << 20,
            keep: 10,
            prompts: Prompts::default(),
        }
    }
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget<'a> {
    /// Where nothing else is said.
    StandardError,
    /// `/dev/stdout`.
    StandardOutput,
    /// A file, which is rotated.
    File(&'a Path),
}

impl Logging {
    /// Where lines go.
    #[must_use]
    pub fn target(&self) -> LogTarget<'_> {
        match self.file.as_deref() {
            None => LogTarget::StandardError,
            // As files they would be locked, and their names moved away.
            Some(path) if path == Path::new("/dev/stderr") => LogTarget::StandardError,
            Some(path) if path == Path::new("/dev/stdout") => LogTarget::StandardOutput,
            Some(path) => LogTarget::File(path),
        }
    }

    /// The file that lines go to, if it is one.
    #[must_use]
    pub fn own_file(&self) -> Option<&Path> {
        match self.target() {
            LogTarget::File(path) => Some(path),
            LogTarget::StandardError | LogTarget::StandardOutput => None,
        }
    }

    pub(super) fn check(&self, complaints: &mut Complaints) {
        if self.max_bytes < 4096 {
            complaints.add("logging.max_bytes", "must be at least 4KiB");
        }
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// for people
    #[default]
    Text,
    /// one JSON document per line
    Json,
}

/// Which requests get a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogRequests {
    /// all that a known caller makes, and those that are not let in
    #[default]
    All,
    /// those that end with a status from 400 on
    Errors,
    /// none
    Off,
}

/// Importance of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// something failed
    Error,
    /// something needs attention
    Warn,
    /// the process's own events
    #[default]
    Info,
    /// each request's way
    Debug,
    /// everything
    Trace,
}

/// How much of prompts and answers is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Prompts {
    /// nothing
    #[default]
    Off,
    /// the first 2 KiB of each request's and each answer's body
    Truncated,
    /// each request's and each answer's body, up to 16 MiB of each
    Full,
}
