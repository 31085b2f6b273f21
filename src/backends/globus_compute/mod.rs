//! Functions on clusters through Globus Compute.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use crate::globus::codec::PyValue;

/// One call of a registered function.
#[derive(Debug, Clone)]
pub struct Task {
    /// The Globus Compute endpoint that runs it.
    pub endpoint: Uuid,
    /// The registered function.
    pub function: Uuid,
    /// Its arguments, as [`crate::globus::codec::task_payload`] makes them.
    pub payload: String,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    /// It waits or runs; the service's own word for it.
    Pending(String),
    /// It returned.
    Done(PyValue),
    /// It failed; the text of the exception, or the service's reason.
    Failed(String),
    /// The service has no such task, or no result of it (any more); its own words. A task that was
    /// just submitted, or just read by somebody else, may look like this for a moment.
    Missing(String),
}

/// Whether an endpoint is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Whether it is online.
    pub online: bool,
    /// How many managers (compute nodes) it has, if it says so.
    pub managers: Option<u64>,
}

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

/// A task that has been accepted by the service, with its result to come. Dropping it gives up
/// waiting and touches nobody else's task.
#[derive(Debug)]
pub struct Submitted {
    /// The service's id of the task.
    pub id: Uuid,
    /// When the service accepted it.
    pub at: Timestamp,
}

impl Submitted {
    /// Waits for the result.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn result(self) -> Result<PyValue, ComputeError> {
        Err(ComputeError::Offline)
    }
}

/// Globus Compute for one gateway process: submits, and gets results back. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Compute {
    #[allow(dead_code, reason = "the parts come next")]
    inner: Arc<()>,
}

impl Compute {
    /// The endpoint's status, at most 60 s old (10 s when it could not be had).
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub async fn status(&self, _endpoint: Uuid) -> Result<EndpointStatus, ComputeError> {
        Err(ComputeError::Offline)
    }

    /// Submits a task for an interactive caller: refused while its endpoint is offline, or still
    /// starting.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit(&self, _task: Task) -> Result<Submitted, ComputeError> {
        Err(ComputeError::Offline)
    }

    /// Submits a task whose result will be asked for by [`Self::states`], perhaps by another
    /// process; also to an endpoint that is offline, where the service keeps it waiting.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit_detached(&self, _task: Task) -> Result<Uuid, ComputeError> {
        Err(ComputeError::Offline)
    }

    /// Where these tasks of one endpoint stand, in the order of `tasks`. A finished one's result may
    /// be readable only once: keep it.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub async fn states(
        &self,
        _endpoint: Uuid,
        _tasks: &[Uuid],
    ) -> Result<Vec<TaskState>, ComputeError> {
        Err(ComputeError::Offline)
    }
}
