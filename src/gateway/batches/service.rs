//! What batches need of a service that runs functions on clusters.

use async_trait::async_trait;
use uuid::Uuid;

use crate::backends::globus_compute::{Compute, ComputeError, Task, TaskState};

/// Takes tasks, and is asked later how they fare, perhaps by another process.
#[async_trait]
pub trait BatchService: Send + Sync + std::fmt::Debug {
    /// Submits a task, and returns the service's id of it.
    ///
    /// # Errors
    /// Why it is not accepted.
    async fn submit(&self, task: Task) -> Result<Uuid, ComputeError>;

    /// Where these tasks of one endpoint stand, in the order of `tasks`. A finished one's result may
    /// be readable only once.
    ///
    /// # Errors
    /// When the service cannot be asked.
    async fn states(&self, endpoint: Uuid, tasks: &[Uuid]) -> Result<Vec<TaskState>, ComputeError>;
}

#[async_trait]
impl BatchService for Compute {
    async fn submit(&self, task: Task) -> Result<Uuid, ComputeError> {
        self.submit_detached(task).await
    }

    async fn states(&self, endpoint: Uuid, tasks: &[Uuid]) -> Result<Vec<TaskState>, ComputeError> {
        Self::states(self, endpoint, tasks).await
    }
}
