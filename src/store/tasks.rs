//! What is asked of the store about submitted tasks.
//!
//! The service may forget a result once it has read it out. So only the holder of a lease asks after
//! a task, whichever process that is, and what it learns is stored before anybody is told.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{RemoteTask, TaskOutcome};

/// Tasks in the database. Every verb is one transaction; times are by the database's clock.
#[async_trait]
pub trait TaskStore {
    /// Keeps a task that the service has accepted.
    async fn add_task(&self, task: &RemoteTask) -> Result<(), StoreError>;

    /// One task of a user's, with its result.
    async fn task(&self, user: &str, id: Uuid) -> Result<Option<RemoteTask>, StoreError>;

    /// Takes the right to ask after an open task for the length of `lease`. Returns `false` when it
    /// has ended, or somebody has that right already.
    async fn lease_task(&self, id: Uuid, lease: Duration) -> Result<bool, StoreError>;

    /// The same for up to `most` open tasks, those first that have waited longest.
    async fn lease_tasks(&self, lease: Duration, most: u32) -> Result<Vec<RemoteTask>, StoreError>;

    /// Ends the leases of open tasks `pause` from now.
    async fn rest_tasks(&self, ids: &[Uuid], pause: Duration) -> Result<(), StoreError>;

    /// Ends a task. Returns `false`, and changes nothing, when it has ended already; but a result
    /// takes the place of a failure, which came from somebody who was told that there is none.
    async fn finish_task(&self, id: Uuid, outcome: &TaskOutcome) -> Result<bool, StoreError>;

    /// Forgets tasks that ended longer than `results_for` ago, and those submitted longer than
    /// `open_for` ago. Returns how many.
    async fn prune_tasks(
        &self,
        results_for: Duration,
        open_for: Duration,
    ) -> Result<u64, StoreError>;
}
