//! Tasks that are submitted now and asked for later, perhaps at another instance.
//!
//! The service may forget a result once it has read it out, so who asks holds the task's lease, and
//! stores what it learns before anybody is told. Results are also fetched without being asked for:
//! the service abandons those that nobody fetches for half an hour.

mod read;
mod request;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::request::Request;
use super::{Gateway, LONG_BODY, refusal::Refusal, remote};
use crate::{
    backends::globus_compute::{Compute, ComputeError, Task},
    catalog::Served,
    domain::{Caller, EndpointSettings, RemoteTask, TaskOutcome},
    globus::codec::task_payload,
    store::{Store, StoreError},
};

/// What callers are told to wait before they ask again, and how long nobody else asks meanwhile.
pub const POLL_AGAIN: Duration = Duration::from_secs(2);

/// How long the right to ask lasts when its holder never comes back.
const LEASE: Duration = Duration::from_mins(2);

/// How long a caller waits for the service; the reading itself goes on.
const PATIENCE: Duration = Duration::from_secs(20);

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
        let tasks = self.clone();
        let reading = self.work.spawn(async move { tasks.read_with_others(&compute, &task).await });
        match timeout(PATIENCE, reading).await {
            Err(_) => Ok(Known::Open),
            Ok(Err(_)) => Err(remote::stopping()),
            Ok(Ok(Err(error))) => Err(remote::refusal(&format!("Task {id}"), &error)),
            Ok(Ok(Ok(outcome))) => outcome.map_or(Ok(Known::Open), known),
        }
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
        )
        .quoting()),
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
