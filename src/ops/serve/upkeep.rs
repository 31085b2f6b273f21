//! The background task that keeps the tables in order.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    config,
    store::{Retention, Store, Upkeep},
};

/// How long the task may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The task at work.
pub(super) struct Keeping {
    stop: CancellationToken,
    retention: watch::Sender<Retention>,
    task: JoinHandle<()>,
}

impl Keeping {
    /// Starts it. The rest is left to the instance whose turn it is.
    pub(super) fn start(settings: &config::Retention, store: Arc<dyn Store>) -> Self {
        let (retention, current) = watch::channel(retention(settings));
        let stop = CancellationToken::new();
        let upkeep = Upkeep::new(store, current);
        let task = tokio::spawn(upkeep.run(stop.clone().cancelled_owned()));
        Self { stop, retention, task }
    }

    /// Changes how long rows are kept.
    pub(super) fn retention(&self) -> watch::Sender<Retention> {
        self.retention.clone()
    }

    /// Stops between two steps, and leaves the task to other instances.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // What it was at is a transaction, which is done or undone.
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
    }
}

/// As the configuration has it.
pub(super) fn retention(settings: &config::Retention) -> Retention {
    let config::Retention { usage, access, prompts, every } = *settings;
    Retention { usage, access, prompts, every }
}
