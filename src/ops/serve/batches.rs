//! The background task that follows batches.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::READ_DEADLINE;
use crate::{
    config::Config,
    gateway::batches::{Follower, Pace},
    http::App,
    store::Store,
};

/// The follower at work.
pub(super) struct Following {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Following {
    /// Starts following, if there is a service to ask.
    pub(super) fn start(config: &Config, app: &App, store: Arc<dyn Store>) -> Option<Self> {
        let service = Arc::new(app.gateway.compute.clone()?);
        let follower = Follower::new(store, service, Pace::every(config.batches.poll_interval));
        let stop = CancellationToken::new();
        let task = tokio::spawn(follower.run(stop.clone()));
        Some(Self { stop, task })
    }

    /// Stops between two rounds, and leaves the batches to other instances.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(READ_DEADLINE, self.task).await.is_err() {
            tracing::warn!("an open question about batches is left unanswered");
        }
    }
}
