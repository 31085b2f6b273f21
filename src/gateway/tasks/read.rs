//! Asking the service after tasks: when their owners ask, and of their own accord.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{interval, timeout};
use uuid::Uuid;

use super::{LEASE, POLL_AGAIN, Tasks, persist};
use crate::{
    backends::globus_compute::{Compute, ComputeError, TaskState},
    domain::{RemoteTask, TaskOutcome},
    gateway::remote,
    store::StoreError,
};

/// How long asking the service may take. A lease outlasts it.
const READING: Duration = Duration::from_secs(90);

/// How long a result is tried to be stored while the database is away.
const KEEP_TRYING: Duration = Duration::from_mins(10);

/// How often open tasks are asked after by themselves.
const ROUND: Duration = Duration::from_mins(1);

/// Rounds between two prunings.
const PRUNE_EVERY: u32 = 30;

/// Open tasks that are asked after with one request, as many as the service's own client sends.
const AT_ONCE: u32 = 128;

/// Requests of one round.
const REQUESTS_A_ROUND: u32 = 8;

/// How long results are kept.
const RESULTS_FOR: Duration = Duration::from_hours(24);

/// How long the service keeps a task without activity.
const OPEN_FOR: Duration = Duration::from_hours(14 * 24);

/// How long the service may say that it does not know a task before that is believed.
const UNKNOWN_FOR: SignedDuration = SignedDuration::from_mins(10);

/// Longest result that is kept, in bytes.
const LONGEST_RESULT: usize = 10 * 1024 * 1024;

impl Tasks {
    /// Asks after a leased task, and along with it after all those whose owners may ask soon:
    /// however many of them poll, the service is asked once for all, and not again before
    /// [`POLL_AGAIN`].
    pub(super) async fn read_with_others(
        &self,
        compute: &Compute,
        task: &RemoteTask,
    ) -> Result<Option<TaskOutcome>, ComputeError> {
        let others = self.store.lease_tasks(LEASE, AT_ONCE - 1).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a task is asked after alone");
            Vec::new()
        });
        let mut by_endpoint = by_endpoint(&others);
        let mut together = vec![OpenTask::of(task)];
        together.extend(by_endpoint.remove(&task.compute_endpoint).unwrap_or_default());
        let (elsewhere, compute_there) = (self.clone(), compute.clone());
        // On its own: this task's owner does not wait for other endpoints.
        self.work.spawn(async move {
            // Their owners, and each round, are told what is wrong.
            let _ = elsewhere.read_each(&compute_there, &by_endpoint).await;
        });
        let mut ended = self.read(compute, task.compute_endpoint, &together).await?.into_iter();
        Ok(ended.find(|(id, _)| *id == task.id).map(|(_, outcome)| outcome))
    }

    /// Asks after leased tasks of several endpoints at the same time, because all their leases end
    /// together. Returns which endpoints could not be asked about.
    async fn read_each(
        &self,
        compute: &Compute,
        by_endpoint: &HashMap<Uuid, Vec<OpenTask>>,
    ) -> Vec<(Uuid, ComputeError)> {
        let reading = by_endpoint.iter().map(async |(endpoint, tasks)| {
            self.read(compute, *endpoint, tasks).await.err().map(|error| (*endpoint, error))
        });
        join_all(reading).await.into_iter().flatten().collect()
    }

    /// Asks after leased tasks of one endpoint, stores what has ended, and gives the leases of the
    /// others back. Returns what has ended.
    async fn read(
        &self,
        compute: &Compute,
        endpoint: Uuid,
        tasks: &[OpenTask],
    ) -> Result<Vec<(Uuid, TaskOutcome)>, ComputeError> {
        let ids: Vec<Uuid> = tasks.iter().map(|task| task.id).collect();
        let states = timeout(READING, compute.states(endpoint, &ids)).await;
        let states = states.unwrap_or_else(|_| {
            let reason = "it did not answer in time".to_owned();
            Err(ComputeError::Unavailable { reason, retry_after: None })
        });
        let states = match states {
            Ok(states) => states,
            Err(error) => {
                self.rest(&ids).await;
                return Err(error);
            }
        };
        let (mut open, mut ended) = (Vec::new(), Vec::new());
        for (task, state) in tasks.iter().zip(states) {
            let id = &task.id;
            match outcome(state, task.submitted_at) {
                None => open.push(*id),
                Some(outcome) => {
                    let kept = persist(KEEP_TRYING, || self.store.finish_task(*id, &outcome)).await;
                    if let Err(error) = kept {
                        tracing::error!(task = %id, %error, "the result of a task is lost");
                    }
                    ended.push((*id, outcome));
                }
            }
        }
        self.rest(&open).await;
        Ok(ended)
    }

    async fn rest(&self, ids: &[Uuid]) {
        if ids.is_empty() {
            return;
        }
        // Otherwise the lease ends by itself.
        if let Err(error) = self.store.rest_tasks(ids, POLL_AGAIN).await {
            tracing::debug!(%error, "leases of tasks are not given back");
        }
    }

    /// Fetches results before the service abandons them, and forgets old ones, until [`Self::stop`].
    pub fn follow(&self) {
        self.work.spawn(self.clone().rounds());
    }

    /// Ends [`Self::follow`] and waits, up to `patience`, until what was read is stored.
    pub async fn stop(&self, patience: Duration) {
        self.stop.cancel();
        self.work.close();
        if timeout(patience, self.work.wait()).await.is_err() {
            tracing::warn!("results of tasks that are being read may be lost");
        }
    }

    async fn rounds(self) {
        let mut rounds = interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for round in 0_u32.. {
            tokio::select! {
                _ = rounds.tick() => {}
                () = self.stop.cancelled() => return,
            }
            if let Err(error) = self.fetch().await {
                tracing::debug!(%error, "open tasks cannot be asked after");
            }
            if round % PRUNE_EVERY == 0 {
                match self.store.prune_tasks(RESULTS_FOR, OPEN_FOR).await {
                    Ok(0) => {}
                    Ok(pruned) => tracing::info!(pruned, "forgot old tasks"),
                    Err(error) => tracing::warn!(%error, "old tasks cannot be forgotten"),
                }
            }
        }
    }

    /// One round over the open tasks that nobody asks after.
    async fn fetch(&self) -> Result<(), StoreError> {
        let Some(compute) = &self.compute else { return Ok(()) };
        for _ in 0..REQUESTS_A_ROUND {
            let leased = self.store.lease_tasks(LEASE, AT_ONCE).await?;
            let count = leased.len();
            for (endpoint, error) in self.read_each(compute, &by_endpoint(&leased)).await {
                tracing::warn!(%endpoint, %error, "open tasks cannot be asked after");
            }
            if count < AT_ONCE as usize || self.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }
}

/// A task that has not ended, as far as anybody knows.
#[derive(Debug, Clone, Copy)]
struct OpenTask {
    id: Uuid,
    submitted_at: Timestamp,
}

impl OpenTask {
    fn of(task: &RemoteTask) -> Self {
        Self { id: task.id, submitted_at: task.submitted_at }
    }
}

fn by_endpoint(tasks: &[RemoteTask]) -> HashMap<Uuid, Vec<OpenTask>> {
    let mut by_endpoint: HashMap<Uuid, Vec<OpenTask>> = HashMap::new();
    for task in tasks {
        by_endpoint.entry(task.compute_endpoint).or_default().push(OpenTask::of(task));
    }
    by_endpoint
}

/// How a task ended, if it has.
fn outcome(state: TaskState, submitted_at: Timestamp) -> Option<TaskOutcome> {
    match state {
        TaskState::Pending(_) => None,
        // A new task may not have reached every part of the service yet.
        TaskState::Missing(_) if Timestamp::now().duration_since(submitted_at) < UNKNOWN_FOR => {
            None
        }
        TaskState::Missing(_) => {
            Some(TaskOutcome::Failed("Globus Compute does not know it any more".to_owned()))
        }
        TaskState::Failed(text) => Some(TaskOutcome::Failed(remote::last_line(&text))),
        TaskState::Done(value) => {
            let document = value.into_document();
            Some(if document.len() > LONGEST_RESULT {
                let megabytes = LONGEST_RESULT / (1024 * 1024);
                TaskOutcome::Failed(format!("its result is longer than {megabytes} MiB"))
            } else {
                TaskOutcome::Done(document)
            })
        }
    }
}
