//! Batches: submitted for a caller, followed to their end in the background, kept with their results.

mod follow;
mod request;
mod service;
mod submit;

use std::sync::Arc;

use uuid::Uuid;

use super::{Gateway, Refusal};
use crate::{
    domain::{Batch, BatchStatus, Caller},
    store::{ReadStore, Reader, Store},
};
pub use follow::{Follower, Pace};
pub use request::BatchRequest;
pub use service::BatchService;

use submit::store_failed;

/// Where batches are kept.
#[derive(Debug)]
pub struct Batches {
    store: Arc<dyn Store>,
    /// For lists, which may be a moment old.
    lists: Reader,
}

impl Batches {
    /// Batches kept in `store`, and listed by `lists`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, lists: Reader) -> Self {
        Self { store, lists }
    }
}

impl Gateway {
    /// The caller's batches, the newest first; only those with `status`, if one is given.
    ///
    /// # Errors
    /// 503 when the database is away.
    pub async fn list_batches(
        &self,
        caller: &Caller,
        status: Option<BatchStatus>,
    ) -> Result<Vec<Batch>, Refusal> {
        self.batches.lists.batches(&caller.user, status).await.map_err(|e| store_failed(&e))
    }

    /// One batch of the caller's; `id` is what stands in the path.
    ///
    /// # Errors
    /// 404 when the caller has no such batch, 503 when the database is away.
    pub async fn batch(&self, caller: &Caller, id: &str) -> Result<Batch, Refusal> {
        let found = match Uuid::try_parse(id) {
            Ok(id) => self.batches.store.batch(&caller.user, id).await,
            Err(_) => Ok(None),
        };
        found.map_err(|e| store_failed(&e))?.ok_or_else(|| {
            let message = "You have no such batch; GET /resource_server/v1/batches lists yours.";
            Refusal::not_found("batch_not_found", message)
        })
    }

    /// The result of one batch of the caller's, a JSON document.
    ///
    /// # Errors
    /// As [`Self::batch`]; 400, as in FIRST, when it has failed or has not ended.
    pub async fn batch_result(&self, caller: &Caller, id: &str) -> Result<String, Refusal> {
        let batch = self.batch(caller, id).await?;
        let refused = |code, message| Refusal::new(http::StatusCode::BAD_REQUEST, code, message);
        match batch.status {
            BatchStatus::Pending | BatchStatus::Running => {
                let message = "Batch not completed yet. Results not ready.".to_owned();
                Err(refused("batch_ongoing", message))
            }
            BatchStatus::Failed => {
                let reason = batch.error.as_deref().unwrap_or("no reason is known");
                Err(refused("batch_failed", format!("Batch failed: {reason}")))
            }
            BatchStatus::Completed => {
                let result = self.batches.store.batch_result(&caller.user, batch.id).await;
                let none = || Refusal::not_found("batch_not_found", "The batch has no result.");
                result.map_err(|e| store_failed(&e))?.ok_or_else(none)
            }
        }
    }
}
