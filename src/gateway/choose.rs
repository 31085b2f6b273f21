//! Which endpoints can answer a request, if the caller may use any.

use std::{sync::Arc, time::Duration};

use super::{Place, refusal::Refusal};
use crate::{
    catalog::{FederatedTarget, Served, Snapshot},
    domain::{Adapter, Caller, Cluster, Policy, Route},
};

/// What callers are told to wait while a cluster is in maintenance.
const MAINTENANCE_RETRY: Duration = Duration::from_mins(5);

/// The endpoints that a request can be sent to.
#[derive(Debug)]
pub struct Field {
    /// At least one.
    pub targets: Vec<FederatedTarget>,
    /// The model whose waiting room the request may use; none where its endpoint is named.
    pub room: Option<Arc<str>>,
}

/// Finds the endpoints for `model` at `place`. `compute` says whether Globus Compute is set up.
///
/// # Errors
/// 404 for what does not exist, 403 for what the caller may not use, 503 under maintenance.
pub fn choose(
    snapshot: &Snapshot,
    caller: &Caller,
    place: &Place,
    route: Route,
    model: &str,
    compute: bool,
) -> Result<Field, Refusal> {
    let available = |served: &Served| available(served, route, compute);
    match place {
        Place::On { cluster, framework } => {
            let served = on(snapshot, caller, (cluster, framework), model, available)?;
            let targets = vec![FederatedTarget { served, priority: 0, weight: 1 }];
            Ok(Field { targets, room: None })
        }
        Place::Anywhere => anywhere(snapshot, caller, model, available),
    }
}

/// Finds the endpoint for a batch or a task of `model`. Whether it takes those is for the caller of
/// this to see.
///
/// # Errors
/// As [`choose`].
pub fn deferred(
    snapshot: &Snapshot,
    caller: &Caller,
    cluster: &str,
    framework: &str,
    model: &str,
) -> Result<Arc<Served>, Refusal> {
    on(snapshot, caller, (cluster, framework), model, |served| in_service(&served.cluster))
}

fn on(
    snapshot: &Snapshot,
    caller: &Caller,
    (cluster, framework): (&str, &str),
    model: &str,
    available: impl Fn(&Served) -> Result<(), Refusal>,
) -> Result<Arc<Served>, Refusal> {
    let known = snapshot.cluster(cluster).ok_or_else(|| no_cluster(cluster))?;
    if !known.frameworks.iter().any(|f| f == framework) {
        let message = format!("Cluster '{cluster}' has no framework '{}'.", shortened(framework));
        return Err(Refusal::not_found("framework_not_found", message));
    }
    let served = snapshot
        .endpoint(cluster, framework, model)
        .filter(|served| served.endpoint.enabled)
        .ok_or_else(|| no_model(model, &format!(" on {cluster}/{framework}")))?;
    if !caller.may_ask_for(model) {
        return Err(model_not_in_key(model));
    }
    if !served.permits(caller) {
        return Err(not_permitted(model));
    }
    available(served)?;
    Ok(Arc::clone(served))
}

fn anywhere(
    snapshot: &Snapshot,
    caller: &Caller,
    model: &str,
    available: impl Fn(&Served) -> Result<(), Refusal>,
) -> Result<Field, Refusal> {
    let federated = snapshot.federated(model).ok_or_else(|| no_model(model, ""))?;
    if !caller.may_ask_for(model) {
        return Err(model_not_in_key(model));
    }
    let mut refusal = None;
    let mut targets = Vec::with_capacity(federated.targets.len());
    for target in federated.permitted(caller) {
        match available(&target.served) {
            Ok(()) => targets.push(target.clone()),
            Err(why) => refusal = Some(why),
        }
    }
    if targets.is_empty() {
        return Err(refusal.unwrap_or_else(|| not_permitted(model)));
    }
    // `least-busy` is the only policy there is.
    let Policy::LeastBusy = federated.policy;
    Ok(Field { targets, room: Some(Arc::clone(&federated.model)) })
}

/// Whether the endpoint can be sent to at all, and its cluster is in service and offers the route.
fn available(served: &Served, route: Route, compute: bool) -> Result<(), Refusal> {
    let cluster = &served.cluster;
    in_service(cluster)?;
    if !cluster.routes.contains(&route) {
        let offered: Vec<_> = cluster.routes.iter().map(|route| route.as_str()).collect();
        let message = format!(
            "Cluster '{}' does not offer '{route}'; it offers {}.",
            cluster.name,
            if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") }
        );
        return Err(Refusal::not_found("route_not_offered", message));
    }
    let adapter = served.endpoint.settings.adapter();
    match &served.unusable {
        Some(reason) => Err(misconfigured(served, reason)),
        None if adapter == Adapter::GlobusCompute && !compute => {
            Err(misconfigured(served, "globus_compute.client_id is not set"))
        }
        None => Ok(()),
    }
}

fn in_service(cluster: &Cluster) -> Result<(), Refusal> {
    let Some(maintenance) = &cluster.maintenance else { return Ok(()) };
    let message =
        format!("Cluster '{}' is under maintenance: {}", cluster.name, maintenance.notice);
    Err(Refusal::unavailable("maintenance", message, MAINTENANCE_RETRY))
}

/// The refusal of an endpoint that cannot be sent to for `reason`, which is the operator's business.
pub(super) fn misconfigured(served: &Served, reason: &str) -> Refusal {
    let slug = &served.endpoint.slug;
    tracing::debug!(endpoint = slug, reason, "an unusable endpoint was asked for");
    let message =
        format!("Endpoint {slug} cannot be used at present; its operator has been told why.");
    Refusal::unavailable("endpoint_misconfigured", message, Duration::from_mins(1))
}

/// 404 for a cluster that does not exist.
pub(super) fn no_cluster(name: &str) -> Refusal {
    let message = format!("There is no cluster '{}'.", shortened(name));
    Refusal::not_found("cluster_not_found", message)
}

fn no_model(model: &str, place: &str) -> Refusal {
    let message = format!(
        "The model '{}' does not exist{place}; GET /v1/models lists those you may use.",
        shortened(model)
    );
    Refusal::not_found("model_not_found", message).param("model")
}

fn not_permitted(model: &str) -> Refusal {
    Refusal::forbidden(format!(
        "You are not allowed to use the model '{model}': it is open to certain groups or domains only."
    ))
    .param("model")
}

fn model_not_in_key(model: &str) -> Refusal {
    Refusal::forbidden(format!("Your API key is not allowed to use the model '{model}'."))
        .param("model")
}

/// A name from outside, fit to be shown.
fn shortened(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(128).collect()
}
