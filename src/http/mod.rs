//! Listeners and routes. Handlers are short; what they answer is worked out below this floor.

pub mod admin;
pub mod batches;
pub mod body;
pub mod dashboard;
pub mod error;
pub mod health;
pub mod inference;
pub mod jobs;
pub mod lists;
pub mod paths;
pub mod server;
pub mod staging;
pub mod streaming;
pub mod tasks;

use std::{sync::Arc, time::Duration};

use warp::{Filter, Reply, filters::BoxedFilter, reply::Response};

use crate::{
    auth::{AuthError, Authenticator},
    domain::Caller,
    gateway::{Gateway, Head, Refusal},
    limits::Standing,
};
pub use health::{Noted, Readiness};

/// What callers are told to wait who have reached an instance that is being drained.
const DRAINING_RETRY: Duration = Duration::from_secs(1);

/// What every handler of the public listener may need.
#[derive(Debug)]
pub struct App {
    /// Serves inference.
    pub gateway: Gateway,
    /// Tells who is calling.
    pub auth: Authenticator,
    /// Whether, and how well.
    pub readiness: Arc<Readiness>,
    /// The pages at `/dashboard`, unless there are to be none.
    pub dashboard: Option<Arc<dashboard::Dashboard>>,
}

/// All routes of the public listener.
#[must_use]
pub fn public(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let others = tasks::routes(app)
        .or(jobs::routes(app))
        .unify()
        .or(lists::routes(app))
        .unify()
        .or(streaming::routes(app.gateway.streams.clone()))
        .unify()
        .or(staging::routes(app))
        .unify()
        .or(batches::routes(app))
        .unify()
        .or(health::routes(app))
        .unify()
        .or(dashboard::routes(app))
        .unify()
        .boxed();
    inference::routes(app)
        .or(others)
        .unify()
        .recover(|rejection| error::recover(rejection, "GET, HEAD"))
        .map(Reply::into_response)
        .boxed()
}

/// Hands `value` to a handler.
fn with<T: Clone + Send + Sync + 'static>(
    value: T,
) -> impl Filter<Extract = (T,), Error = std::convert::Infallible> + Clone {
    warp::any().map(move || value.clone())
}

/// GET, or HEAD, with which many monitors ask; the server leaves the body out then.
fn read() -> impl Filter<Extract = (), Error = warp::Rejection> + Copy {
    warp::get().or(warp::head()).unify()
}

/// The request's head, as the server noted it on arrival.
fn head() -> impl Filter<Extract = (Arc<Head>,), Error = warp::Rejection> + Copy {
    warp::ext::get::<Arc<Head>>()
}

/// Checks the caller's credentials and allowance.
async fn admit(app: &App, head: &Head, headers: &http::HeaderMap) -> Result<Arc<Caller>, Refusal> {
    Ok(admit_counted(app, head, headers).await?.0)
}

/// The same, telling how far the limit on requests is used up.
async fn admit_counted(
    app: &App,
    head: &Head,
    headers: &http::HeaderMap,
) -> Result<(Arc<Caller>, Option<Standing>), Refusal> {
    if app.readiness.is_refusing() {
        let message = "This instance is being drained; ask once more to reach another one.";
        return Err(Refusal::unavailable("draining", message, DRAINING_RETRY));
    }
    let gateway = &app.gateway;
    let caller = app.auth.authenticate(&gateway.catalog, headers).await.map_err(|error| {
        let refusal = not_admitted(&error);
        head.log(refusal.status, None, None, Some(refusal.message.as_str()));
        refusal
    })?;
    let counted = gateway.count_request(&caller).await;
    let standing =
        counted.inspect_err(|refusal| gateway.record_refusal(head, &caller, None, refusal))?;
    Ok((caller, standing))
}

fn not_admitted(error: &AuthError) -> Refusal {
    let message = error.to_string();
    match error {
        AuthError::Denied(denial) if denial.new_login_helps() => {
            Refusal::new(http::StatusCode::UNAUTHORIZED, "login_required", message)
        }
        AuthError::Denied(_) => Refusal::forbidden(message),
        AuthError::Unavailable(unavailable) => {
            Refusal::unavailable("login_unavailable", message, unavailable.retry_after)
        }
        _ => Refusal::unauthenticated(message),
    }
}
