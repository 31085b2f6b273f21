//! What can go wrong between a task and its result.

use std::time::Duration;

use http::StatusCode;

use crate::globus::GlobusError;

/// Why a task has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The endpoint is not online.
    #[error("the compute endpoint is offline")]
    Offline,
    /// The endpoint was asked to start nodes a moment ago and has none yet.
    #[error("the compute endpoint is still starting its nodes")]
    Starting,
    /// The arguments are too long for the service.
    #[error("the request is too large for Globus Compute")]
    TooLarge,
    /// Too many tasks wait to be submitted.
    #[error("too many tasks wait to be submitted")]
    Full,
    /// The service cannot be reached, or fails.
    #[error("{reason}")]
    Unavailable {
        /// What was seen.
        reason: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The service refused; an operator has to look at it.
    #[error("{0}")]
    Refused(String),
    /// The function failed on the cluster; the text of its exception.
    #[error("the function failed: {0}")]
    Failed(String),
    /// The result cannot be read.
    #[error("the result cannot be read: {0}")]
    Unreadable(String),
}

impl ComputeError {
    pub(super) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after: None }
    }

    pub(super) fn stopping() -> Self {
        Self::unavailable("the gateway is stopping")
    }
}

impl From<GlobusError> for ComputeError {
    fn from(error: GlobusError) -> Self {
        match &error {
            GlobusError::Refused { status: StatusCode::PAYLOAD_TOO_LARGE, .. } => Self::TooLarge,
            GlobusError::Refused { code: Some(code), .. } if code == "TASK_PAYLOAD_TOO_LARGE" => {
                Self::TooLarge
            }
            GlobusError::Refused { .. } => Self::Refused(error.to_string()),
            _ => Self::Unavailable { reason: error.to_string(), retry_after: error.retry_after() },
        }
    }
}
