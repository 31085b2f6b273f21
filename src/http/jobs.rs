//! What runs on a cluster.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde_json::Value;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{App, admit, error, head, paths, read, with};
use crate::gateway::{Head, Refusal};

/// `GET /resource_server/{cluster}/jobs`
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    warp::path(paths::FIRST_PREFIX)
        .and(warp::path::param())
        .and(warp::path("jobs"))
        .and(warp::path::end())
        .and(read())
        .and(with(Arc::clone(app)))
        .and(head())
        .and(warp::header::headers_cloned())
        .then(|cluster: String, app: Arc<App>, head: Arc<Head>, headers: HeaderMap| async move {
            match list(&app, &head, &headers, &cluster).await {
                Ok(jobs) => error::json(StatusCode::OK, &jobs),
                Err(refusal) => error::response(&refusal, error::Shape::OpenAi),
            }
        })
        .boxed()
}

async fn list(
    app: &App,
    head: &Head,
    headers: &HeaderMap,
    encoded: &str,
) -> Result<Value, Refusal> {
    let gateway = &app.gateway;
    let caller = admit(app, head, headers).await?;
    let cluster = paths::decoded(encoded).unwrap_or_default();
    let jobs = gateway.jobs(&caller, &cluster).await;
    match &jobs {
        Ok(_) => gateway.record_access(head, &caller, StatusCode::OK, None, None),
        Err(refusal) => gateway.record_refusal(head, &caller, None, refusal),
    }
    jobs
}
