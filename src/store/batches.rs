//! What is asked of the store about batches.
//!
//! A row is written before the task is submitted, and without a task's id. If the process dies in
//! between, nobody can tell whether the service has the task (submitting has no idempotency key), so
//! it is never submitted again: past [`Batch::submit_by`] the batch fails with a reason that says so.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use uuid::Uuid;

use super::StoreError;
use crate::domain::{Batch, BatchOutcome};

/// The most batches in a user's list; older ones are found by their id.
pub const LONGEST_LIST: u32 = 1_000;

/// The most batches that are claimed at once.
pub const MOST_CLAIMED: u32 = 512;

/// Whether a new batch was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was, and is kept.
    Admitted,
    /// Its user has as many open batches as allowed.
    OverQuota,
    /// This open batch of the user's works on the same input file.
    SameInput(Uuid),
}

/// Batches in the database. Every verb is one transaction.
#[async_trait]
pub trait BatchStore {
    /// Keeps a new batch, unless its user has `quota` open ones (0 means no limit) or one on the same
    /// input file. Of several at the same time no more are let in than may be. The time from
    /// [`Batch::created_at`] to [`Batch::submit_by`] begins now by the database's clock.
    async fn create_batch(&self, batch: &Batch, quota: u32) -> Result<Admission, StoreError>;

    /// Notes the task of a batch that waits for one. Returns `false` when it has been given up.
    async fn batch_submitted(
        &self,
        id: Uuid,
        task: Uuid,
        at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends those open batches that have no task and are past their [`Batch::submit_by`], for
    /// `reason`. Returns their ids.
    async fn give_up_unsubmitted(&self, reason: &str) -> Result<Vec<Uuid>, StoreError>;

    /// One batch of a user's.
    async fn batch(&self, user: &str, id: Uuid) -> Result<Option<Batch>, StoreError>;

    /// The result of a completed batch of a user's.
    async fn batch_result(&self, user: &str, id: Uuid) -> Result<Option<String>, StoreError>;

    /// Makes `follower` the one who follows open batches for the length of `lease`: those it follows
    /// already, and those that nobody follows or whose lease is over; at most [`MOST_CLAIMED`], those
    /// first that have waited longest. The database's clock decides.
    async fn claim_batches(
        &self,
        follower: Uuid,
        lease: Duration,
    ) -> Result<Vec<Batch>, StoreError>;

    /// Renews the leases that `follower` still has.
    async fn renew_batches(&self, follower: Uuid, lease: Duration) -> Result<(), StoreError>;

    /// Notes that an open batch is being worked on.
    async fn batch_running(&self, id: Uuid) -> Result<(), StoreError>;

    /// Ends a batch, whoever follows it. Returns `false`, and changes nothing, when it has ended
    /// already; but a result takes the place of a failure, which came from somebody who was told that
    /// there is none.
    async fn finish_batch(
        &self,
        id: Uuid,
        outcome: &BatchOutcome,
        at: Timestamp,
    ) -> Result<bool, StoreError>;
}
