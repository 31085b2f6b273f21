//! Trials of endpoints that are reached as the gateway reaches them: through Globus Compute or Metis.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Limited};
use secrecy::SecretString;
use serde_json::Value;

use super::{LARGEST_ANSWER, PATIENCE};
use crate::{
    backends::{
        Answer, Call,
        direct_api::{ClientOptions, DirectClient},
        globus_compute::inference::{self, GlobusTarget, Unanswered},
        metis::{Manifests, MetisTarget},
    },
    cache::Cache,
    cli::Failure,
    config::Config,
    domain::{Cluster, Endpoint, Route, catalog::GlobusCompute, endpoint::Metis},
    ops::serve::compute,
    outbound,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// The status and the body of an answer, or why there is none.
pub(super) type Outcome = anyhow::Result<(u16, Vec<u8>)>;

/// Asks a function on the endpoint's cluster.
pub(super) async fn through_globus(
    settings: &GlobusCompute,
    (route, request): (Route, &Value),
    config: &Config,
) -> Result<Outcome, Failure> {
    let target = GlobusTarget::new(settings).map_err(Failure::usage)?;
    let compute =
        compute(config, Cache::default()).map_err(anyhow::Error::new)?.ok_or_else(|| {
            Failure::usage(
                "the endpoint is reached through Globus Compute, but globus_compute.client_id and \
             client_secret are not set in the configuration",
            )
        })?;
    let deadline = Instant::now() + PATIENCE;
    let sent = inference::send(&compute, None, &target, call(route, request), deadline);
    Ok(match tokio::time::timeout_at(deadline.into(), sent).await {
        Err(_) => Err(anyhow!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Ok(answer)) => whole(answer).await,
        Ok(Err(Unanswered::Model(error))) => {
            let body = error.document.unwrap_or(error.text);
            Ok((error.status.as_u16(), body.into_bytes()))
        }
        Ok(Err(error)) => Err(error.into()),
    })
}

/// Asks the model where Metis says that it is.
pub(super) async fn through_metis(
    (endpoint, cluster): (&Endpoint, &Cluster),
    settings: &Metis,
    api_key: Option<&SecretString>,
    (route, request): (Route, &Value),
) -> Result<Outcome, Failure> {
    let target = MetisTarget::new(cluster, &endpoint.model, settings, api_key);
    let target = target.map_err(Failure::usage)?;
    let manifests = outbound::client(PATIENCE).context("cannot set up HTTPS")?;
    let target = match target.live(&Manifests::new(manifests)).await {
        Ok(target) => target,
        Err(reason) => return Ok(Err(anyhow!("the model {reason}"))),
    };
    let options = ClientOptions { connect_timeout: CONNECT, max_idle_per_host: 1, workers: 1 };
    let patience = target.request_timeout.unwrap_or(PATIENCE);
    let asking = async {
        whole(DirectClient::new(options).send(&target, call(route, request)).await?).await
    };
    let asked = tokio::time::timeout(patience, asking).await;
    Ok(asked.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", patience.as_secs()))))
}

fn call(route: Route, request: &Value) -> Call {
    let json = HeaderValue::from_static("application/json");
    Call {
        route,
        stream: false,
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
        body: Bytes::from(request.to_string()).into(),
    }
}

async fn whole(answer: Answer) -> Outcome {
    let body = Limited::new(answer.body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| anyhow!("the answer cannot be read: {error}"))?;
    Ok((answer.status.as_u16(), body.to_bytes().to_vec()))
}
