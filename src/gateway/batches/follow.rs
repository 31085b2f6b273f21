//! Following open batches to their end.
//!
//! Every instance runs one follower. The database leases each open batch to one of them, so that a
//! result, which the service may hand out only once, is asked for in one place; whoever dies loses
//! the lease, and another instance goes on. A result is stored before anything else is done.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::BatchService;
use crate::{
    backends::globus_compute::{ComputeError, TaskState},
    domain::{Batch, BatchMetrics, BatchOutcome, BatchStatus},
    globus::codec::PyValue,
    store::{Store, StoreError},
};

/// The most tasks in one question, which is what Globus' own SDK sends.
const MOST_TASKS: usize = 128;

/// The longest pause while the service or the database is away. Results are kept for 30 minutes.
const LONGEST_PAUSE: Duration = Duration::from_mins(2);

/// Characters of a failure's text that are kept, counted from its end, where a traceback says what
/// happened.
const LONGEST_REASON: usize = 4_000;

const NEVER_SUBMITTED: &str = "the gateway stopped before the batch's task was known; it may have \
     been submitted nevertheless: look into its output folder before submitting it again";

const FORGOTTEN: &str = "Globus Compute does not know the batch's task any more; if it ran, its \
     answers are in its output folder";

/// How often batches are asked after.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The pause between two questions.
    pub interval: Duration,
    /// How long a batch is left to a follower that no longer says anything.
    pub lease: Duration,
    /// How long the service may deny knowing a task before that is believed.
    pub denial: Duration,
}

impl Pace {
    /// Asks once per `interval`.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self {
            interval,
            lease: (interval * 4).max(Duration::from_secs(2)),
            denial: Duration::from_mins(10),
        }
    }
}

/// Follows the open batches that the database leases to it.
#[derive(Debug)]
pub struct Follower {
    store: Arc<dyn Store>,
    service: Arc<dyn BatchService>,
    pace: Pace,
    /// Names this process in leases. A new one at each start: an instance's name may be in use twice.
    id: Uuid,
    /// Since when the service denies knowing a batch's task.
    denied: HashMap<Uuid, Instant>,
}

/// Why a round was not complete.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("compute endpoint {endpoint}: {error}")]
    Compute { endpoint: Uuid, error: ComputeError },
}

impl Follower {
    /// A follower of the batches in `store`, which run at `service`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, service: Arc<dyn BatchService>, pace: Pace) -> Self {
        Self { store, service, pace, id: Uuid::new_v4(), denied: HashMap::new() }
    }

    /// Follows until told to stop; then others take over at once.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut pause = self.pace.interval;
        loop {
            tokio::select! {
                () = tokio::time::sleep(scattered(pause)) => {}
                () = stop.cancelled() => break,
            }
            // Not cut by `stop`: what has been read must be stored.
            pause = match self.round().await {
                Ok(()) => self.pace.interval,
                Err(trouble) => {
                    tracing::warn!("batches cannot be followed at present: {trouble}");
                    next_pause(pause, &trouble)
                }
            };
        }
        if let Err(error) = self.store.renew_batches(self.id, Duration::ZERO).await {
            tracing::debug!(%error, "batches are left to others when their lease is over");
        }
    }

    /// Asks once after every batch that is this follower's.
    async fn round(&mut self) -> Result<(), Trouble> {
        for id in self.store.give_up_unsubmitted(NEVER_SUBMITTED).await? {
            tracing::warn!(batch = %id, "the batch failed: {NEVER_SUBMITTED}");
        }
        let open = self.store.claim_batches(self.id, self.pace.lease).await?;
        self.denied.retain(|id, _| open.iter().any(|batch| batch.id == *id));
        let mut by_endpoint: BTreeMap<Uuid, Vec<Batch>> = BTreeMap::new();
        for batch in open {
            by_endpoint.entry(batch.job.compute_endpoint).or_default().push(batch);
        }
        let questions = by_endpoint.iter().flat_map(|(endpoint, batches)| {
            batches.chunks(MOST_TASKS).map(|batches| self.ask(*endpoint, batches))
        });
        let answers = self.holding_leases(join_all(questions.collect::<Vec<_>>())).await;
        let mut trouble = Ok(());
        for answer in answers {
            match answer {
                Ok(denials) => self.hear_denials(denials).await,
                Err(error) => trouble = Err(error),
            }
        }
        trouble
    }

    /// Keeps the leases while `work` goes on, which may take longer than they last.
    async fn holding_leases<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(self.pace.lease / 3) => {}
            }
            // In the same turn as the work, so that the work does not wait for a slow database.
            let renewal = self.store.renew_batches(self.id, self.pace.lease);
            tokio::select! {
                done = &mut work => return done,
                renewed = renewal => if let Err(error) = renewed {
                    tracing::debug!(%error, "the leases of batches cannot be renewed");
                }
            }
        }
    }

    /// Asks after batches of one compute endpoint, and stores what has ended. Returns those that the
    /// service denies to know, and those that it does know, as `(batch, denied)`.
    async fn ask(&self, endpoint: Uuid, batches: &[Batch]) -> Result<Vec<(Uuid, bool)>, Trouble> {
        let tasks: Vec<Uuid> = batches.iter().filter_map(|batch| batch.task).collect();
        let states = self
            .service
            .states(endpoint, &tasks)
            .await
            .map_err(|error| Trouble::Compute { endpoint, error })?;
        let mut denials = Vec::with_capacity(batches.len());
        for (batch, state) in batches.iter().zip(states) {
            match state {
                TaskState::Done(value) => self.end(batch.id, completed(value)).await,
                TaskState::Failed(reason) => {
                    self.end(batch.id, BatchOutcome::Failed(shortened(&reason))).await;
                }
                TaskState::Missing(_) => denials.push((batch.id, true)),
                TaskState::Pending(word) => {
                    denials.push((batch.id, false));
                    if is_running(&word) && batch.status != BatchStatus::Running {
                        self.store.batch_running(batch.id).await?;
                    }
                }
            }
        }
        Ok(denials)
    }

    /// A task that was just submitted may not be known everywhere yet, and a result that another
    /// process has just read may be on its way to the database: only a lasting denial counts.
    async fn hear_denials(&mut self, denials: Vec<(Uuid, bool)>) {
        for (id, denied) in denials {
            if !denied {
                self.denied.remove(&id);
                continue;
            }
            let since = self.denied.entry(id).or_insert_with(Instant::now);
            if since.elapsed() >= self.pace.denial {
                self.end(id, BatchOutcome::Failed(FORGOTTEN.to_owned())).await;
            }
        }
    }

    /// Stores how a batch ended. The service may have forgotten it by now, so this goes on until
    /// the database has it.
    async fn end(&self, id: Uuid, outcome: BatchOutcome) {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times();
        let at = Timestamp::now();
        let stored = (|| self.store.finish_batch(id, &outcome, at))
            .retry(pauses)
            .when(|error| matches!(error, StoreError::Unavailable { .. }))
            .notify(|error, _| tracing::warn!(batch = %id, %error, "its result waits in memory"))
            .await;
        let status = outcome.status();
        match stored {
            Ok(true) => tracing::info!(batch = %id, %status, "a batch has ended"),
            Ok(false) => tracing::debug!(batch = %id, "the batch had ended already"),
            Err(error) => tracing::error!(batch = %id, %status, %error, "cannot be stored"),
        }
    }
}

/// About as long, so that instances that started together do not ask together for ever.
fn scattered(pause: Duration) -> Duration {
    let chance = getrandom::u32().map_or(0.5, |chance| f64::from(chance) / f64::from(u32::MAX));
    pause.mul_f64(0.8 + 0.4 * chance)
}

fn next_pause(last: Duration, trouble: &Trouble) -> Duration {
    let asked = match trouble {
        Trouble::Compute { error: ComputeError::Unavailable { retry_after, .. }, .. } => {
            *retry_after
        }
        _ => None,
    };
    (last * 2).max(asked.unwrap_or_default()).min(LONGEST_PAUSE)
}

/// Of the service's words for a task that has not ended, those for one that a worker has begun.
fn is_running(word: &str) -> bool {
    matches!(word, "running" | "execution-start")
}

fn completed(value: PyValue) -> BatchOutcome {
    let result = value.into_document();
    let metrics = metrics_of(&result);
    BatchOutcome::Completed { result, metrics }
}

/// What FIRST's batch functions say about their work: `{"metrics": {"total_tokens": …}}`.
fn metrics_of(document: &str) -> BatchMetrics {
    #[derive(Default, Deserialize)]
    struct Document {
        #[serde(default)]
        metrics: Value,
    }
    let Document { metrics } = serde_json::from_str(document).unwrap_or_default();
    let number = |name| metrics.get(name).and_then(Value::as_u64);
    BatchMetrics { total_tokens: number("total_tokens"), responses: number("num_responses") }
}

fn shortened(reason: &str) -> String {
    let reason = reason.trim();
    let too_many = reason.chars().count().saturating_sub(LONGEST_REASON);
    reason.chars().skip(too_many).collect()
}
