//! The five inference routes, federated and per endpoint.

use std::{sync::Arc, time::Instant};

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, header};
use warp::{
    Filter,
    filters::{BoxedFilter, path::FullPath},
    reply::{Reply as _, Response},
};

use super::{App, admit_counted, body, error, head, paths, with};
use crate::{
    domain::Route,
    gateway::{Head, Inference, Place, Refusal, Reply, ReplyBody},
};

/// `POST …/v1/{chat/completions, completions, embeddings, responses, messages}`
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let place = warp::path::full().and_then(|path: FullPath| {
        std::future::ready(paths::inference(path.as_str()).ok_or_else(warp::reject::not_found))
    });
    place
        .and(with(Arc::clone(app)))
        .and(head())
        .and(warp::header::headers_cloned())
        .and(warp::body::stream())
        .then(|(place, route): (Place, Route), app: Arc<App>, head: Arc<Head>, headers, body| {
            // Boxed here, so that warp's wrappers pass a pointer around and not kilobytes.
            Box::pin(async move {
                if head.method != http::Method::POST {
                    return error::method_not_allowed("POST", shape(route));
                }
                match infer(&app, head, headers, place, route, body).await {
                    Ok(reply) => response(reply),
                    Err(refusal) => error::response(&refusal, shape(route)),
                }
            })
        })
        .boxed()
}

async fn infer<B: Buf>(
    app: &App,
    head: Arc<Head>,
    headers: HeaderMap,
    place: Place,
    route: Route,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Reply, Refusal> {
    let (caller, requests) = admit_counted(app, &head, &headers)
        .await
        .inspect_err(|refusal| head.trace_refusal(route, refusal))?;
    let (limit, pause) = {
        let settings = app.gateway.settings.load();
        (settings.max_body_bytes, settings.body_timeout)
    };
    let since = Instant::now();
    let body = body::collect(body, &headers, limit, pause).await.inspect_err(|refusal| {
        app.gateway.record_refusal(&head, &caller, None, refusal);
        head.trace_refusal(route, refusal);
    })?;
    let waited = since.elapsed();
    let request = Inference { head, headers, caller, requests, waited, place, route, body };
    app.gateway.infer(request).await
}

const fn shape(route: Route) -> error::Shape {
    match route {
        Route::Messages => error::Shape::Anthropic,
        _ => error::Shape::OpenAi,
    }
}

fn response(reply: Reply) -> Response {
    let mut headers = reply.headers;
    let mut response = match reply.body {
        ReplyBody::Whole(bytes) => Response::new(bytes.into()),
        ReplyBody::Events(events) => {
            stream_headers(&mut headers);
            warp::reply::stream(*events).into_response()
        }
        ReplyBody::Long(rest) => warp::reply::stream(*rest).into_response(),
    };
    *response.status_mut() = reply.status;
    *response.headers_mut() = headers;
    response
}

fn stream_headers(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would otherwise gather a stream before passing it on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}
