//! Globus Compute over HTTP, as its API document and the Python SDK have it.
//!
//! Every request is counted in the client's [`Budget`].

mod wire;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::header;
use reqwest::RequestBuilder;
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use uuid::Uuid;

pub use self::wire::{Accepted, EndpointInfo, NewTask, Presence, Progress, ResultQueue, ResultsTo};
use self::wire::{BatchAnswer, StatusAnswer, SubmitAnswer, TaskAnswer, accepted, submit_body};
use super::{
    GlobusError, SendError, Service, Tokens,
    budget::{Budget, Permit, Purpose},
};

/// The scope of tokens for Globus Compute.
pub const SCOPE: &str = "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all";

/// The name under which Globus Auth hands such a token out.
pub const RESOURCE_SERVER: &str = "funcx_service";

/// Globus Compute, where it is not configured otherwise.
pub const ADDRESS: &str = "https://compute.api.globus.org";

/// Most ids in one question for results; as many as the Python SDK sends.
pub const MOST_IDS: usize = 128;

/// The silence kept after a 429 that does not ask for a certain one.
const SILENCE: Duration = Duration::from_secs(2);

/// A question that somebody waits for is given up after this.
const SHORT: Duration = Duration::from_secs(15);

/// One client's access to Globus Compute. Cloning shares it.
#[derive(Debug, Clone)]
pub struct ComputeApi {
    service: Service,
    tokens: Tokens,
    budget: Arc<Budget>,
}

impl ComputeApi {
    /// The service for the client whose tokens these are, within `budget`.
    #[must_use]
    pub const fn new(service: Service, tokens: Tokens, budget: Arc<Budget>) -> Self {
        Self { service, tokens, budget }
    }

    /// What the client may still send.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Whether an endpoint is there.
    ///
    /// # Errors
    /// As the service, or the way there, has it.
    pub async fn presence(&self, endpoint: Uuid) -> Result<Presence, GlobusError> {
        let path = format!("/v2/endpoints/{endpoint}/status");
        let answer: StatusAnswer = self.ask(Purpose::Urgent, || self.service.get(&path)).await?;
        Ok(answer.presence())
    }

    /// What the service knows about an endpoint.
    ///
    /// # Errors
    /// As the service, or the way there, has it.
    pub async fn endpoint(&self, endpoint: Uuid) -> Result<EndpointInfo, GlobusError> {
        let path = format!("/v2/endpoints/{endpoint}");
        self.ask(Purpose::Urgent, || self.service.get(&path)).await
    }

    /// Submits tasks to one endpoint, which starts their worker by `config`, a JSON object, if there
    /// is one; `permit` pays for it. Never repeated, except with a new token after a 401.
    ///
    /// # Errors
    /// As the service, or the way there, has it.
    pub async fn submit(
        &self,
        permit: Permit,
        endpoint: Uuid,
        results: ResultsTo,
        tasks: &[NewTask],
        config: Option<&str>,
    ) -> Result<Accepted, SendError> {
        let path = format!("/v3/endpoints/{endpoint}/submit");
        let body = submit_body(results, tasks, config).map_err(|error| SendError {
            error: self.malformed(&format!("cannot write the request: {error}")),
            not_accepted: true,
        })?;
        let fare = Fare::new(permit);
        let sent = self.tokens.with(|token| {
            let (body, fare, path) = (body.clone(), &fare, &path);
            async move {
                fare.pay(&self.budget, Purpose::Submit).await;
                let request = self.service.post(path).header(header::CONTENT_TYPE, JSON).body(body);
                let request = request.bearer_auth(token.expose_secret());
                let outcome = self.service.send_once::<SubmitAnswer>(request).await;
                match outcome.inspect_err(|failed| self.heed(&failed.error)) {
                    Err(SendError { error, .. }) if is_unauthorized(&error) => Err(error),
                    outcome => Ok(outcome),
                }
            }
        });
        let answer = match sent.await {
            Ok(outcome) => outcome?,
            Err(error) => return Err(SendError { error, not_accepted: true }),
        };
        accepted(answer, tasks)
            .map_err(|reason| SendError { error: self.malformed(&reason), not_accepted: false })
    }

    /// Where these tasks stand, at most [`MOST_IDS`]; `permit` pays for it. Those that the answer leaves out are missing
    /// from the map.
    ///
    /// # Errors
    /// As the service, or the way there, has it.
    pub async fn batch_status(
        &self,
        permit: Permit,
        ids: &[Uuid],
    ) -> Result<HashMap<Uuid, Progress>, GlobusError> {
        let body = serde_json::json!({ "task_ids": ids });
        let request = || self.service.post("/v2/batch_status").json(&body);
        let answer: BatchAnswer = self.paid(permit, Purpose::Poll, request).await?;
        Ok(answer.results.into_iter().map(|(id, task)| (id, task.progress())).collect())
    }

    /// Where one task stands.
    ///
    /// # Errors
    /// As the service, or the way there, has it; 404 for a task that it does not know.
    pub async fn task(&self, id: Uuid) -> Result<Progress, GlobusError> {
        let path = format!("/v2/tasks/{id}");
        let task: TaskAnswer = self.ask(Purpose::Poll, || self.service.get(&path)).await?;
        Ok(task.progress())
    }

    /// How to reach the broker. Each call makes a new password; open connections stay.
    ///
    /// # Errors
    /// As the service, or the way there, has it.
    pub async fn result_queue(&self) -> Result<ResultQueue, GlobusError> {
        self.ask(Purpose::Urgent, || self.service.get("/v2/get_amqp_result_connection_url")).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, GlobusError> {
        let permit = self.budget.take(purpose).await;
        self.paid(permit, purpose, request).await
    }

    /// Sends a request that has a permit; an attempt with a new token needs its own.
    async fn paid<T: DeserializeOwned>(
        &self,
        permit: Permit,
        purpose: Purpose,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<T, GlobusError> {
        let fare = Fare::new(permit);
        self.tokens
            .with(|token| {
                let (request, fare) = (request(), &fare);
                async move {
                    fare.pay(&self.budget, purpose).await;
                    let request = request.bearer_auth(token.expose_secret()).timeout(SHORT);
                    self.service.send(request).await.inspect_err(|error| self.heed(error))
                }
            })
            .await
    }

    /// Keeps silent after a 429.
    fn heed(&self, error: &GlobusError) {
        if let GlobusError::Busy { retry_after, .. } = error {
            self.budget.be_silent(retry_after.unwrap_or(SILENCE));
        }
    }

    fn malformed(&self, reason: &str) -> GlobusError {
        GlobusError::Malformed { service: self.service.name(), reason: reason.to_owned() }
    }
}

/// Pays for the attempts of one request: the first with the permit that was given.
struct Fare {
    paid: AtomicBool,
    _permit: Permit,
}

impl Fare {
    const fn new(permit: Permit) -> Self {
        Self { paid: AtomicBool::new(true), _permit: permit }
    }

    async fn pay(&self, budget: &Budget, purpose: Purpose) {
        if !self.paid.swap(false, Ordering::Relaxed) {
            let _another = budget.take(purpose).await;
        }
    }
}

const JSON: &str = "application/json";

fn is_unauthorized(error: &GlobusError) -> bool {
    error.refused_with() == Some(http::StatusCode::UNAUTHORIZED)
}
