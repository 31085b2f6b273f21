//! What a caller may use: models, endpoints, and who they are.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use warp::{
    Filter,
    filters::{BoxedFilter, path::Tail},
    reply::Response,
};

use super::{App, admit, error, head, paths, read, with};
use crate::{
    catalog::{Federated, Snapshot},
    domain::{Caller, Route},
    gateway::{Head, Refusal},
};

/// What a list answers from the catalogue and its caller.
type List = fn(&Snapshot, &Caller) -> Result<Value, Refusal>;

/// `GET /v1/models[/{id}]`, the same below `/resource_server`, `list-endpoints` and `whoami`.
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let first = || warp::path(paths::FIRST_PREFIX);
    let models = || warp::path("v1").and(warp::path("models"));
    let list = |list: List| {
        warp::path::end()
            .and(read())
            .and(with(Arc::clone(app)))
            .and(head())
            .and(warp::header::headers_cloned())
            .then(move |app: Arc<App>, head: Arc<Head>, headers: HeaderMap| async move {
                answer(&app, &head, &headers, list).await
            })
    };
    let one = || {
        warp::path::tail()
            .and(read())
            .and(with(Arc::clone(app)))
            .and(head())
            .and(warp::header::headers_cloned())
            .then(|id: Tail, app: Arc<App>, head: Arc<Head>, headers: HeaderMap| async move {
                let one =
                    |snapshot: &Snapshot, caller: &Caller| model(snapshot, caller, id.as_str());
                answer(&app, &head, &headers, one).await
            })
    };
    let open = models().and(list(all_models).or(one()).unify());
    let below = first().and(
        models()
            .and(list(all_models).or(one()).unify())
            .or(warp::path("list-endpoints").and(list(endpoints)))
            .unify()
            .or(warp::path("whoami").and(list(whoami)))
            .unify(),
    );
    open.or(below).unify().boxed()
}

async fn answer(
    app: &App,
    head: &Head,
    headers: &HeaderMap,
    list: impl FnOnce(&Snapshot, &Caller) -> Result<Value, Refusal>,
) -> Response {
    let caller = match admit(app, head, headers).await {
        Ok(caller) => caller,
        Err(refusal) => return error::response(&refusal, error::Shape::OpenAi),
    };
    match list(&app.gateway.catalog.load(), &caller) {
        Ok(value) => {
            app.gateway.record_access(head, &caller, StatusCode::OK, None, None);
            error::json(StatusCode::OK, &value)
        }
        Err(refusal) => {
            app.gateway.record_refusal(head, &caller, None, &refusal);
            error::response(&refusal, error::Shape::OpenAi)
        }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the type of every list")]
fn all_models(snapshot: &Snapshot, caller: &Caller) -> Result<Value, Refusal> {
    let models: Vec<_> =
        snapshot.models_for(caller).map(|federated| described(federated, caller)).collect();
    Ok(json!({ "object": "list", "data": models }))
}

fn model(snapshot: &Snapshot, caller: &Caller, encoded: &str) -> Result<Value, Refusal> {
    let id = paths::decoded(encoded.trim_end_matches('/')).unwrap_or_default();
    snapshot
        .federated(&id)
        .filter(|federated| federated.permits(caller))
        .map(|federated| described(federated, caller))
        .ok_or_else(|| {
            let message = "The model does not exist, or you are not allowed to use it.";
            Refusal::not_found("model_not_found", message).param("model")
        })
}

/// A model in OpenAI's shape. Its owner is the first cluster on which this caller may use it.
fn described(federated: &Federated, caller: &Caller) -> Value {
    let owner =
        federated.permitted(caller).next().map_or("figw", |t| t.served.cluster.name.as_str());
    json!({ "id": federated.model, "object": "model", "created": 0, "owned_by": owner })
}

/// What one framework of a cluster offers to a caller.
struct Offer<'a> {
    models: Vec<&'a str>,
    routes: &'a [Route],
}

/// FIRST's list: clusters, their frameworks, and the models of each.
#[allow(clippy::unnecessary_wraps, reason = "the type of every list")]
fn endpoints(snapshot: &Snapshot, caller: &Caller) -> Result<Value, Refusal> {
    let mut clusters: BTreeMap<&str, BTreeMap<&str, Offer<'_>>> = BTreeMap::new();
    for served in snapshot.endpoints_for(caller) {
        let endpoint = &served.endpoint;
        clusters
            .entry(&endpoint.cluster)
            .or_default()
            .entry(&endpoint.framework)
            .or_insert_with(|| Offer { models: Vec::new(), routes: &served.cluster.routes })
            .models
            .push(&endpoint.model);
    }
    let described: serde_json::Map<_, _> = clusters
        .into_iter()
        .map(|(cluster, frameworks)| {
            let frameworks: serde_json::Map<_, _> = frameworks
                .into_iter()
                .map(|(name, offer)| (name.to_owned(), framework(name, offer)))
                .collect();
            let base = format!("/{}/{cluster}", paths::FIRST_PREFIX);
            (cluster.to_owned(), json!({ "base_url": base, "frameworks": frameworks }))
        })
        .collect();
    Ok(json!({ "clusters": described }))
}

fn framework(name: &str, mut offer: Offer<'_>) -> Value {
    offer.models.sort_unstable();
    let endpoints: serde_json::Map<_, _> = offer
        .routes
        .iter()
        .map(|route| (first_name(*route).to_owned(), format!("/{name}/v1/{route}/").into()))
        .collect();
    json!({ "models": offer.models, "endpoints": endpoints })
}

/// What FIRST calls a route in its list.
const fn first_name(route: Route) -> &'static str {
    match route {
        Route::ChatCompletions => "chat",
        Route::Completions => "completion",
        Route::Embeddings => "embedding",
        Route::Responses => "responses",
        Route::Messages => "messages",
    }
}

#[allow(clippy::unnecessary_wraps, reason = "the type of every list")]
fn whoami(_: &Snapshot, caller: &Caller) -> Result<Value, Refusal> {
    let login = caller.login.as_deref();
    let id = caller.key_id.map(|id| id.to_string());
    Ok(json!({
        "id": login.map(|login| login.id.clone()).or(id),
        "name": caller.name,
        "username": caller.user,
        "user_group_uuids": caller.groups,
        "idp_id": login.map(|login| &login.provider_id),
        "idp_name": login.map(|login| &login.provider_name),
        "auth_service": if login.is_some() { "globus" } else { "api-key" },
    }))
}
