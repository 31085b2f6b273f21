//! What runs on a cluster: asked for once a minute however many callers ask, shown to each as far as
//! they may see it.

mod list;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use serde_json::Value;
use uuid::Uuid;

use self::list::Jobs;
use super::{Gateway, choose, refusal::Refusal, remote};
use crate::{
    backends::{
        globus_compute::{Compute, Task},
        metis::StatusSource,
    },
    cache::{Kept, Lives, Told},
    catalog::{Catalog, Served, Snapshot},
    domain::{Adapter, Caller, Cluster, EndpointSettings},
    globus::codec::task_payload,
};

/// How long a cluster's jobs are kept.
const KEPT: Duration = Duration::from_mins(1);

/// How long a failure to get them is.
const FAILURE_KEPT: Duration = Duration::from_secs(10);

/// What other instances share of it; they wait a while for the one that asks.
const LIVES: Lives = Lives { answer: KEPT, asking: Duration::from_secs(15) };

/// How long a qstat function may take, from its submission on.
const PATIENCE: Duration = Duration::from_mins(1);

/// Endpoints whose status is asked for at one time.
const STATUSES_AT_ONCE: usize = 8;

/// Clusters whose jobs are kept.
const MOST: u64 = 256;

/// The jobs of all clusters, as far as somebody has asked for them.
#[derive(Debug)]
pub struct JobLists {
    kept: Kept<Result<Arc<Jobs>, Refusal>>,
    client: reqwest::Client,
}

impl JobLists {
    /// None is asked for before it is needed; `client` is for clusters with a status address.
    #[must_use]
    pub fn new(client: reqwest::Client) -> Self {
        Self { kept: Kept::new(MOST), client }
    }
}

/// The function that lists a Globus cluster's jobs.
#[derive(Debug, Clone, Copy)]
struct Qstat {
    endpoint: Uuid,
    function: Uuid,
}

impl Qstat {
    /// The function in a cluster's settings; `None` when there is none.
    fn of(cluster: &Cluster) -> Option<Result<Self, Refusal>> {
        let setting = |key: &str| cluster.settings.get(key);
        let (endpoint, function) =
            (setting("qstat_endpoint_uuid")?, setting("qstat_function_uuid")?);
        let uuid = |value: &Value| value.as_str().and_then(|text| Uuid::parse_str(text).ok());
        let ids = uuid(endpoint).zip(uuid(function));
        Some(ids.map(|(endpoint, function)| Self { endpoint, function }).ok_or_else(|| {
            misconfigured(cluster, "qstat_endpoint_uuid or qstat_function_uuid is not a UUID")
        }))
    }
}

impl Gateway {
    /// The jobs of a cluster, as `caller` may see them, in FIRST's shape.
    ///
    /// # Errors
    /// 404 for a cluster that does not exist or does not tell, 403 when the caller may not use it,
    /// 502 to 504 when it cannot be asked.
    pub async fn jobs(&self, caller: &Caller, cluster: &str) -> Result<Value, Refusal> {
        let snapshot = self.catalog.snapshot();
        let cluster = snapshot.cluster(cluster).ok_or_else(|| choose::no_cluster(cluster))?;
        if !cluster.access.permits(caller) {
            let message = format!(
                "You are not allowed to use cluster '{}': it is open to certain groups or domains only.",
                cluster.name
            );
            return Err(Refusal::forbidden(message));
        }
        let jobs = if cluster.maintenance.is_some() {
            Arc::new(Jobs::all_stopped(endpoints(&snapshot, cluster, caller)))
        } else {
            match cluster.adapter {
                Adapter::GlobusCompute => self.qstat(cluster).await?,
                Adapter::Metis => self.manifest(cluster).await?,
                Adapter::DirectApi if cluster.settings.contains_key("status_url") => {
                    self.told(cluster).await?
                }
                Adapter::DirectApi | Adapter::Echo => {
                    Arc::new(Jobs::all_running(endpoints(&snapshot, cluster, caller)))
                }
            }
        };
        Ok(jobs.shown_to(caller, &snapshot))
    }

    /// What the cluster's qstat function tells.
    async fn qstat(&self, cluster: &Cluster) -> Result<Arc<Jobs>, Refusal> {
        let qstat = Qstat::of(cluster).ok_or_else(|| no_jobs(cluster))??;
        let compute = self.compute.clone().ok_or_else(remote::not_set_up)?;
        let (catalog, name) = (Arc::clone(&self.catalog), cluster.name.clone());
        let key = format!("{name} {} {}", qstat.endpoint, qstat.function);
        self.kept_jobs(&key, async move {
            let Told { value: mut jobs, at } = run_once(&compute, qstat, &name).await?;
            mark_disconnected(&mut jobs, &compute, &catalog).await;
            Ok(Told { value: jobs, at })
        })
        .await
    }

    /// What the cluster's own status address tells, in FIRST's shape.
    async fn told(&self, cluster: &Cluster) -> Result<Arc<Jobs>, Refusal> {
        let source = StatusSource::of(cluster).map_err(|reason| misconfigured(cluster, &reason))?;
        let key = format!("{} {source}", cluster.name);
        let (client, name) = (self.job_lists.client.clone(), cluster.name.clone());
        self.kept_jobs(&key, async move {
            let document = source.fetch(client).await.map_err(|error| unknown(&name, &error))?;
            Ok(Told::now(Jobs::read(document.into()).unwrap_or_default()))
        })
        .await
    }

    /// What the cluster's manifest tells.
    async fn manifest(&self, cluster: &Cluster) -> Result<Arc<Jobs>, Refusal> {
        let source = StatusSource::of(cluster).map_err(|reason| misconfigured(cluster, &reason))?;
        let manifest = self.manifests.get(&source).await;
        let manifest = manifest.map_err(|error| unknown(&cluster.name, &error))?;
        let framework = cluster.frameworks.first().map_or("api", String::as_str);
        Ok(Arc::new(Jobs::of_manifest(&manifest, &cluster.name, framework)))
    }

    async fn kept_jobs(
        &self,
        key: &str,
        ask: impl Future<Output = Result<Told<Jobs>, Refusal>> + Send + 'static,
    ) -> Result<Arc<Jobs>, Refusal> {
        let ask = async {
            match ask.await {
                Ok(told) => {
                    let left = KEPT.saturating_sub(told.age());
                    (Ok(Arc::new(told.value)), left)
                }
                Err(refusal) => (Err(refusal), FAILURE_KEPT),
            }
        };
        self.job_lists.kept.get(key, ask).await.unwrap_or_else(|| Err(remote::stopping()))
    }
}

/// What the qstat function answers to one of all instances.
async fn run_once(compute: &Compute, qstat: Qstat, cluster: &str) -> Result<Told<Jobs>, Refusal> {
    let ask = Box::pin(run(compute, qstat, cluster));
    match compute.answers() {
        None => Ok(Told::now(ask.await?)),
        Some(answers) => {
            let key = format!("jobs:{}:{}", qstat.endpoint, qstat.function);
            answers.find_or_ask(&key, LIVES, ask).await
        }
    }
}

/// Calls the qstat function and reads its answer.
async fn run(compute: &Compute, qstat: Qstat, cluster: &str) -> Result<Jobs, Refusal> {
    let Qstat { endpoint, function } = qstat;
    let what = format!("The list of jobs of cluster '{cluster}'");
    let payload = task_payload(None);
    let task = Task { endpoint, function, payload, user_endpoint_config: None };
    let deadline = Instant::now() + PATIENCE;
    let answer = async { compute.submit_to_idle(task).await?.result_by(deadline).await };
    let answer = tokio::time::timeout_at(deadline.into(), answer)
        .await
        .map_err(|_| Refusal::too_slow(format!("{what} did not come in time.")))?
        .map_err(|error| remote::refusal(&what, &error))?;
    serde_json::from_str(&answer.into_document())
        .ok()
        .and_then(Jobs::read)
        .ok_or_else(|| Refusal::bad_gateway(format!("{what} cannot be read.")))
}

/// A job may run while its endpoint has lost its nodes; requests would wait for ever then.
async fn mark_disconnected(jobs: &mut Jobs, compute: &Compute, catalog: &Catalog) {
    let snapshot = catalog.snapshot();
    let asked: Vec<(usize, Uuid)> = jobs
        .said_to_run()
        .filter_map(|(index, [cluster, framework, model])| {
            Some((index, compute_endpoint(snapshot.endpoint(cluster, framework, model)?)?))
        })
        .collect();
    let lost: Vec<usize> = stream::iter(asked)
        .map(|(index, endpoint)| async move {
            // A status that cannot be had says nothing about the nodes.
            let status = compute.status(endpoint).await.ok()?;
            (!status.online || status.managers == Some(0)).then_some(index)
        })
        .buffer_unordered(STATUSES_AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    for index in lost {
        jobs.disconnect(index);
    }
}

fn compute_endpoint(served: &Arc<Served>) -> Option<Uuid> {
    match &served.endpoint.settings {
        EndpointSettings::GlobusCompute(settings) => Uuid::parse_str(&settings.endpoint_uuid).ok(),
        _ => None,
    }
}

/// The cluster's endpoints that `caller` may use.
fn endpoints<'a>(
    snapshot: &'a Snapshot,
    cluster: &'a Cluster,
    caller: &'a Caller,
) -> impl Iterator<Item = &'a Served> {
    let own = |served: &&Arc<Served>| served.cluster.name == cluster.name;
    snapshot.endpoints_for(caller).filter(own).map(AsRef::as_ref)
}

fn no_jobs(cluster: &Cluster) -> Refusal {
    let message = format!(
        "Cluster '{}' does not tell its jobs: no qstat function is set up for it.",
        cluster.name
    );
    Refusal::not_found("jobs_not_offered", message)
}

fn misconfigured(cluster: &Cluster, reason: &str) -> Refusal {
    tracing::warn!(cluster = cluster.name, "the cluster's jobs cannot be asked for: {reason}");
    let message = format!(
        "The jobs of cluster '{}' cannot be listed: it is not set up for it.",
        cluster.name
    );
    Refusal::unavailable("cluster_misconfigured", message, KEPT)
}

fn unknown(cluster: &str, error: &impl std::fmt::Display) -> Refusal {
    let message = format!("The jobs of cluster '{cluster}' are not known: {error}.");
    Refusal::unavailable("jobs_unavailable", message, FAILURE_KEPT)
}
