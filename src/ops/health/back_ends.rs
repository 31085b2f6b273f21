//! Every cluster and every endpoint of the catalogue, a few at a time, each within its own limit.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::{Finding, Measure, State, Subject, Unit, subject::Catalogue};
use crate::{
    backends::{globus_compute::Compute, metis::StatusSource},
    catalog::Served,
    config::LONGEST_ROUND,
    domain::{Adapter, Cluster, EndpointSettings},
    ops::trial::Trial,
    outbound,
};

/// What became of one that was to be asked.
enum Reply {
    /// It answered, after so many seconds.
    Answered(f64),
    /// It did not, or not as it should.
    Failed(String),
    /// It was not asked, for a reason that is no fault.
    Skipped(&'static str),
    /// It could not be asked.
    Unknown(String),
}

/// Why one is left alone: it has been taken out of service.
const MAINTENANCE: &str = "in maintenance";

/// The same: to callers it is not there.
const DISABLED: &str = "disabled";

/// One that was to be asked, by its name.
type Told = (String, Reply);

impl Reply {
    fn is_skipped_for(&self, reason: &str) -> bool {
        matches!(self, Self::Skipped(why) if *why == reason)
    }
}

/// Whether each cluster says that it is up, where it has a way to say so.
pub(super) async fn clusters(subject: &Subject) -> Option<Finding> {
    let catalogue = match read(subject).await {
        Ok(catalogue) => catalogue,
        Err(finding) => return Some(finding),
    };
    let compute = subject.compute().await;
    let clusters =
        catalogue.snapshot.clusters().map(|cluster| (cluster.name.clone(), cluster.as_ref()));
    let ask = |cluster, patience| ask_cluster(cluster, &compute, patience);
    let told = round(subject, clusters, ask).await;
    let failed = told.iter().filter(|(_, result)| matches!(result, Reply::Failed(_))).count();
    let asked = told.iter().filter(|(_, result)| !matches!(result, Reply::Skipped(_))).count();
    let state = match failed {
        0 => State::Ok,
        failed if failed == asked => State::Critical,
        _ => State::Warning,
    };
    summary("clusters", state, &told)
}

async fn ask_cluster(
    cluster: &Cluster,
    compute: &Result<Option<Compute>, String>,
    patience: Duration,
) -> Reply {
    if cluster.maintenance.is_some() {
        return Reply::Skipped(MAINTENANCE);
    }
    let begun = Instant::now();
    let setting = |key: &str| cluster.settings.get(key).and_then(serde_json::Value::as_str);
    let asked = async {
        match cluster.adapter {
            Adapter::GlobusCompute => {
                let Some(endpoint) = setting("qstat_endpoint_uuid") else {
                    return Ok(Some("has no qstat function to ask"));
                };
                online(endpoint, compute).await.map(|_| None)
            }
            _ if setting("status_url").is_some() => {
                let client = outbound::client(patience).map_err(|error| error.to_string())?;
                let document = StatusSource::of(cluster)?.fetch(client).await;
                document.map(|_| None).map_err(|error| error.to_string())
            }
            _ => Ok(Some("has no status to ask for")),
        }
    };
    match tokio::time::timeout(patience, asked).await {
        Ok(Ok(None)) => Reply::Answered(begun.elapsed().as_secs_f64()),
        Ok(Ok(Some(reason))) => Reply::Skipped(reason),
        Ok(Err(reason)) => Reply::Failed(reason),
        Err(_) => Reply::Failed(too_slow(patience)),
    }
}

/// How many nodes a compute endpoint has; none when it does not say.
async fn online(
    endpoint: &str,
    compute: &Result<Option<Compute>, String>,
) -> Result<Option<u64>, String> {
    let compute = compute.as_ref().map_err(Clone::clone)?;
    let compute = compute.as_ref().ok_or("globus_compute.client_id is not set")?;
    let id = Uuid::parse_str(endpoint).map_err(|_| format!("{endpoint} is not a UUID"))?;
    let status = compute.status(id).await.map_err(|error| error.to_string())?;
    if status.online { Ok(status.managers) } else { Err("its compute endpoint is offline".into()) }
}

/// Whether each endpoint answers a real request.
pub(super) async fn endpoints(subject: &Subject) -> Option<Finding> {
    let catalogue = match read(subject).await {
        Ok(catalogue) => catalogue,
        Err(finding) => return Some(finding),
    };
    let compute = subject.compute().await;
    let all = catalogue.snapshot.endpoints();
    if all.is_empty() {
        let evidence = "the catalogue has no endpoint; add one with `figw endpoint add`";
        return Some(Finding::new(State::Warning, evidence));
    }
    let all = all.iter().map(|served| (served.endpoint.slug.clone(), served.as_ref()));
    let ask = |served, patience| ask_endpoint(served, &compute, patience);
    let told = round(subject, all, ask).await;
    let models = by_model(&catalogue, &told);
    let named = |is_so: fn(&[&Reply]) -> bool| {
        let names = models.iter().filter(|(_, replies)| is_so(replies)).map(|(model, _)| *model);
        names.collect::<Vec<_>>().join(", ")
    };
    let (lost, resting) = (named(is_lost), named(is_resting));
    let any_failed = told.iter().any(|(_, result)| matches!(result, Reply::Failed(_)));
    let state = match (lost.is_empty(), any_failed || !resting.is_empty()) {
        (false, _) => State::Critical,
        (true, true) => State::Warning,
        (true, false) => State::Ok,
    };
    let finding = summary("endpoints", state, &told)?;
    let mut evidence = Vec::new();
    if !lost.is_empty() {
        evidence.push(format!("no endpoint is left for {lost}"));
    }
    if !resting.is_empty() {
        evidence.push(format!("no endpoint is left, for maintenance, for {resting}"));
    }
    evidence.push(finding.evidence);
    Some(Finding { evidence: evidence.join("; "), ..finding })
}

async fn ask_endpoint(
    served: &Served,
    compute: &Result<Option<Compute>, String>,
    patience: Duration,
) -> Reply {
    if !served.endpoint.enabled {
        return Reply::Skipped(DISABLED);
    }
    if served.cluster.maintenance.is_some() {
        return Reply::Skipped(MAINTENANCE);
    }
    if let Some(reason) = &served.unusable {
        // The gateway may have what this command lacks, such as a variable of its environment.
        return Reply::Unknown(format!("cannot be tried from here: {reason}"));
    }
    let begun = Instant::now();
    let trial = Trial {
        endpoint: &served.endpoint,
        cluster: &served.cluster,
        api_key: served.api_key.as_ref(),
        route: None,
        patience: Some(patience),
    };
    let asked = async {
        if let EndpointSettings::GlobusCompute(settings) = &served.endpoint.settings
            && online(&settings.endpoint_uuid, compute).await? == Some(0)
        {
            // A look must not have nodes started, which somebody pays for.
            return Ok(Some("not tried: cold"));
        }
        let compute = compute.as_ref().ok().and_then(Option::as_ref);
        let report = trial.run(compute).await.map_err(|error| error.to_string())?;
        match (report.error, report.status) {
            (None, _) => Ok(None),
            (Some(error), Some(status)) => Err(format!("status {status}: {error}")),
            (Some(error), None) => Err(error),
        }
    };
    // The trial ends by itself just before, with words of its own.
    match tokio::time::timeout(patience + Duration::from_secs(1), asked).await {
        Ok(Ok(None)) => Reply::Answered(begun.elapsed().as_secs_f64()),
        Ok(Ok(Some(reason))) => Reply::Skipped(reason),
        Ok(Err(reason)) => Reply::Failed(reason),
        Err(_) => Reply::Failed(too_slow(patience)),
    }
}

fn too_slow(patience: Duration) -> String {
    format!("no answer within {}", humantime::format_duration(patience))
}

/// What has become of the endpoints of each name that people may ask for. What is disabled is not
/// there for them.
fn by_model<'t>(catalogue: &'t Catalogue, told: &'t [Told]) -> BTreeMap<&'t str, Vec<&'t Reply>> {
    let there = told.iter().filter(|(_, reply)| !reply.is_skipped_for(DISABLED));
    let there: BTreeMap<_, _> = there.map(|(slug, reply)| (slug.as_str(), reply)).collect();
    let mut by_model: BTreeMap<&str, Vec<&Reply>> = BTreeMap::new();
    for served in catalogue.snapshot.endpoints() {
        let endpoint = &served.endpoint;
        let reply = there.get(endpoint.slug.as_str());
        by_model.entry(&endpoint.model).or_default().extend(reply);
    }
    for federation in &catalogue.data.federations {
        let targets = federation.targets.iter();
        let targets = targets.filter_map(|target| there.get(target.endpoint.as_str()));
        by_model.entry(&federation.model).or_default().extend(targets);
    }
    by_model
}

/// Whether none answers of those that are in service. One that was left alone may still answer.
fn is_lost(replies: &[&Reply]) -> bool {
    let mut in_service = replies.iter().filter(|reply| !reply.is_skipped_for(MAINTENANCE));
    in_service.clone().next().is_some() && in_service.all(|reply| matches!(reply, Reply::Failed(_)))
}

/// Whether all have been taken out of service.
fn is_resting(replies: &[&Reply]) -> bool {
    !replies.is_empty() && replies.iter().all(|reply| reply.is_skipped_for(MAINTENANCE))
}

async fn read(subject: &Subject) -> Result<Arc<Catalogue>, Finding> {
    subject.catalogue().await.map_err(|reason| {
        let evidence = format!("the catalogue cannot be read, so nothing was asked: {reason}");
        Finding::new(State::Unknown, evidence)
    })
}

/// Asks all of them, a few at a time. Whoever is not reached in the time for all stays unknown.
async fn round<T, F: Future<Output = Reply>>(
    subject: &Subject,
    all: impl Iterator<Item = (String, T)>,
    ask: impl Fn(T, Duration) -> F,
) -> Vec<Told> {
    let settings = &subject.config.health;
    let end = tokio::time::Instant::now() + LONGEST_ROUND;
    let asked = all.map(|(name, one)| {
        let asked = tokio::time::timeout_at(end, ask(one, settings.endpoint_timeout));
        async move {
            let reply = asked.await.unwrap_or_else(|_| {
                let limit = humantime::format_duration(LONGEST_ROUND);
                Reply::Unknown(format!("not reached in {limit}; see health.endpoints_at_once"))
            });
            (name, reply)
        }
    });
    let at_once = settings.endpoints_at_once as usize;
    let mut told: Vec<_> = stream::iter(asked).buffer_unordered(at_once).collect().await;
    told.sort_by(|(a, _), (b, _)| a.cmp(b));
    told
}

/// One line about all of them; nothing where there is none.
fn summary(what: &'static str, state: State, told: &[Told]) -> Option<Finding> {
    if told.is_empty() {
        return None;
    }
    let (mut answered, mut slowest, mut rest) = (0_u32, None::<f64>, Vec::new());
    let mut is_unknown = false;
    for (name, result) in told {
        match result {
            Reply::Answered(took) => {
                answered += 1;
                slowest = Some(slowest.map_or(*took, |slowest| slowest.max(*took)));
            }
            Reply::Failed(reason) => rest.push(format!("{name}: {reason}")),
            Reply::Skipped(reason) => rest.push(format!("{name} {reason}")),
            Reply::Unknown(reason) => {
                is_unknown = true;
                rest.push(format!("{name}: {reason}"));
            }
        }
    }
    let state = if is_unknown { state.max(State::Unknown) } else { state };
    let rest = rest.join("; ");
    let evidence = if told.iter().all(|(_, reply)| matches!(reply, Reply::Skipped(_))) {
        format!("nothing was asked: {rest}")
    } else if rest.is_empty() {
        format!("{answered} of {} answered", told.len())
    } else {
        format!("{answered} of {} answered; {rest}", told.len())
    };
    let number =
        |name: &str, value: f64| Measure::new(format!("{what}_{name}"), value, Unit::Count);
    let failed = told.iter().filter(|(_, result)| matches!(result, Reply::Failed(_))).count();
    #[allow(clippy::cast_precision_loss, reason = "numbers to be drawn")]
    let counts = [number("ok", f64::from(answered)), number("failed", failed as f64)];
    let slowest = slowest.map(|took| Measure::seconds(format!("{what}_slowest"), took));
    Some(Finding::new(state, evidence).measuring(counts.into_iter().chain(slowest)))
}
