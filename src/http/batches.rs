//! Batches: submit, list, status, result; in FIRST's shapes.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use url::form_urlencoded;
use warp::{
    Filter,
    filters::{BoxedFilter, path::FullPath},
    reply::Response,
};

use super::{
    App, admit, body, error,
    error::Shape,
    head,
    paths::{self, BatchPath},
    with,
};
use crate::{
    domain::{Batch, BatchStatus, Caller},
    gateway::{Head, Refusal, batches::BatchRequest},
};

/// The longest body taken, in bytes: three texts of 1,024 bytes each, however they are escaped.
const LONGEST_BODY: usize = 32 * 1024;

/// `POST …/{cluster}/{framework}/v1/batches`, and `GET …/v1/batches[/{id}[/result]]`.
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let path = warp::path::full().and_then(|path: FullPath| {
        std::future::ready(paths::batches(path.as_str()).ok_or_else(warp::reject::not_found))
    });
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    path.and(with(Arc::clone(app)))
        .and(head())
        .and(warp::header::headers_cloned())
        .and(query)
        .and(warp::body::stream())
        .then(
            |path: BatchPath,
             app: Arc<App>,
             head: Arc<Head>,
             headers: HeaderMap,
             query: String,
             body| {
                // Boxed here, so that warp's wrappers pass a pointer around and not kilobytes.
                Box::pin(async move {
                    let submits = matches!(path, BatchPath::Submit { .. });
                    match head.method {
                        Method::POST if submits => {}
                        Method::GET | Method::HEAD if !submits => {}
                        _ if submits => return error::method_not_allowed("POST", Shape::OpenAi),
                        _ => return error::method_not_allowed("GET, HEAD", Shape::OpenAi),
                    }
                    let caller = match admit(&app, &head, &headers).await {
                        Ok(caller) => caller,
                        Err(refusal) => return error::response(&refusal, Shape::OpenAi),
                    };
                    let mut model = None;
                    let answer = match path {
                        BatchPath::Submit { cluster, framework } => {
                            let place = (cluster.as_str(), framework.as_str());
                            submit(&app, &caller, place, &headers, body, &mut model).await
                        }
                        BatchPath::List => list(&app, &caller, &query).await,
                        BatchPath::Status(id) => status(&app, &caller, &id).await,
                        BatchPath::Result(id) => result(&app, &caller, &id).await,
                    };
                    let problem = answer.as_ref().err();
                    let status = problem.map_or(StatusCode::OK, |refusal| refusal.status);
                    let message = problem.map(|refusal| refusal.message.as_str());
                    app.gateway.record_access(&head, &caller, status, model.as_deref(), message);
                    answer.unwrap_or_else(|refusal| error::response(&refusal, Shape::OpenAi))
                })
            },
        )
        .boxed()
}

async fn submit<B: Buf>(
    app: &App,
    caller: &Caller,
    (cluster, framework): (&str, &str),
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
    model: &mut Option<String>,
) -> Result<Response, Refusal> {
    let (limit, pause) = {
        let settings = app.gateway.settings.load();
        (settings.max_body_bytes.min(LONGEST_BODY), settings.body_timeout)
    };
    let body = body::collect(body, headers, limit, pause).await?;
    let request = BatchRequest::parse(&body)?;
    *model = Some(request.model.clone());
    let batch = app.gateway.submit_batch(caller, cluster, framework, request).await?;
    Ok(error::json(
        StatusCode::OK,
        &json!({
            "batch_id": batch.id,
            "input_file": batch.job.input_file,
            "output_folder_path": batch.job.output_folder,
            "task_ids": batch.task,
            "status": batch.status.as_str(),
        }),
    ))
}

async fn list(app: &App, caller: &Caller, query: &str) -> Result<Response, Refusal> {
    let batches = app.gateway.list_batches(caller, wanted_status(query)?).await?;
    let shown: Vec<Value> = batches.iter().map(described).collect();
    Ok(error::json(StatusCode::OK, &Value::Array(shown)))
}

/// The status that the query asks for; FIRST's clients may send it empty.
fn wanted_status(query: &str) -> Result<Option<BatchStatus>, Refusal> {
    let wanted = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, value)| name == "status" && !value.is_empty())
        .last();
    let Some((_, word)) = wanted else { return Ok(None) };
    let status = word.parse().map_err(|reason: String| {
        let message = format!("'status' is not one of a batch's: {reason}.");
        Refusal::new(StatusCode::BAD_REQUEST, "invalid_status", message).param("status")
    })?;
    Ok(Some(status))
}

/// FIRST's fields, and those that it keeps to itself.
fn described(batch: &Batch) -> Value {
    let ended_as = |status| batch.finished_at.filter(|_| batch.status == status);
    json!({
        "id": batch.id,
        "batch_id": batch.id,
        "cluster": batch.job.cluster,
        "framework": batch.job.framework,
        "model": batch.job.model,
        "input_file": batch.job.input_file,
        "output_folder_path": batch.job.output_folder,
        "created_at": batch.created_at,
        "in_progress_at": batch.submitted_at,
        "completed_at": ended_as(BatchStatus::Completed),
        "failed_at": ended_as(BatchStatus::Failed),
        "status": batch.status.as_str(),
        "error": batch.error,
    })
}

/// As in FIRST, the word alone, as a JSON string.
async fn status(app: &App, caller: &Caller, id: &str) -> Result<Response, Refusal> {
    let batch = app.gateway.batch(caller, id).await?;
    Ok(error::json(StatusCode::OK, &batch.status.as_str().into()))
}

async fn result(app: &App, caller: &Caller, id: &str) -> Result<Response, Refusal> {
    let document = app.gateway.batch_result(caller, id).await?;
    let mut response = Response::new(document.into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_can_be_asked_for() {
        assert_eq!(wanted_status(""), Ok(None));
        assert_eq!(wanted_status("status="), Ok(None));
        assert_eq!(wanted_status("limit=3&status=failed"), Ok(Some(BatchStatus::Failed)));
        let refusal = wanted_status("status=done").unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("status"));
        assert!(refusal.message.contains("pending, running, completed or failed"));
    }
}
