//! The staging area: a directory of a Globus collection for each user who asks for one, which only
//! that user and the models reach.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use serde::Serialize;
use uuid::Uuid;

use super::Refusal;
use crate::{
    domain::Caller,
    globus::{GlobusError, transfer::Collection},
};

/// How long an answer is repeated without asking Globus again. Short, because an operator may have
/// cleaned up meanwhile; it is there for callers in a loop.
const KEPT: Duration = Duration::from_secs(10);

/// Users whose answers are kept.
const KEPT_USERS: u64 = 10_000;

/// The longest time for all that preparing a directory takes.
const PATIENCE: Duration = Duration::from_secs(50);

/// When a caller may try again, if Globus does not say.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// The collection that holds the users' directories.
#[derive(Debug)]
pub struct StagingArea {
    collection: Collection,
    base_path: String,
    prepared: Cache<Uuid, Arc<Prepared>>,
}

/// A user's directory, ready to be used; FIRST's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// The collection's id.
    pub collection_id: String,
    /// The directory, which ends with a slash.
    pub path: String,
    /// The id of the rule that lets the user in.
    pub acl_rule_id: String,
    /// The user's Globus identity.
    pub principal: String,
}

impl StagingArea {
    /// Directories below `base_path` of `collection`.
    #[must_use]
    pub fn new(collection: Collection, base_path: &str) -> Self {
        let prepared = Cache::builder().max_capacity(KEPT_USERS).time_to_live(KEPT).build();
        Self { collection, base_path: base_path.trim_end_matches('/').to_owned(), prepared }
    }

    /// Makes sure that `caller` has a directory and may use it. Requests of one user that arrive
    /// together become one.
    ///
    /// # Errors
    /// 403 for callers without a Globus identity, 502 when Globus refuses, 503 when it is away.
    pub async fn prepare(&self, caller: &Caller) -> Result<Arc<Prepared>, Refusal> {
        let identity = identity(caller)?;
        let preparing = async {
            let prepared = tokio::time::timeout(PATIENCE, self.ask(identity)).await;
            prepared.map_err(|_| away(TRY_AGAIN))?.map_err(|error| {
                tracing::warn!(%identity, %error, "a staging directory cannot be prepared");
                refusal(&error)
            })
        };
        let prepared = self.prepared.try_get_with(identity, preparing).await;
        prepared.map_err(|refusal| (*refusal).clone())
    }

    async fn ask(&self, identity: Uuid) -> Result<Arc<Prepared>, GlobusError> {
        let principal = identity.to_string();
        let path = format!("{}/{principal}/", self.base_path);
        self.collection.make_directory(&path).await?;
        let acl_rule_id = self.collection.grant(&principal, &path).await?;
        let collection_id = self.collection.id().to_owned();
        Ok(Arc::new(Prepared { collection_id, path, acl_rule_id, principal }))
    }
}

/// The identity that the rule is to be for. As a UUID it also cannot lead out of the directory.
fn identity(caller: &Caller) -> Result<Uuid, Refusal> {
    let login = caller.login.as_ref().ok_or_else(|| {
        Refusal::forbidden(
            "An API key has no Globus identity to share a directory with. Ask with a Globus \
             access token, such as `figw token` prints.",
        )
    })?;
    Uuid::parse_str(&login.id).map_err(|_| {
        Refusal::forbidden("Your Globus identity has no id to share a directory with.")
    })
}

fn refusal(error: &GlobusError) -> Refusal {
    if error.is_passing() {
        return away(error.retry_after().unwrap_or(TRY_AGAIN));
    }
    let message = match error {
        GlobusError::Refused { message, .. } => {
            format!("Globus Transfer refused to prepare the directory: {message}")
        }
        _ => "Globus Transfer answered something unexpected.".to_owned(),
    };
    Refusal::bad_gateway(message)
}

fn away(after: Duration) -> Refusal {
    let message = "Globus Transfer cannot be reached at present; try again later.";
    Refusal::unavailable("transfer_unavailable", message, after)
}
