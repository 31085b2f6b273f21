//! The admin listener: metrics and the operator's levers.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use metrics::gauge;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use warp::{Filter, Reply, filters::BoxedFilter, reply::Response};

use super::{App, error, health, with};
use crate::{
    gateway::Refusal,
    telemetry::{
        errors,
        logs::LevelHandle,
        metrics::{Exposition, float},
    },
};

/// What the admin listener works on.
#[derive(Debug)]
pub struct Admin {
    /// The public side.
    pub app: Arc<App>,
    /// Renders the metrics, when they are kept.
    pub metrics: Option<Exposition>,
    /// Asks for a reload of configuration and catalogue.
    pub reload: Arc<Notify>,
    /// How much is logged.
    pub level: LevelHandle,
    /// Must be sent as a bearer token, when there is one.
    pub token: Option<SecretString>,
}

/// `GET /metrics`, `GET /ready`, `GET /admin/status`, `POST /admin/{drain,undrain,reload}`.
#[must_use]
pub fn routes(admin: &Arc<Admin>) -> BoxedFilter<(Response,)> {
    let admin_path = || warp::path("admin");
    let get = |name, handle| route(admin, name, "GET, HEAD", handle);
    let post = |name, handle| route(admin, name, "POST", handle);
    let levers = get("status", status)
        .or(post("drain", |admin, headers| {
            admin.app.readiness.drain();
            tracing::info!("draining: /ready answers 503");
            status(admin, headers)
        }))
        .unify()
        .or(post("undrain", |admin, headers| {
            if !admin.app.readiness.undrain() {
                let message = "This process is ending; its successor takes the requests.";
                let refusal = Refusal::new(StatusCode::CONFLICT, "stopping", message);
                return error::response(&refusal, error::Shape::OpenAi);
            }
            tracing::info!("no longer draining");
            status(admin, headers)
        }))
        .unify()
        .or(post("reload", |admin, _| {
            admin.reload.notify_one();
            error::json(StatusCode::ACCEPTED, &json!({ "reload": "requested" }))
        }))
        .unify();
    get("metrics", metrics)
        .or(get("ready", ready))
        .unify()
        .or(admin_path().and(levers))
        .unify()
        .recover(|rejection| error::recover(rejection, "GET, POST"))
        .map(Reply::into_response)
        .boxed()
}

/// A path that is answered by `handle` when it is asked with one of the `methods`.
fn route(
    admin: &Arc<Admin>,
    name: &'static str,
    methods: &'static str,
    handle: fn(&Admin, &HeaderMap) -> Response,
) -> BoxedFilter<(Response,)> {
    let answer = move |admin: Arc<Admin>, headers: HeaderMap, method: Method| {
        if !admin.admits(&headers) {
            refused()
        } else if methods.split(", ").any(|allowed| allowed == method.as_str()) {
            handle(&admin, &headers)
        } else {
            error::method_not_allowed(methods, error::Shape::OpenAi)
        }
    };
    warp::path(name)
        .and(warp::path::end())
        .and(with(Arc::clone(admin)))
        .and(warp::header::headers_cloned())
        .and(warp::method())
        .map(answer)
        .boxed()
}

impl Admin {
    fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        headers
            .get(header::AUTHORIZATION)
            .and_then(token_in)
            .is_some_and(|given| given.ct_eq(token.expose_secret().as_bytes()).into())
    }
}

/// The token after `Bearer`, which may be written in any case.
fn token_in(value: &HeaderValue) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, token) = value.as_bytes().split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token)
}

fn refused() -> Response {
    let refusal = Refusal::unauthenticated(
        "The admin listener asks for 'Authorization: Bearer TOKEN' with server.admin_token.",
    );
    error::response(&refusal, error::Shape::OpenAi)
}

fn metrics(admin: &Admin, _: &HeaderMap) -> Response {
    let Some(exposition) = admin.metrics else {
        let message = "Metrics are off: telemetry.metrics is false.";
        let refusal = Refusal::not_found("metrics_off", message);
        return error::response(&refusal, error::Shape::OpenAi);
    };
    admin.app.readiness.metrics_asked.now();
    admin.app.readiness.measure();
    gauge!("figw_rows_queued").set(float(admin.app.gateway.rows.queued() as u64));
    let mut response = Response::new(exposition.render().into());
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

/// What `/ready` says, for who is not let in at the public listener: `figw health` has no certificate
/// of a client's.
fn ready(admin: &Admin, headers: &HeaderMap) -> Response {
    health::ready(&admin.app.readiness, headers)
}

fn status(admin: &Admin, _: &HeaderMap) -> Response {
    let readiness = &admin.app.readiness;
    let (errors, last_error_at) = errors::seen();
    let body = json!({
        "instance": readiness.instance,
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": readiness.started_at,
        "ready": readiness.is_ready(),
        "draining": readiness.is_draining(),
        "in_flight": admin.app.gateway.in_flight.count(),
        "errors": errors,
        "last_error_at": last_error_at,
        "ready_asked_at": readiness.ready_asked.last(),
        "metrics_asked_at": readiness.metrics_asked.last(),
        "user_id": rustix::process::geteuid().as_raw(),
        "log_filter": admin.level.directives(),
        "open_files": rlimit::Resource::NOFILE.get().ok().map(|(soft, _)| soft),
    });
    error::json(StatusCode::OK, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_is_read_in_any_case() {
        for (value, token) in [
            ("Bearer a b", Some(&b"a b"[..])),
            ("bearer abc", Some(b"abc")),
            ("BEARER abc", Some(b"abc")),
            ("Basic abcd", None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(token_in(&HeaderValue::from_static(value)), token, "{value}");
        }
    }
}
