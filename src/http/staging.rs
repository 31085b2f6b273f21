//! `PUT /resource_server/data/staging`: a directory for the caller's data.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::{App, admit, error, head, paths, with};
use crate::{
    domain::Caller,
    gateway::{Head, Refusal},
};

/// `PUT /resource_server/data/staging`
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    warp::path(paths::FIRST_PREFIX)
        .and(warp::path("data"))
        .and(warp::path("staging"))
        .and(warp::path::end())
        .and(with(Arc::clone(app)))
        .and(head())
        .and(warp::header::headers_cloned())
        .then(|app: Arc<App>, head: Arc<Head>, headers: HeaderMap| async move {
            if head.method != Method::PUT {
                return error::method_not_allowed("PUT", error::Shape::OpenAi);
            }
            let caller = match admit(&app, &head, &headers).await {
                Ok(caller) => caller,
                Err(refusal) => return error::response(&refusal, error::Shape::OpenAi),
            };
            match prepare(&app, &caller).await {
                Ok(prepared) => {
                    app.gateway.record_access(&head, &caller, StatusCode::OK, None, None);
                    error::json(StatusCode::OK, &prepared)
                }
                Err(refusal) => {
                    app.gateway.record_refusal(&head, &caller, None, &refusal);
                    error::response(&refusal, error::Shape::OpenAi)
                }
            }
        })
        .boxed()
}

async fn prepare(app: &App, caller: &Caller) -> Result<Value, Refusal> {
    let area = app.gateway.staging.as_ref().ok_or_else(|| {
        Refusal::not_found("no_staging_area", "This gateway has no staging area.")
    })?;
    let prepared = area.prepare(caller).await?;
    Ok(serde_json::json!(*prepared))
}
