//! Tasks that are submitted now and asked for later, perhaps at another instance.
//!
//! The service may forget a result once it has read it out, so who asks holds the task's lease, and
//! stores what it learns before anybody is told. Results are also fetched without being asked for:
//! the service abandons those that nobody fetches for half an hour.

mod request;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{interval, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::request::Request;
use super::{Gateway, LONG_BODY, refusal::Refusal, remote};
use crate::{
    backends::globus_compute::{Compute, ComputeError, Task, TaskState},
    catalog::Served,
    domain::{Caller, EndpointSettings, RemoteTask, TaskOutcome},
    globus::codec::task_payload,
    store::{Store, StoreError},
};

/// What callers are told to wait before they ask again, and how long nobody else asks meanwhile.
pub const POLL_AGAIN: Duration = Duration::from_secs(2);

/// How long asking the service may take. A lease outlasts it.
const READING: Duration = Duration::from_secs(90);

/// How long the right to ask lasts when its holder never comes back.
const LEASE: Duration = Duration::from_mins(2);

/// How long a caller waits for the service; the reading itself goes on.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// What is known of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is not at its end.
    Open,
    /// Its function returned this JSON document.
    Done(String),
}

/// Tasks of all callers. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Tasks {
    store: Arc<dyn Store>,
    compute: Option<Compute>,
    /// What must not be cut off: the service may have taken a task or forgotten a result meanwhile.
    work: TaskTracker,
    stop: CancellationToken,
}

impl Gateway {
    /// Submits a task and returns its id, and the model it is for.
    ///
    /// # Errors
    /// 400 when it makes no sense, 403 and 404 as for inference, 502 to 504 when it cannot be
    /// submitted.
    pub async fn submit_task(
        &self,
        caller: &Caller,
        cluster: &str,
        framework: &str,
        body: Bytes,
    ) -> Result<(Uuid, String), Refusal> {
        let request = read(framework, body).await?;
        let served = {
            let snapshot = self.catalog.load();
            request::find(&snapshot, caller, cluster, framework, request.model.as_deref())?
        };
        // A task that could not be kept would run for nobody.
        if self.catalog.trouble().is_some() {
            return Err(database_away());
        }
        let id = self.tasks.submit(&caller.user, &served, request).await?;
        Ok((id, served.endpoint.model.clone()))
    }
}

/// A long body takes milliseconds to read, which other requests of the thread must not wait for.
async fn read(framework: &str, body: Bytes) -> Result<Request, Refusal> {
    if body.len() < LONG_BODY {
        return Request::read(framework, &body);
    }
    let framework = framework.to_owned();
    let reading = tokio::task::spawn_blocking(move || Request::read(&framework, &body));
    reading.await.unwrap_or_else(|_| Err(remote::stopping()))
}

impl Tasks {
    /// Tasks kept in `store`. Without `compute` there are none to submit.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, compute: Option<Compute>) -> Self {
        Self { store, compute, work: TaskTracker::new(), stop: CancellationToken::new() }
    }

    async fn submit(&self, user: &str, served: &Served, request: Request) -> Result<Uuid, Refusal> {
        let compute = self.compute.clone().ok_or_else(remote::not_set_up)?;
        let (endpoint, function) = ids(served)?;
        let what = format!("Endpoint {}", served.endpoint.slug);
        let status = compute.status(endpoint).await;
        if !status.map_err(|error| remote::refusal(&what, &error))?.online {
            return Err(remote::refusal(&what, &ComputeError::Offline));
        }
        let task = Task {
            endpoint,
            function,
            payload: task_payload(Some(&request.argument)),
            user_endpoint_config: request.endpoint_config,
        };
        let (store, named) = (Arc::clone(&self.store), named(user, served, endpoint));
        // A caller that leaves in between must not leave a task behind that nobody knows.
        let submitting = self.work.spawn(async move {
            let id = compute.submit_detached(task).await;
            let id = id.map_err(|error| remote::refusal(&what, &error))?;
            let task = RemoteTask { id, submitted_at: Timestamp::now(), ..named };
            let kept = persist(PATIENCE, || store.add_task(&task)).await;
            kept.map(|()| id).map_err(|error| not_kept(&error))
        });
        submitting.await.unwrap_or_else(|_| Err(remote::stopping()))
    }

    /// What is known of a user's task on that framework of that cluster.
    ///
    /// # Errors
    /// 404 when there is none, 502 when it failed, 503 when it cannot be asked after.
    pub async fn ask(
        &self,
        user: &str,
        cluster: &str,
        framework: &str,
        id: &str,
    ) -> Result<Known, Refusal> {
        let id = Uuid::parse_str(id).map_err(|_| no_task())?;
        let task = self.store.task(user, id).await.map_err(|error| unasked(&error))?;
        let task = task
            .filter(|task| task.cluster == cluster && task.framework == framework)
            .ok_or_else(no_task)?;
        if let Some(outcome) = task.outcome {
            return known(outcome);
        }
        let compute = self.compute.clone().ok_or_else(remote::not_set_up)?;
        if !self.store.lease_task(id, LEASE).await.map_err(|error| unasked(&error))? {
            return Ok(Known::Open);
        }
        let (tasks, endpoint) = (self.clone(), task.compute_endpoint);
        let open = OpenTask { id, submitted_at: task.submitted_at };
        let reading = self.work.spawn(async move {
            tasks.read(&compute, endpoint, &[open]).await.map(|mut ended| ended.pop())
        });
        match timeout(PATIENCE, reading).await {
            Err(_) => Ok(Known::Open),
            Ok(Err(_)) => Err(remote::stopping()),
            Ok(Ok(Err(error))) => Err(remote::refusal(&format!("Task {id}"), &error)),
            Ok(Ok(Ok(outcome))) => outcome.map_or(Ok(Known::Open), known),
        }
    }

    /// Asks after leased tasks of one endpoint, stores what has ended, and gives the leases of the
    /// others back. Returns what has ended.
    async fn read(
        &self,
        compute: &Compute,
        endpoint: Uuid,
        tasks: &[OpenTask],
    ) -> Result<Vec<TaskOutcome>, ComputeError> {
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
                    ended.push(outcome);
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
            let mut by_endpoint: HashMap<Uuid, Vec<OpenTask>> = HashMap::new();
            for task in leased {
                let open = OpenTask { id: task.id, submitted_at: task.submitted_at };
                by_endpoint.entry(task.compute_endpoint).or_default().push(open);
            }
            // Together, because all their leases end at the same time.
            join_all(by_endpoint.iter().map(async |(endpoint, tasks)| {
                if let Err(error) = self.read(compute, *endpoint, tasks).await {
                    tracing::warn!(%endpoint, %error, "open tasks cannot be asked after");
                }
            }))
            .await;
            if count < AT_ONCE as usize || self.stop.is_cancelled() {
                break;
            }
        }
        Ok(())
    }
}

/// The Globus Compute endpoint and the function of an endpoint.
fn ids(served: &Served) -> Result<(Uuid, Uuid), Refusal> {
    let endpoint = &served.endpoint;
    let uuids = match &endpoint.settings {
        EndpointSettings::GlobusCompute(settings) => Uuid::parse_str(&settings.endpoint_uuid)
            .ok()
            .zip(Uuid::parse_str(&settings.function_uuid).ok()),
        _ => None,
    };
    uuids.ok_or_else(|| {
        tracing::warn!(endpoint = endpoint.slug, "its endpoint_uuid or function_uuid is no UUID");
        Refusal::bad_gateway(format!("Endpoint {} is not set up correctly.", endpoint.slug))
    })
}

/// A task that has no id yet.
fn named(user: &str, served: &Served, compute_endpoint: Uuid) -> RemoteTask {
    let endpoint = &served.endpoint;
    RemoteTask {
        id: Uuid::nil(),
        user: user.to_owned(),
        cluster: endpoint.cluster.clone(),
        framework: endpoint.framework.clone(),
        endpoint: endpoint.slug.clone(),
        model: endpoint.model.clone(),
        compute_endpoint,
        submitted_at: Timestamp::UNIX_EPOCH,
        outcome: None,
    }
}

/// A task that has not ended, as far as anybody knows.
#[derive(Debug, Clone, Copy)]
struct OpenTask {
    id: Uuid,
    submitted_at: Timestamp,
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

/// Repeats what the database does not do because it is away, for as long as `patience`.
async fn persist<T, F>(patience: Duration, write: impl Fn() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    const PAUSE: Duration = Duration::from_millis(500);
    let since = Instant::now();
    loop {
        match write().await {
            Err(StoreError::Unavailable { .. }) if since.elapsed() < patience => sleep(PAUSE).await,
            done => return done,
        }
    }
}

fn known(outcome: TaskOutcome) -> Result<Known, Refusal> {
    match outcome {
        TaskOutcome::Done(document) => Ok(Known::Done(document)),
        TaskOutcome::Failed(reason) => Err(Refusal::new(
            StatusCode::BAD_GATEWAY,
            "task_failed",
            format!("The task failed: {reason}"),
        )),
    }
}

fn no_task() -> Refusal {
    Refusal::not_found("task_not_found", "There is no such task of yours here.")
}

fn database_away() -> Refusal {
    let message = "Tasks cannot be kept at present: the database does not answer.";
    Refusal::unavailable("tasks_unavailable", message, Duration::from_secs(5))
}

fn not_kept(error: &StoreError) -> Refusal {
    tracing::error!(%error, "a task was submitted, but cannot be kept");
    database_away()
}

fn unasked(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "a task cannot be looked up");
    database_away()
}
