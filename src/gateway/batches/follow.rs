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
    /// How long a task may be missing at the service before it is given up.
    pub missing: Duration,
}

impl Pace {
    /// Asks once per `interval`.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self {
            interval,
            lease: (interval * 4).max(Duration::from_secs(2)),
            missing: Duration::from_mins(10),
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
    /// Since when a batch's task is missing at the service.
    missing: HashMap<Uuid, Instant>,
}

/// What an answer says about batches that have not ended.
#[derive(Debug, Default)]
struct Unended {
    known: Vec<Uuid>,
    /// Those known ones that are running now and were not before.
    begun: Vec<Uuid>,
    missing: Vec<Uuid>,
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
        Self { store, service, pace, id: Uuid::new_v4(), missing: HashMap::new() }
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
        metrics::gauge!("figw_batches_followed").set(u32::try_from(open.len()).unwrap_or(u32::MAX));
        self.missing.retain(|id, _| open.iter().any(|batch| batch.id == *id));
        let mut by_endpoint: BTreeMap<Uuid, Vec<Batch>> = BTreeMap::new();
        for batch in open {
            by_endpoint.entry(batch.job.compute_endpoint).or_default().push(batch);
        }
        let questions = by_endpoint.iter().flat_map(|(endpoint, batches)| {
            batches.chunks(MOST_TASKS).map(|batches| self.ask(*endpoint, batches))
        });
        let answers = self.holding_leases(join_all(questions.collect::<Vec<_>>())).await;
        let mut outcome = Ok(());
        for answer in answers {
            let noted = match answer {
                Ok(unended) => self.note(unended).await,
                Err(trouble) => Err(trouble),
            };
            outcome = outcome.and(noted);
        }
        outcome
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

    /// Asks after batches of one compute endpoint, and stores what has ended. Nothing else that could
    /// fail is done here: results further on in the answer would be lost.
    async fn ask(&self, endpoint: Uuid, batches: &[Batch]) -> Result<Unended, Trouble> {
        let asked: Vec<(&Batch, Uuid)> =
            batches.iter().filter_map(|batch| Some((batch, batch.task?))).collect();
        let tasks: Vec<Uuid> = asked.iter().map(|(_, task)| *task).collect();
        let states = self
            .service
            .states(endpoint, &tasks)
            .await
            .map_err(|error| Trouble::Compute { endpoint, error })?;
        let mut unended = Unended::default();
        for ((batch, _), state) in asked.into_iter().zip(states) {
            match state {
                TaskState::Done(value) => self.end(batch.id, completed(value)).await,
                TaskState::Failed(reason) => {
                    self.end(batch.id, BatchOutcome::Failed(shortened(&reason))).await;
                }
                TaskState::Missing(_) => unended.missing.push(batch.id),
                TaskState::Pending(word) => {
                    unended.known.push(batch.id);
                    if is_running(&word) && batch.status != BatchStatus::Running {
                        unended.begun.push(batch.id);
                    }
                }
            }
        }
        Ok(unended)
    }

    /// A task that was just submitted may not be known everywhere yet, and a result that another
    /// process has just read may be on its way to the database: only who stays missing is given up.
    async fn note(&mut self, unended: Unended) -> Result<(), Trouble> {
        for id in &unended.known {
            self.missing.remove(id);
        }
        for id in unended.missing {
            let since = self.missing.entry(id).or_insert_with(Instant::now);
            if since.elapsed() >= self.pace.missing {
                self.end(id, BatchOutcome::Failed(FORGOTTEN.to_owned())).await;
            }
        }
        for id in unended.begun {
            self.store.batch_running(id).await?;
        }
        Ok(())
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
            Ok(true) => {
                metrics::counter!("figw_batches_ended_total", "status" => status.as_str())
                    .increment(1);
                tracing::info!(batch = %id, %status, "a batch has ended");
            }
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
