//! Functions on clusters through Globus Compute.

mod amqp;
mod answers;
mod early;
mod error;
mod gather;
mod health;
pub mod inference;
mod lane;
mod poll;
mod status;
pub mod streams;
mod submit;
mod waiting;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;
use uuid::Uuid;

pub use self::{
    error::ComputeError,
    health::{Broker, Health, Trouble},
};
use self::{
    lane::{Lane, Ways},
    status::Statuses,
    submit::{Address, Placed},
    waiting::Ticket,
};
use super::Presence;
use crate::{
    cache::{Answers, Cache},
    globus::{
        GlobusError, Service, ServiceAccount, Tokens,
        budget::Budget,
        codec::{self, PyValue},
        compute::{ComputeApi, NewTask, Progress, RESOURCE_SERVER, SCOPE},
        results::Outcome,
    },
};

/// How long one request to Globus may take.
const REQUEST: Duration = Duration::from_mins(1);

/// A result from this size on, in bytes, is read aside.
const LONG_RESULT: usize = 256 * 1024;

/// How long before a caller's own deadline the service is asked for his result.
const LAST_CHANCE: Duration = Duration::from_secs(3);

/// One call of a registered function.
#[derive(Debug, Clone)]
pub struct Task {
    /// The Globus Compute endpoint that runs it.
    pub endpoint: Uuid,
    /// The registered function.
    pub function: Uuid,
    /// Its arguments, as [`crate::globus::codec::task_payload`] makes them.
    pub payload: String,
    /// What the endpoint's template is filled in with, a JSON object; for endpoints that start a
    /// worker for each such configuration.
    pub user_endpoint_config: Option<serde_json::Value>,
}

/// What became of a task.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskState {
    /// It waits or runs; the service's own word for it.
    Pending(String),
    /// It returned.
    Done(PyValue),
    /// It failed; the text of the exception, or the service's reason.
    Failed(String),
    /// The service has no such task, or no result of it (any more); its own words. A task that was
    /// just submitted, or just read by somebody else, may look like this for a moment.
    Missing(String),
}

/// Whether an endpoint is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Whether it is online.
    pub online: bool,
    /// How many managers (compute nodes) it has, if it says so.
    pub managers: Option<u64>,
}

/// Reads an id from an endpoint's or a cluster's settings, where `setting` names it.
///
/// # Errors
/// When it is none, for an operator.
pub fn id(setting: &str, text: &str) -> Result<Uuid, ComputeError> {
    text.trim().parse().map_err(|_| {
        let text: String = text.chars().take(60).collect();
        ComputeError::Refused(format!("misconfigured: {setting} `{text}` is not a UUID"))
    })
}

/// A task that has been accepted by the service, with its result to come. Dropping it gives up
/// waiting and touches nobody else's task.
#[derive(Debug)]
pub struct Submitted {
    /// The service's id of the task.
    pub id: Uuid,
    /// When the service accepted it.
    pub at: Timestamp,
    ticket: Ticket,
}

impl Submitted {
    /// Waits for the result.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn result(self) -> Result<PyValue, ComputeError> {
        let outcome = self.ticket.result().await.ok_or_else(ComputeError::stopping)?;
        read(outcome).await
    }

    /// As [`Self::result`], for a caller who waits until `deadline`: shortly before, the service is
    /// asked for what the broker may have failed to deliver. Returns at the deadline only if the
    /// caller stops waiting by himself.
    ///
    /// # Errors
    /// As [`Self::result`].
    pub async fn result_by(self, deadline: Instant) -> Result<PyValue, ComputeError> {
        self.ticket.ask_by(deadline.checked_sub(LAST_CHANCE).unwrap_or(deadline));
        self.result().await
    }
}

/// Decodes a result, a long one where it keeps no connection waiting.
async fn read(outcome: Outcome) -> Result<PyValue, ComputeError> {
    let buffer = match outcome {
        Outcome::Failed(text) => return Err(ComputeError::Failed(text)),
        Outcome::Returned(buffer) => buffer,
    };
    let decoded = if buffer.len() < LONG_RESULT {
        codec::decode(&buffer)
    } else {
        let decoding = tokio::task::spawn_blocking(move || codec::decode(&buffer));
        decoding.await.map_err(|error| ComputeError::Unreadable(error.to_string()))?
    };
    decoded.map_err(|error| ComputeError::Unreadable(error.to_string()))
}

/// What [`Compute::start`] works with.
#[derive(Debug, Clone)]
pub struct ComputeOptions {
    /// Globus Compute's address.
    pub url: Url,
    /// Globus Auth's address.
    pub auth_url: Url,
    /// The service account for every endpoint that demands no other.
    pub account: Option<ServiceAccount>,
    /// Service accounts that certain endpoints demand.
    pub overrides: HashMap<Uuid, ServiceAccount>,
    /// Whether results come from the broker; otherwise they are asked for.
    pub amqp: bool,
    /// How long tasks for one endpoint are gathered into one request; 5 to 20 ms is sensible.
    pub gather: Duration,
    /// Requests that the service allows one client in ten seconds.
    pub requests_per_ten_seconds: u32,
    /// Where instances tell each other what Globus says of endpoints.
    pub cache: Cache,
}

/// Globus Compute for one gateway process: submits, and gets results back. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Compute {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    statuses: Statuses,
    answers: Option<Answers>,
    default: Option<Arc<Lane>>,
    overrides: HashMap<Uuid, Arc<Lane>>,
    _stop: DropGuard,
}

impl Compute {
    /// Starts its background tasks on the current runtime. They end when the last clone is dropped.
    ///
    /// # Errors
    /// When the HTTP client cannot be set up.
    pub fn start(options: ComputeOptions) -> Result<Self, GlobusError> {
        let auth = Service::new("Globus Auth", options.auth_url.clone(), REQUEST)?;
        let service = Service::new("Globus Compute", options.url.clone(), REQUEST)?;
        let stop = CancellationToken::new();
        let accounts = options.account.iter().chain(options.overrides.values());
        let answers = answers::shared_by(&options.cache, accounts);
        let statuses = Statuses::new(Handle::current()).shared(answers.clone());
        let ways = Ways { amqp: options.amqp, window: options.gather };
        let mut lanes: HashMap<String, Arc<Lane>> = HashMap::new();
        // One lane for each account, however many endpoints demand it: the limit is the account's.
        let mut lane = |account: ServiceAccount| {
            let id = account.id.clone();
            let start = || {
                let tokens = Tokens::new(auth.clone(), account, SCOPE, RESOURCE_SERVER);
                let budget = Arc::new(Budget::new(options.requests_per_ten_seconds));
                let api = ComputeApi::new(service.clone(), tokens, budget);
                Lane::start(id.clone(), api, &statuses, ways, &stop)
            };
            Arc::clone(lanes.entry(id.clone()).or_insert_with(start))
        };
        let default = options.account.map(&mut lane);
        let overrides =
            options.overrides.into_iter().map(|(id, account)| (id, lane(account))).collect();
        let inner = Inner { statuses, answers, default, overrides, _stop: stop.drop_guard() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The endpoint's status, at most 60 s old (10 s when it could not be had).
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub async fn status(&self, endpoint: Uuid) -> Result<EndpointStatus, ComputeError> {
        let lane = self.lane(endpoint)?;
        let api = lane.api.clone();
        let ask = || async move {
            let presence = api.presence(endpoint).await?;
            Ok(EndpointStatus { online: presence.online, managers: presence.managers })
        };
        self.inner.statuses.get(endpoint, ask).await
    }

    /// Whether the endpoint has nodes that take tasks, by its status.
    pub async fn presence(&self, endpoint: Uuid) -> Presence {
        match self.status(endpoint).await {
            Err(_) => Presence::Unknown,
            Ok(EndpointStatus { online: false, .. }) => Presence::Away,
            Ok(EndpointStatus { managers: Some(0), .. }) => {
                let triggered = self.inner.statuses.is_triggered(endpoint).await;
                if triggered { Presence::Starting } else { Presence::Idle }
            }
            // One that does not say how many it has is given the benefit of the doubt.
            Ok(_) => Presence::Running,
        }
    }

    /// Submits a task for an interactive caller: refused while its endpoint is offline, or still
    /// starting.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit(&self, task: Task) -> Result<Submitted, ComputeError> {
        // An endpoint that does not say how many it has is given the benefit of the doubt.
        if self.online(task.endpoint).await?.managers == Some(0)
            && self.inner.statuses.is_triggered(task.endpoint).await
        {
            return Err(ComputeError::Starting);
        }
        self.submit_now(task).await
    }

    /// As [`Self::submit`], but also while the endpoint has no nodes: for functions that run on the
    /// cluster's own machine, whose endpoint starts its worker when it is asked.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit_to_idle(&self, task: Task) -> Result<Submitted, ComputeError> {
        self.online(task.endpoint).await?;
        self.submit_now(task).await
    }

    async fn online(&self, endpoint: Uuid) -> Result<EndpointStatus, ComputeError> {
        let status = self.status(endpoint).await?;
        if status.online { Ok(status) } else { Err(ComputeError::Offline) }
    }

    async fn submit_now(&self, task: Task) -> Result<Submitted, ComputeError> {
        let Placed { id, at, ticket } = self.place(task, false).await?;
        let ticket = ticket.ok_or_else(ComputeError::stopping)?;
        Ok(Submitted { id, at, ticket })
    }

    /// Submits a task whose result will be asked for by [`Self::states`], perhaps by another
    /// process; also to an endpoint that is offline, where the service keeps it waiting.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn submit_detached(&self, task: Task) -> Result<Uuid, ComputeError> {
        Ok(self.place(task, true).await?.id)
    }

    /// Where these tasks of one endpoint stand, in the order of `tasks`. A finished one's result may
    /// be readable only once: keep it.
    ///
    /// # Errors
    /// When the service cannot be asked.
    pub async fn states(
        &self,
        endpoint: Uuid,
        tasks: &[Uuid],
    ) -> Result<Vec<TaskState>, ComputeError> {
        let mut found = self.lane(endpoint)?.ask(tasks).await;
        if let Some(error) = found.error.take_if(|_| found.progress.is_empty()) {
            return Err(error.into());
        }
        let mut states = Vec::with_capacity(tasks.len());
        for id in tasks {
            states.push(match found.progress.remove(id) {
                Some(progress) => state(progress).await,
                // What was read is worth more than the error that came after it.
                None if found.error.is_some() => TaskState::Pending("not asked".to_owned()),
                None => TaskState::Missing("the service does not know this task".to_owned()),
            });
        }
        Ok(states)
    }

    /// Where answers from clusters are shared with other instances; `None` where nothing is.
    #[must_use]
    pub fn answers(&self) -> Option<&Answers> {
        self.inner.answers.as_ref()
    }

    /// How things stand, for each service account.
    #[must_use]
    pub fn health(&self) -> Vec<Health> {
        let mut health: Vec<_> = self.lanes().map(|lane| lane.health()).collect();
        health.sort_by(|a, b| a.account.cmp(&b.account));
        health.dedup_by(|a, b| a.account == b.account);
        health
    }

    fn lanes(&self) -> impl Iterator<Item = &Arc<Lane>> {
        self.inner.default.iter().chain(self.inner.overrides.values())
    }

    fn lane(&self, endpoint: Uuid) -> Result<&Arc<Lane>, ComputeError> {
        let lane = self.inner.overrides.get(&endpoint).or(self.inner.default.as_ref());
        lane.ok_or_else(|| {
            ComputeError::Refused(format!(
                "misconfigured: there is no service account for compute endpoint {endpoint}"
            ))
        })
    }

    async fn place(&self, task: Task, detached: bool) -> Result<Placed, ComputeError> {
        let Task { endpoint, function, payload, user_endpoint_config } = task;
        let lane = self.lane(endpoint)?;
        let task = NewTask::new(function, &payload)
            .map_err(|error| ComputeError::Refused(error.to_string()))?;
        let config = user_endpoint_config.map(|config| config.to_string().into());
        lane.submit(Address { endpoint, detached, config }, task).await
    }
}

async fn state(progress: Progress) -> TaskState {
    let outcome = match progress {
        Progress::Pending(word) => return TaskState::Pending(word),
        Progress::Missing(reason) => return TaskState::Missing(reason),
        Progress::Ended(outcome) => outcome,
    };
    match read(outcome).await {
        Ok(value) => TaskState::Done(value),
        Err(ComputeError::Failed(text)) => TaskState::Failed(text),
        Err(error) => TaskState::Failed(error.to_string()),
    }
}
