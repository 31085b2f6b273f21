//! One request sent to one endpoint.

use std::{
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use http::{HeaderValue, header};

use super::{
    Budgets, Gateway, Inference,
    lines::Way,
    miss::{Blame, Miss},
    record::Record,
    refusal::Refusal,
    reply::{self, Ready},
    routing::{Contender, Course, Fault},
    scan::{Scan, splice::splice},
    spans::Leg,
};
use crate::{
    backends::{
        Answer, BackendError, Call, Presence,
        direct_api::DirectTarget,
        echo, headers,
        metis::{MetisTarget, NotLive},
    },
    catalog::Served,
    domain::Moment,
    telemetry::context,
};

/// What callers are told to wait when a model is not live on Metis: until the manifest is read anew.
const METIS_RETRY: Duration = Duration::from_mins(1);

/// How often a request that waits looks whether its endpoint answers anybody.
const LOOK_AROUND: Duration = Duration::from_secs(1);

impl Gateway {
    /// Sends the request to an endpoint and waits for an answer that can be handed on, or until it is
    /// better to ask another one.
    pub(super) async fn attempt(
        &self,
        request: &Inference,
        scan: &Scan<'_>,
        course: &Course<'_>,
        index: usize,
        record: &mut Record,
    ) -> Result<Ready, Miss> {
        let begun = AtomicBool::new(false);
        let contender = course.contender(index);
        let mut answering = pin!(self.answer(request, scan, contender, record, &begun));
        let Some(patience) = course.patience(index) else { return answering.await };
        let vitals = &contender.line.vitals;
        let sent = Moment::now();
        loop {
            match tokio::time::timeout(patience.min(LOOK_AROUND), answering.as_mut()).await {
                Ok(outcome) => return outcome,
                Err(_) if begun.load(Relaxed) => return answering.await,
                Err(_) => {}
            }
            // A slow model is told from one that hangs by others' having had answers meanwhile, and
            // one who has found out has found out for all who wait.
            let heard = vitals.last_answer().max(sent);
            let quiet = Moment::now().since(heard);
            let hangs = quiet >= patience || vitals.last_silence() > heard;
            if hangs && course.has_another(index, true) {
                return Err(silent(contender, quiet));
            }
        }
    }

    /// Sends the request and waits for an answer that can be handed on.
    async fn answer(
        &self,
        request: &Inference,
        scan: &Scan<'_>,
        contender: &Contender,
        record: &mut Record,
        begun: &AtomicBool,
    ) -> Result<Ready, Miss> {
        let (answer, budgets) = self.send(request, scan, contender, record).await?;
        reply::ready(answer, request.route, scan.stream, record, budgets, begun).await
    }

    /// Sends the request and waits for the answer's head.
    async fn send(
        &self,
        request: &Inference,
        scan: &Scan<'_>,
        contender: &Contender,
        record: &mut Record,
    ) -> Result<(Answer, Budgets), Miss> {
        let served = &*contender.served;
        let leg = Leg::begin(&request.head);
        let call = call(request, scan, served, leg);
        let budgets = self.settings.load().budgets;
        record.asks(leg);
        let current;
        let target = match &contender.line.way {
            Ok(Way::Direct(target)) => &**target,
            Ok(Way::GlobusCompute(target)) => {
                let started = request.head.started;
                // Boxed, so that no other request carries the room for it around.
                let sent = self.send_to_cluster(target, call, served, started, budgets, record);
                let answer = Box::pin(sent).await?;
                return Ok((answer, budgets));
            }
            Ok(Way::Metis(target)) => {
                current = Box::pin(self.live(target, served)).await?;
                &*current
            }
            Ok(Way::Echo(settings)) => {
                let answer = echo::send(settings, &call).map_err(|e| failed(served, &e))?;
                record.answered(answer.status);
                return Ok((answer, budgets));
            }
            Err(refusal) => return Err(refusal.clone().blamed_on(Blame::Nobody)),
        };
        let total = target.request_timeout.unwrap_or(budgets.total);
        let budgets = Budgets { total, ..budgets };
        let deadline: Instant = request.head.started + budgets.first_byte.min(total);
        let sent = tokio::time::timeout_at(deadline.into(), self.client.send(target, call)).await;
        let answer =
            sent.map_err(|_| too_slow(served).failed())?.map_err(|error| failed(served, &error))?;
        record.answered(answer.status);
        Ok((answer, budgets))
    }

    /// Where a model of Metis is to be asked, if it is live.
    async fn live(
        &self,
        target: &MetisTarget,
        served: &Served,
    ) -> Result<std::sync::Arc<DirectTarget>, Miss> {
        target.live(&self.manifests).await.map_err(|reason| {
            let message = format!("The model '{}' {reason}.", served.endpoint.model);
            let refusal = Refusal::unavailable("model_not_live", message, METIS_RETRY);
            refusal.blamed_on(match reason {
                NotLive::Unknown(_) => Blame::Nobody,
                NotLive::Status(_) | NotLive::NoAddress => Blame::Absence(Presence::Away),
            })
        })
    }
}

/// The request as the back end gets it; its body is shared with every other attempt.
fn call(request: &Inference, scan: &Scan<'_>, served: &Served, leg: Option<Leg>) -> Call {
    let rename =
        (scan.model != served.endpoint.model).then(|| scan.rename_model(&served.endpoint.model));
    let edits = rename.into_iter().chain(scan.usage_edit.clone()).collect();
    let mut headers = headers::to_backend(&request.headers);
    headers.insert("x-request-id", request.head.request_id.clone());
    context::pass_on(&mut headers, request.head.scope.trace, leg.map(|leg| leg.id));
    headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    Call { route: request.route, stream: scan.stream, headers, body: splice(&request.body, edits) }
}

/// The endpoint has answered nobody for that long. One that has to start its model first may.
fn silent(contender: &Contender, quiet: Duration) -> Miss {
    let slug = &contender.served.endpoint.slug;
    let starts = matches!(contender.line.vitals.presence(), Presence::Idle | Presence::Starting);
    tracing::warn!(endpoint = slug, ?quiet, starts, "the back end answers nobody");
    let blame = if starts { Blame::Nobody } else { Blame::Endpoint(Fault::Silent) };
    too_slow(&contender.served).blamed_on(blame)
}

/// The endpoint has used its time up.
pub(super) fn too_slow(served: &Served) -> Refusal {
    Refusal::too_slow(format!("Endpoint {} did not begin to answer in time.", served.endpoint.slug))
}

fn failed(served: &Served, error: &BackendError) -> Miss {
    let slug = &served.endpoint.slug;
    tracing::warn!(endpoint = slug, %error, "the back end failed");
    let refusal = Refusal::bad_gateway(match error {
        BackendError::Connect(_) => format!("Endpoint {slug} cannot be reached."),
        BackendError::Broken(_) => format!("Endpoint {slug} broke off before answering."),
    });
    refusal.blamed_on(Blame::Endpoint(Fault::Unreachable))
}
