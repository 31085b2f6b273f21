//! Trials of endpoints that are reached as the gateway reaches them: through Globus Compute or Metis.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::{Answered, CONNECT, LARGEST_ANSWER, NotTried, PATIENCE, Trial};
use crate::{
    backends::{
        Answer, Call,
        direct_api::{ClientOptions, DirectClient},
        globus_compute::{
            Compute,
            inference::{self, GlobusTarget, Unanswered},
        },
        metis::{Manifests, MetisTarget},
    },
    domain::{Route, catalog::GlobusCompute, endpoint::Metis},
    outbound,
};

/// Asks a function on the endpoint's cluster.
pub(super) async fn through_globus(
    settings: &GlobusCompute,
    (route, request): (Route, &Value),
    compute: Option<&Compute>,
    patience: Duration,
) -> Result<Answered, NotTried> {
    let target = GlobusTarget::new(settings).map_err(NotTried::Misconfigured)?;
    let compute = compute.ok_or_else(|| {
        NotTried::Misconfigured(
            "the endpoint is reached through Globus Compute, but globus_compute.client_id and \
             client_secret are not set in the configuration"
                .to_owned(),
        )
    })?;
    let deadline = Instant::now() + patience;
    let sent = inference::send(compute, None, &target, call(route, request), deadline);
    Ok(match tokio::time::timeout_at(deadline.into(), sent).await {
        Err(_) => Err(no_answer_within(patience)),
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
    trial: &Trial<'_>,
    settings: &Metis,
    (route, request): (Route, &Value),
) -> Result<Answered, NotTried> {
    let target = MetisTarget::new(trial.cluster, &trial.endpoint.model, settings, trial.api_key);
    let target = target.map_err(NotTried::Misconfigured)?;
    let manifests = outbound::client(PATIENCE).context("cannot set up HTTPS")?;
    let target = match target.live(&Manifests::new(manifests)).await {
        Ok(target) => target,
        Err(reason) => return Ok(Err(anyhow!("the model {reason}"))),
    };
    let options = ClientOptions { connect_timeout: CONNECT, max_idle_per_host: 1, workers: 1 };
    let patience = trial.patience.or(target.request_timeout).unwrap_or(PATIENCE);
    let asking = async {
        whole(DirectClient::new(options).send(&target, call(route, request)).await?).await
    };
    let asked = tokio::time::timeout(patience, asking).await;
    Ok(asked.unwrap_or_else(|_| Err(no_answer_within(patience))))
}

fn no_answer_within(patience: Duration) -> anyhow::Error {
    anyhow!("no answer within {}", humantime::format_duration(patience))
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

async fn whole(answer: Answer) -> Answered {
    let body = Limited::new(answer.body, LARGEST_ANSWER).collect().await;
    let body = body.map_err(|error| anyhow!("the answer cannot be read: {error}"))?;
    Ok((answer.status.as_u16(), body.to_bytes().to_vec()))
}
