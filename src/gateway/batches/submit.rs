//! Submitting a batch: its row first, then the task, then the task's id into the row.

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;

use super::{BatchRequest, BatchService};
use crate::{
    backends::globus_compute::{ComputeError, Task},
    catalog::Served,
    domain::{Batch, BatchJob, BatchMetrics, BatchOutcome, BatchStatus, Caller, EndpointSettings},
    gateway::{Gateway, InFlight, Refusal, choose, remote},
    globus::codec::task_payload,
    store::{Admission, Reader, Store, StoreError},
};

/// How long the service may take to accept a task.
const SUBMIT_TIMEOUT: Duration = Duration::from_mins(2);

/// How long a batch may be without a task. The rest is for a database that is away meanwhile.
const SUBMIT_BY: SignedDuration = SignedDuration::from_mins(5);

/// What callers are told to wait when the database or the service is away.
const AWAY_RETRY: Duration = Duration::from_secs(10);

/// What callers are told to wait when they have as many batches as they may.
const QUOTA_RETRY: Duration = Duration::from_mins(1);

impl Gateway {
    /// Submits a batch for the caller. Once begun, it is brought to its end even if the caller hangs
    /// up.
    ///
    /// # Errors
    /// As [`Gateway::infer`]'s for the choice of the endpoint; 400 when the endpoint takes no
    /// batches, or an open one of the caller's works on the same file; 429 over the quota; 5xx when
    /// the database or the service fails.
    pub async fn submit_batch(
        &self,
        caller: &Caller,
        cluster: &str,
        framework: &str,
        request: BatchRequest,
    ) -> Result<Batch, Refusal> {
        let served = {
            let snapshot = self.catalog.load();
            choose::deferred(&snapshot, caller, cluster, framework, &request.model)?
        };
        let target = BatchTarget::of(&served)?;
        let service = self.compute.clone().ok_or_else(|| {
            choose::misconfigured(&served, "Globus Compute is not set up: globus_compute.client_id")
        })?;
        let batch = new_batch(caller, &served, target.endpoint, request);
        let submission = Submission {
            store: Arc::clone(&self.batches.store),
            lists: self.batches.lists.clone(),
            service: Arc::new(service),
            quota: self.settings.load().max_active_batches,
            target,
            batch,
            _in_flight: self.in_flight.enter(),
        };
        // A caller who hangs up drops this future, but not the task.
        tokio::spawn(submission.run()).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a batch's submission broke off");
            let message = "The submission broke off; look into your list of batches.";
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message))
        })
    }
}

fn new_batch(
    caller: &Caller,
    served: &Served,
    compute_endpoint: Uuid,
    request: BatchRequest,
) -> Batch {
    // As precise as databases are, so that what is answered is what is kept.
    let now = Timestamp::now();
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let endpoint = &served.endpoint;
    Batch {
        id: Uuid::now_v7(),
        user: caller.user.to_string(),
        key_id: caller.key_id,
        job: BatchJob {
            cluster: endpoint.cluster.clone(),
            framework: endpoint.framework.clone(),
            endpoint: endpoint.slug.clone(),
            model: request.model,
            compute_endpoint,
            input_file: request.input_file,
            output_folder: request.output_folder_path,
        },
        task: None,
        status: BatchStatus::Pending,
        created_at: now,
        submit_by: now.saturating_add(SUBMIT_BY).unwrap_or(now),
        submitted_at: None,
        finished_at: None,
        error: None,
        metrics: BatchMetrics::default(),
    }
}

/// What runs an endpoint's batches.
struct BatchTarget {
    endpoint: Uuid,
    function: Uuid,
    /// Where the model's server listens, if one runs on the node.
    api_port: u16,
}

impl BatchTarget {
    fn of(served: &Served) -> Result<Self, Refusal> {
        let slug = &served.endpoint.slug;
        let EndpointSettings::GlobusCompute(settings) = &served.endpoint.settings else {
            return Err(no_batches(slug));
        };
        let ids = settings.batch_endpoint_uuid.as_ref().zip(settings.batch_function_uuid.as_ref());
        let (endpoint, function) = ids.ok_or_else(|| no_batches(slug))?;
        let read = |setting, text: &str| {
            Uuid::try_parse(text).map_err(|_| {
                tracing::warn!(endpoint = slug, "its {setting} is not a UUID");
                choose::misconfigured(served, setting)
            })
        };
        Ok(Self {
            endpoint: read("batch_endpoint_uuid", endpoint)?,
            function: read("batch_function_uuid", function)?,
            api_port: settings.api_port,
        })
    }
}

fn no_batches(slug: &str) -> Refusal {
    let message = format!("Endpoint {slug} takes no batches.");
    Refusal::new(StatusCode::BAD_REQUEST, "batch_unavailable", message)
}

/// One batch on its way to the service.
struct Submission {
    store: Arc<dyn Store>,
    lists: Reader,
    service: Arc<dyn BatchService>,
    quota: u32,
    target: BatchTarget,
    batch: Batch,
    /// A process that stops waits for it.
    _in_flight: InFlight,
}

impl Submission {
    async fn run(self) -> Result<Batch, Refusal> {
        let admission = self.store.create_batch(&self.batch, self.quota).await;
        self.lists.wrote(&self.batch.user);
        match admission.map_err(|error| store_failed(&error))? {
            Admission::Admitted => {}
            Admission::OverQuota => return Err(over_quota(self.quota)),
            Admission::SameInput(other) => return Err(same_input(&self.batch, other)),
        }
        let task = Task {
            endpoint: self.target.endpoint,
            function: self.target.function,
            payload: task_payload(Some(&argument(&self.batch, self.target.api_port))),
            user_endpoint_config: None,
        };
        let submitted = tokio::time::timeout(SUBMIT_TIMEOUT, self.service.submit(task)).await;
        let submitted = submitted.unwrap_or_else(|_| {
            let reason = "it did not accept the batch in time".to_owned();
            Err(ComputeError::Unavailable { reason, retry_after: None })
        });
        match submitted {
            Ok(task) => self.accepted(task).await,
            Err(error) => Err(self.refused(&error).await),
        }
    }

    /// Notes the task's id, for as long as it takes and the batch may wait.
    async fn accepted(mut self, task: Uuid) -> Result<Batch, Refusal> {
        let (id, at) = (self.batch.id, Timestamp::now());
        let patience = self.batch.submit_by.duration_since(at);
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_max_delay(AWAY_RETRY)
            .with_total_delay(Some(Duration::try_from(patience).unwrap_or_default()))
            .without_max_times();
        let noted = (|| self.store.batch_submitted(id, task, at))
            .retry(pauses)
            .when(|error| matches!(error, StoreError::Unavailable { .. }))
            .await;
        let problem = match noted {
            Ok(true) => {
                self.lists.wrote(&self.batch.user);
                (self.batch.task, self.batch.submitted_at) = (Some(task), Some(at));
                return Ok(self.batch);
            }
            Ok(false) => "it has been given up".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!(batch = %id, %task, problem, "a submitted batch could not be noted down");
        let message = format!(
            "Batch {id} was submitted, but could not be noted down. It will be listed as failed, and \
             may run nevertheless: look into its output folder before submitting it again."
        );
        Err(Refusal::unavailable("batch_not_noted", message, AWAY_RETRY))
    }

    /// Ends the batch, so that it does not count any more.
    async fn refused(&self, error: &ComputeError) -> Refusal {
        let (id, slug) = (self.batch.id, &self.batch.job.endpoint);
        tracing::warn!(batch = %id, endpoint = slug, %error, "a batch was not accepted");
        let reason = match error {
            ComputeError::Unavailable { reason, .. } => format!(
                "whether it was submitted is not known ({reason}): look into its output folder \
                 before submitting it again"
            ),
            other => format!("it was not submitted: {other}"),
        };
        let outcome = BatchOutcome::Failed(reason);
        let ended = self.store.finish_batch(id, &outcome, Timestamp::now()).await;
        self.lists.wrote(&self.batch.user);
        if let Err(error) = ended {
            tracing::warn!(batch = %id, %error, "the batch will be given up later");
        }
        compute_failed(slug, error)
    }
}

/// What the function is called with, as FIRST has it, and the port of the model's server, which
/// FIRST's function does not look at.
fn argument(batch: &Batch, api_port: u16) -> String {
    let job = &batch.job;
    let mut params =
        json!({ "input_file": job.input_file, "model": job.model, "api_port": api_port });
    if let Some(folder) = &job.output_folder {
        params["output_folder_path"] = json!(folder);
    }
    json!({ "model_params": params, "batch_id": batch.id, "username": batch.user }).to_string()
}

fn over_quota(quota: u32) -> Refusal {
    let message = format!(
        "You have {quota} active batches, which is as many as are allowed; wait until one has ended."
    );
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", message).retry_after(QUOTA_RETRY)
}

fn same_input(batch: &Batch, other: Uuid) -> Refusal {
    let file = &batch.job.input_file;
    let message = format!("Input file {file} already used by ongoing batch {other}.");
    Refusal::new(StatusCode::BAD_REQUEST, "batch_ongoing", message).param("input_file")
}

fn compute_failed(slug: &str, error: &ComputeError) -> Refusal {
    let refusal = remote::told(&format!("Endpoint {slug}"), error);
    match error {
        ComputeError::Unavailable { .. } => Refusal {
            message: format!(
                "{} If the batch runs nevertheless, its answers will be in its output folder.",
                refusal.message
            ),
            ..refusal
        },
        _ => refusal,
    }
}

/// What a caller is told when the store fails.
pub(super) fn store_failed(error: &StoreError) -> Refusal {
    tracing::warn!(%error, "batches cannot be looked up or kept");
    let message = "Batches cannot be looked up at present; try again shortly.";
    Refusal::unavailable("database_unavailable", message, AWAY_RETRY)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_argument_is_first_s_with_the_port() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/globus/fixtures/args.json");
        let samples: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let is_ours = |case: &&Value| case["name"] == "batch" && case["strategy"] == "JSONData";
        let sample = samples["cases"].as_array().unwrap().iter().find(is_ours).unwrap();
        let mut expected = sample["expected"]["args"][0].clone();
        let now = Timestamp::now();
        let batch = Batch {
            id: expected["batch_id"].as_str().unwrap().parse().unwrap(),
            user: "alice@anl.gov".to_owned(),
            key_id: None,
            job: BatchJob {
                cluster: "sophia".to_owned(),
                framework: "vllm".to_owned(),
                endpoint: "sophia-vllm-m".to_owned(),
                model: "m".to_owned(),
                compute_endpoint: Uuid::nil(),
                input_file: "/data/in.jsonl".to_owned(),
                output_folder: Some("/data/out".to_owned()),
            },
            task: None,
            status: BatchStatus::Pending,
            created_at: now,
            submit_by: now,
            submitted_at: None,
            finished_at: None,
            error: None,
            metrics: BatchMetrics::default(),
        };
        expected["model_params"]["api_port"] = 8000.into();
        assert_eq!(serde_json::from_str::<Value>(&argument(&batch, 8000)).unwrap(), expected);
    }
}
