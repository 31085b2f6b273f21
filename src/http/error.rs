//! Errors as callers see them: OpenAI's shape, and Anthropic's on its own route.

use std::convert::Infallible;

use http::{HeaderValue, StatusCode, header};
use warp::{Rejection, reply::Response};

use crate::gateway::Refusal;

/// Whose shape an error has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{"error": {"message", "type", "param", "code"}}`
    OpenAi,
    /// `{"type": "error", "error": {"type", "message"}}`
    Anthropic,
}

/// The refusal as a response.
#[must_use]
pub fn response(refusal: &Refusal, shape: Shape) -> Response {
    let body = match shape {
        Shape::OpenAi => refusal.openai_json(),
        Shape::Anthropic => refusal.anthropic_json(),
    };
    metrics::counter!("figw_refusals_total", "status" => refusal.status.as_str().to_owned())
        .increment(1);
    let mut response = json(refusal.status, &body);
    if let Some(after) = refusal.retry_after {
        // Whole seconds, rounded up: a caller that waits as told must not be too early.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.max(1).into());
    }
    refusal.allowance.write(response.headers_mut());
    if refusal.status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// 405, with the methods that the path takes.
#[must_use]
pub fn method_not_allowed(allowed: &'static str, shape: Shape) -> Response {
    let message = format!("This path does not take that method; it takes {allowed}.");
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = response(&Refusal::new(status, "method_not_allowed", message), shape);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// A JSON response.
#[must_use]
pub fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Answers what no route took; `allowed` are the methods of those that would have.
/// Routes refuse by responses of their own, so a rejection means that
/// the path or the method is not one of figw's.
///
/// # Errors
/// Never.
#[allow(clippy::unused_async, reason = "warp's `recover` wants a future")]
pub async fn recover(rejection: Rejection, allowed: &'static str) -> Result<Response, Infallible> {
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        return Ok(method_not_allowed(allowed, Shape::OpenAi));
    }
    let refusal = if rejection.is_not_found() {
        Refusal::not_found("not_found", "There is nothing at this path.")
    } else {
        tracing::error!(?rejection, "a rejection that no route should make");
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "figw made a mistake.")
    };
    Ok(response(&refusal, Shape::OpenAi))
}
