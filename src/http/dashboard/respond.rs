//! Answers to browsers, with all that keeps other pages and scripts out.

use http::{HeaderValue, StatusCode, header};
use maud::Markup;
use serde_json::Value;
use warp::reply::Response;

use super::{layout, problem::Problem, table::Table};
use crate::http::error;

/// Scripts, styles and pictures of figw's own, and nothing else.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// In what form an answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
    Csv,
}

/// A page.
pub(super) fn html(status: StatusCode, page: Markup) -> Response {
    let mut response = Response::new(page.into_string().into());
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// The same for programs.
pub(super) fn json(value: &Value) -> Response {
    error::json(StatusCode::OK, value)
}

/// A table for spreadsheets.
pub(super) fn csv(name: &str, table: Table) -> Result<Response, Problem> {
    let table = table.csv().map_err(|error| {
        tracing::error!(%error, "a table of the dashboard could not be written");
        Problem::Internal
    })?;
    let mut response = Response::new(table.into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8"));
    let disposition = format!("attachment; filename=\"figw-{name}.csv\"");
    if let Ok(disposition) = HeaderValue::from_str(&disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// On to another page; by GET, whatever this request was.
pub(super) fn redirect(to: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    match HeaderValue::from_str(to) {
        Ok(to) => response.headers_mut().insert(header::LOCATION, to),
        Err(_) => {
            return problem(&Problem::Internal, Format::Html);
        }
    };
    response
}

/// Why there is no page.
pub(super) fn problem(problem: &Problem, format: Format) -> Response {
    if format != Format::Html {
        return error::response(&problem.refusal(), error::Shape::OpenAi);
    }
    let mut response = html(problem.status(), layout::problem(problem));
    if let Some(after) = problem.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, (after.as_secs() + 1).into());
    }
    response
}

/// What every answer carries.
pub(super) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    let alone = HeaderValue::from_static("same-origin");
    headers.insert("cross-origin-opener-policy", alone.clone());
    headers.insert("cross-origin-resource-policy", alone);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
