//! The routes of monitors and load balancers.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{
    super::{App, error, paths, read, with},
    Readiness, UNNOTED_AGENT,
};
use crate::catalog::Catalog;

/// `GET /health`, `/ready`, `/resource_server/health`, `/resource_server/status`.
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let first = || warp::path(paths::FIRST_PREFIX);
    let here = || warp::path::end().and(read());
    let health = warp::path("health")
        .and(here())
        .or(first().and(warp::path("health")).and(here()))
        .unify()
        .map(|| never_cached(error::json(StatusCode::OK, &json!({ "status": "ok" }))));
    let ready = warp::path("ready")
        .and(here())
        .and(with(Arc::clone(app)))
        .and(warp::header::headers_cloned())
        .map(|app: Arc<App>, headers: HeaderMap| ready(&app.readiness, &headers));
    let status = first().and(warp::path("status")).and(here()).and(with(Arc::clone(app))).map(
        |app: Arc<App>| never_cached(error::json(StatusCode::OK, &clusters(&app.gateway.catalog))),
    );
    health.or(ready).unify().or(status).unify().boxed()
}

/// Whether requests are to be sent here; it is noted that somebody has asked.
pub(in crate::http) fn ready(readiness: &Readiness, headers: &HeaderMap) -> Response {
    if headers.get(header::USER_AGENT) != Some(&UNNOTED_AGENT) {
        readiness.ready_asked.now();
    }
    let (status, body) = readiness.report();
    never_cached(error::json(status, &body))
}

/// Every cluster that is open to all, and whether it is up.
fn clusters(catalog: &Catalog) -> Value {
    let snapshot = catalog.load();
    let clusters: serde_json::Map<_, _> = snapshot
        .clusters()
        .filter(|cluster| cluster.access.is_open())
        .map(|cluster| {
            let usable = snapshot.endpoints().iter().any(|served| {
                served.cluster.name == cluster.name
                    && served.endpoint.enabled
                    && served.unusable.is_none()
            });
            let state = match &cluster.maintenance {
                Some(maintenance) => json!({
                    "status": "maintenance",
                    "notice": maintenance.notice,
                    "since": maintenance.since,
                }),
                None => json!({ "status": if usable { "up" } else { "down" } }),
            };
            (cluster.name.clone(), state)
        })
        .collect();
    json!({ "clusters": clusters })
}

fn never_cached(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
