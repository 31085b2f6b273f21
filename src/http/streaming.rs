//! `POST /resource_server/api/streaming/{data,error,done}/`: what functions on clusters stream back.
//!
//! The requests come from compute nodes and stand for no user: they show a secret and a stream's
//! token instead of credentials, count against no limit, and leave no rows. Paths, order of checks,
//! status codes and the shape of the answers are FIRST's (auroraGPT-ANL/inference-gateway,
//! `resource_server_async/views/streaming.py`).

use std::time::Duration;

use bytes::Buf;
use futures_util::{Stream, StreamExt, pin_mut};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use warp::{
    Filter,
    filters::{BoxedFilter, path::FullPath},
    reply::Response,
};

use super::{body, error, paths, with};
use crate::{
    backends::globus_compute::streams::{PostKind, PostRefusal, StreamHub},
    gateway::Refusal,
};

/// Longest pause in the middle of a post. FIRST's function gives up on a post after 2 s, or 10 s.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How much of a refused body is read after all, in bytes: a sender that is still writing when its
/// connection closes never sees why.
const MOST_DISCARDED: usize = 4 * 1024 * 1024;

/// How long that may take.
const LONGEST_DISCARD: Duration = Duration::from_secs(2);

/// The three routes, with or without a slash at the end; without a hub they say that it is missing.
#[must_use]
pub fn routes(hub: Option<StreamHub>) -> BoxedFilter<(Response,)> {
    let kind = warp::path::full().and_then(|path: FullPath| {
        std::future::ready(kind(path.as_str()).ok_or_else(warp::reject::not_found))
    });
    kind.and(with(hub))
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|kind: PostKind, hub: Option<StreamHub>, method, headers, body| {
            Box::pin(async move {
                if method != Method::POST {
                    return error::method_not_allowed("POST", error::Shape::OpenAi);
                }
                let (status, answer) = answer(hub.as_ref(), kind, &headers, body).await;
                metrics::counter!(
                    "figw_streaming_posts_total",
                    "kind" => kind.as_str(), "status" => word(status)
                )
                .increment(1);
                error::json(status, &answer)
            })
        })
        .boxed()
}

fn kind(path: &str) -> Option<PostKind> {
    let path = path.strip_prefix('/')?.strip_prefix(paths::FIRST_PREFIX)?;
    let path = path.strip_prefix("/api/streaming/")?;
    PostKind::named(path.strip_suffix('/').unwrap_or(path))
}

async fn answer<B: Buf>(
    hub: Option<&StreamHub>,
    kind: PostKind,
    headers: &HeaderMap,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> (StatusCode, Value) {
    pin_mut!(body);
    let Some(hub) = hub else {
        discard(body).await;
        let message = "streaming is not set up here: globus_compute.streaming_public_url";
        return (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": message }));
    };
    let refused = match admit(hub, kind, headers) {
        Err(refusal) => said(refusal),
        Ok(token) => {
            match body::collect(body.as_mut(), headers, kind.longest(), LONGEST_PAUSE).await {
                Ok(bytes) => match hub.deliver(kind, token, bytes).await {
                    Ok(task) => return (StatusCode::OK, received(kind, task)),
                    Err(refusal) => said(refusal),
                },
                Err(refusal) => of_body(&refusal),
            }
        }
    };
    tracing::debug!(
        kind = kind.as_str(),
        status = refused.0.as_u16(),
        "a streaming post is refused"
    );
    discard(body).await;
    refused
}

/// Checks all that can be checked before the body is read, and returns the token.
fn admit<'a>(
    hub: &StreamHub,
    kind: PostKind,
    headers: &'a HeaderMap,
) -> Result<&'a [u8], PostRefusal> {
    if body::announced_length(headers).is_some_and(|length| length > kind.longest() as u64) {
        return Err(PostRefusal::TooLarge);
    }
    let value = |name| headers.get(name).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let token = value("x-stream-task-token");
    hub.admit(value("x-internal-secret"), token)?;
    Ok(token)
}

fn received(kind: PostKind, task: uuid::Uuid) -> Value {
    match kind {
        PostKind::Data => json!({ "status": "received" }),
        PostKind::Error | PostKind::Done => json!({ "status": "ok", "task_id": task }),
    }
}

fn said(refusal: PostRefusal) -> (StatusCode, Value) {
    (refusal.status(), json!({ "error": refusal.to_string() }))
}

fn of_body(refusal: &Refusal) -> (StatusCode, Value) {
    match refusal.status {
        StatusCode::PAYLOAD_TOO_LARGE => said(PostRefusal::TooLarge),
        status => (status, json!({ "error": refusal.message })),
    }
}

async fn discard<B: Buf>(body: impl Stream<Item = Result<B, warp::Error>>) {
    pin_mut!(body);
    let all = async {
        let mut length = 0;
        while let Some(Ok(piece)) = body.next().await {
            length += piece.remaining();
            if length > MOST_DISCARDED {
                break;
            }
        }
    };
    // Whoever sends more slowly sees a closed connection.
    let _ = tokio::time::timeout(LONGEST_DISCARD, all).await;
}

/// The status as a label.
fn word(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        400 => "400",
        401 => "401",
        403 => "403",
        413 => "413",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_paths_are_known_with_and_without_their_slash() {
        for (path, expected) in [
            ("/resource_server/api/streaming/data/", Some(PostKind::Data)),
            ("/resource_server/api/streaming/data", Some(PostKind::Data)),
            ("/resource_server/api/streaming/error/", Some(PostKind::Error)),
            ("/resource_server/api/streaming/done/", Some(PostKind::Done)),
            ("/resource_server/api/streaming/done//", None),
            ("/resource_server/api/streaming/", None),
            ("/resource_server/api/streaming/all/", None),
            ("/resource_serverapi/streaming/data/", None),
            ("/api/streaming/data/", None),
        ] {
            assert_eq!(kind(path), expected, "{path}");
        }
    }
}
