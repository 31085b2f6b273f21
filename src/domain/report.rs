//! Sums of usage.

use jiff::civil::Date;
use serde::Serialize;

/// What a report has a line for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Each user.
    User,
    /// Each model that was asked for.
    Model,
    /// Each cluster.
    Cluster,
    /// Each day of UTC.
    Day,
}

impl Grouping {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
            Self::Cluster => "cluster",
            Self::Day => "day",
        }
    }
}

/// Days of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days {
    /// The first.
    pub first: Date,
    /// The last.
    pub last: Date,
}

/// What several requests come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UsageSum {
    /// Of whom or what; empty when it is of everything.
    pub name: String,
    /// How many users had asked.
    pub users: u64,
    /// How many requests there were.
    pub requests: u64,
    /// Those that were answered with a status below 400.
    pub succeeded: u64,
    /// Those answered with 400 to 499, for which the callers are to blame.
    pub client_errors: u64,
    /// Those answered with 500 and above.
    pub server_errors: u64,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// How long all of them took together, in microseconds.
    pub duration_us: u64,
}
