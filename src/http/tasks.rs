//! Tasks that are submitted now and asked for later; FIRST's SAM3 service is one of them.

use std::sync::Arc;

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::json;
use warp::{
    Filter,
    filters::{BoxedFilter, path::FullPath},
    reply::Response,
};

use super::{App, admit, body, error, head, paths, with};
use crate::{
    domain::Caller,
    gateway::{
        Head, Refusal,
        tasks::{Known, POLL_AGAIN},
    },
};

/// FIRST's name for submitting a task to its SAM3 service.
const SAM3_PROCESS: &str = "sophia/sam3service/process";

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path {
    cluster: String,
    framework: String,
    /// The task that is asked for; `None` where one is to be submitted.
    id: Option<String>,
}

impl Path {
    /// Reads `/resource_server/{cluster}/{framework}/tasks[/{id}]` and FIRST's own name for it.
    fn read(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?.strip_prefix(paths::FIRST_PREFIX)?.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let path = if path == SAM3_PROCESS { "sophia/sam3service/tasks" } else { path };
        let mut segments = path.split('/').map(paths::decoded);
        let (cluster, framework) = (segments.next()??, segments.next()??);
        if segments.next()?? != "tasks" {
            return None;
        }
        let id = match segments.next() {
            Some(id) => Some(id?),
            None => None,
        };
        segments.next().is_none().then_some(Self { cluster, framework, id })
    }
}

/// `POST /resource_server/{cluster}/{framework}/tasks`, `GET …/tasks/{id}`, and
/// `POST /resource_server/sophia/sam3service/process`.
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let path = warp::path::full().and_then(|path: FullPath| {
        std::future::ready(Path::read(path.as_str()).ok_or_else(warp::reject::not_found))
    });
    path.and(with(Arc::clone(app)))
        .and(head())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|path: Path, app: Arc<App>, head: Arc<Head>, headers: HeaderMap, body| {
            Box::pin(async move {
                let answer = match (&path.id, &head.method) {
                    (None, &Method::POST) => submit(&app, &head, &headers, &path, body).await,
                    (Some(id), &Method::GET | &Method::HEAD) => {
                        ask(&app, &head, &headers, &path, id).await
                    }
                    (None, _) => return error::method_not_allowed("POST", error::Shape::OpenAi),
                    (Some(_), _) => {
                        return error::method_not_allowed("GET, HEAD", error::Shape::OpenAi);
                    }
                };
                answer.unwrap_or_else(|refusal| error::response(&refusal, error::Shape::OpenAi))
            })
        })
        .boxed()
}

async fn submit<B: Buf>(
    app: &App,
    head: &Head,
    headers: &HeaderMap,
    path: &Path,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Response, Refusal> {
    let gateway = &app.gateway;
    let caller = admit(app, head, headers).await?;
    let (limit, pause) = {
        let settings = gateway.settings.load();
        (settings.max_body_bytes, settings.body_timeout)
    };
    let submitted = async {
        let body = body::collect(body, headers, limit, pause).await?;
        gateway.submit_task(&caller, &path.cluster, &path.framework, body).await
    };
    let (id, model) = submitted
        .await
        .inspect_err(|refusal| gateway.record_refusal(head, &caller, None, refusal))?;
    gateway.record_access(head, &caller, StatusCode::OK, Some(&model), None);
    Ok(error::json(StatusCode::OK, &json!({ "task_id": id })))
}

async fn ask(
    app: &App,
    head: &Head,
    headers: &HeaderMap,
    path: &Path,
    id: &str,
) -> Result<Response, Refusal> {
    let caller: Arc<Caller> = admit(app, head, headers).await?;
    let gateway = &app.gateway;
    let known = gateway.tasks.ask(&caller.user, &path.cluster, &path.framework, id).await;
    let known =
        known.inspect_err(|refusal| gateway.record_refusal(head, &caller, None, refusal))?;
    let response = match known {
        Known::Open => open(id),
        Known::Done(document) => done(id, &document),
    };
    gateway.record_access(head, &caller, response.status(), None, None);
    Ok(response)
}

fn open(id: &str) -> Response {
    let body = json!({ "status": "task_accepted_and_pending", "task_id": id });
    let mut response = error::json(StatusCode::ACCEPTED, &body);
    response.headers_mut().insert(header::RETRY_AFTER, POLL_AGAIN.as_secs().into());
    response
}

/// The document may be megabytes long; it is passed on as it was kept.
fn done(id: &str, document: &str) -> Response {
    let mut response = Response::new(format!(r#"{{"result":{document},"task_id":"{id}"}}"#).into());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<(String, String, Option<String>)> {
        Path::read(path).map(|path| (path.cluster, path.framework, path.id))
    }

    #[test]
    fn firsts_own_names_lead_to_the_same_place() {
        let here = |id: Option<&str>| {
            Some(("sophia".to_owned(), "sam3service".to_owned(), id.map(str::to_owned)))
        };
        assert_eq!(read("/resource_server/sophia/sam3service/process"), here(None));
        assert_eq!(read("/resource_server/sophia/sam3service/tasks/"), here(None));
        assert_eq!(read("/resource_server/sophia/sam3service/tasks/7"), here(Some("7")));
        assert_eq!(read("/resource_server/s%6fphia/sam3service/tasks/7/"), here(Some("7")));
    }

    #[test]
    fn other_paths_are_no_tasks() {
        for path in [
            "/tasks",
            "/resource_server/tasks",
            "/resource_server/sophia/tasks",
            "/resource_server/polaris/sam3service/process",
            "/resource_server/sophia/sam3service/tasks/7/8",
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }
}
