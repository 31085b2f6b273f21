//! Batches: a file of requests that a cluster works off by itself, for hours perhaps.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use uuid::Uuid;

/// A batch as it is kept, without its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// `UUIDv7`; also what the function on the cluster is told.
    pub id: Uuid,
    /// Whose it is. Nobody else sees it.
    pub user: String,
    /// The API key it was submitted with.
    pub key_id: Option<Uuid>,
    /// Where it runs and on which file.
    pub job: BatchJob,
    /// The task at Globus Compute; `None` until the service has accepted it.
    pub task: Option<Uuid>,
    /// How far it is.
    pub status: BatchStatus,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it must have a task at the latest. One without is given up then.
    pub submit_by: Timestamp,
    /// When the service accepted it.
    pub submitted_at: Option<Timestamp>,
    /// When it was found to be completed or failed.
    pub finished_at: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// What its result says was done.
    pub metrics: BatchMetrics,
}

/// What a batch is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchJob {
    /// The cluster.
    pub cluster: String,
    /// The framework on it.
    pub framework: String,
    /// The endpoint's slug.
    pub endpoint: String,
    /// The model.
    pub model: String,
    /// The Globus Compute endpoint that runs it.
    pub compute_endpoint: Uuid,
    /// The requests, one per line; a path on the cluster.
    pub input_file: String,
    /// Where answers go; a path on the cluster. The function has its own default.
    pub output_folder: Option<String>,
}

/// How far a batch is, in FIRST's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchStatus {
    /// It waits for the service or for nodes.
    Pending,
    /// It is being worked on.
    Running,
    /// Its result is there.
    Completed,
    /// It has none, for the reason in [`Batch::error`].
    Failed,
}

impl BatchStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Running, Self::Completed, Self::Failed];

    /// The word used over HTTP and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for BatchStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BatchStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| "it must be pending, running, completed or failed".to_owned())
    }
}

/// What a batch did, as far as its function says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchMetrics {
    /// Tokens read and written.
    pub total_tokens: Option<u64>,
    /// Requests that were answered.
    pub responses: Option<u64>,
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Its function returned this JSON document.
    Completed {
        /// The document.
        result: String,
        /// What it says was done.
        metrics: BatchMetrics,
    },
    /// It failed, for this reason.
    Failed(String),
}

impl BatchOutcome {
    /// The status that the batch has from now on.
    #[must_use]
    pub const fn status(&self) -> BatchStatus {
        match self {
            Self::Completed { .. } => BatchStatus::Completed,
            Self::Failed(_) => BatchStatus::Failed,
        }
    }

    /// The result, if there is one.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        match self {
            Self::Completed { result, .. } => Some(result),
            Self::Failed(_) => None,
        }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Completed { .. } => None,
            Self::Failed(reason) => Some(reason),
        }
    }

    /// What it says was done.
    #[must_use]
    pub fn metrics(&self) -> BatchMetrics {
        match self {
            Self::Completed { metrics, .. } => *metrics,
            Self::Failed(_) => BatchMetrics::default(),
        }
    }
}
