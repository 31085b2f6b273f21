//! Tasks that are submitted now and asked for later.

use jiff::Timestamp;
use uuid::Uuid;

/// A task at Globus Compute, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteTask {
    /// The service's own id, which is also the caller's handle.
    pub id: Uuid,
    /// Whose it is. Nobody else sees it.
    pub user: String,
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
    /// When the service accepted it.
    pub submitted_at: Timestamp,
    /// How it ended; `None` while it is open.
    pub outcome: Option<TaskOutcome>,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskOutcome {
    /// Its function returned this JSON document.
    Done(String),
    /// It has no result, for this reason.
    Failed(String),
}

impl TaskOutcome {
    /// The document, if there is one.
    #[must_use]
    pub fn result(&self) -> Option<&str> {
        match self {
            Self::Done(document) => Some(document),
            Self::Failed(_) => None,
        }
    }

    /// Why there is none.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Done(_) => None,
            Self::Failed(reason) => Some(reason),
        }
    }

    /// What a row with these columns says.
    #[must_use]
    pub fn of(result: Option<String>, error: Option<String>) -> Option<Self> {
        result.map(Self::Done).or_else(|| error.map(Self::Failed))
    }
}
