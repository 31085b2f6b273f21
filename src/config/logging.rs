//! `logging`: what `serve` writes about itself.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    problem::Complaints,
    units::{SizeForm, size},
};

/// What `serve` writes about itself, to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Logging {
    /// Form of a line.
    pub format: LogFormat,
    /// Least important lines to write. `-v`, `-q` and the variable `RUST_LOG` override it.
    pub level: LogLevel,
    /// File to write to instead of standard error.
    pub file: Option<PathBuf>,
    /// Size at which the file is rotated.
    #[serde(with = "size")]
    #[schemars(with = "SizeForm")]
    pub max_bytes: u64,
    /// Rotated files to keep.
    #[schemars(range(max = 10_000))]
    pub keep: u32,
    /// How much of prompts and answers is stored in the database, in the table `prompts`, for as long as
    /// `retention.prompts` says. No log ever holds any of it.
    pub prompts: Prompts,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: LogLevel::default(),
            file: None,
            max_bytes: 100 << 20,
            keep: 10,
            prompts: Prompts::default(),
        }
    }
}

impl Logging {
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
    /// each request's body, and each answer's up to 16 MiB
    Full,
}
