//! Requests that a function on a cluster answers, and what callers are told when none does.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::{
    Budgets, Gateway, Refusal,
    attempt::too_slow,
    choose,
    miss::{Blame, Miss},
    record::Record,
    remote,
    routing::Fault,
};
use crate::{
    backends::{
        Answer, Call, Presence,
        globus_compute::{
            ComputeError,
            inference::{self, GlobusTarget, ModelError, Unanswered},
        },
    },
    catalog::Served,
};

/// What callers are told to wait when a stream cannot be opened.
const STREAM_RETRY: Duration = Duration::from_secs(10);

impl Gateway {
    /// Has the request answered on its cluster, and waits for the answer's head.
    pub(super) async fn send_to_cluster(
        &self,
        target: &GlobusTarget,
        call: Call,
        served: &Served,
        started: Instant,
        budgets: Budgets,
        record: &mut Record,
    ) -> Result<Answer, Miss> {
        let Some(compute) = &self.compute else {
            let refusal = choose::misconfigured(served, "globus_compute.client_id is not set");
            return Err(refusal.blamed_on(Blame::Nobody));
        };
        let deadline = started + budgets.first_byte.min(budgets.total);
        let end = if call.stream { started + budgets.total } else { deadline };
        let sent = inference::send(compute, self.streams.as_ref(), target, call, end);
        let sent = tokio::time::timeout_at(deadline.into(), sent).await;
        let answer = match sent.map_err(|_| too_slow(served).failed())? {
            Ok(answer) => answer,
            Err(Unanswered::Model(error)) => {
                record.answered(error.status);
                error.into_answer().map_err(|error| {
                    let blame = blame_for_model(&error);
                    of_model(served, &error).blamed_on(blame)
                })?
            }
            Err(error) => {
                let blame = blame(&error);
                return Err(refusal(served, error).blamed_on(blame));
            }
        };
        record.answered(answer.status);
        Ok(answer)
    }
}

fn blame_for_model(error: &ModelError) -> Blame {
    if error.status.is_client_error() { Blame::Request } else { Blame::Endpoint(Fault::Failed) }
}

/// Whether the endpoint failed, or takes no requests, or not this one.
fn blame(error: &Unanswered) -> Blame {
    match error {
        Unanswered::Model(error) => blame_for_model(error),
        Unanswered::NothingCame => Blame::Endpoint(Fault::Failed),
        Unanswered::Invalid(_) | Unanswered::NoRandom(_) => Blame::Request,
        Unanswered::NoStreaming => Blame::Nobody,
        Unanswered::Compute(error) => match error {
            ComputeError::Offline => Blame::Absence(Presence::Away),
            ComputeError::Starting => Blame::Absence(Presence::Starting),
            ComputeError::TooLarge | ComputeError::Full => Blame::Nobody,
            ComputeError::Unavailable { .. } => Blame::Endpoint(Fault::Unreachable),
            ComputeError::Refused(_) | ComputeError::Failed(_) | ComputeError::Unreadable(_) => {
                Blame::Endpoint(Fault::Failed)
            }
        },
    }
}

/// The model's server refused the request in words that are no JSON.
fn of_model(served: &Served, error: &ModelError) -> Refusal {
    let (slug, status, text) = (&served.endpoint.slug, error.status, &error.text);
    if !status.is_client_error() {
        // Its words may quote the prompt.
        let (status, length) = (status.as_u16(), text.len());
        tracing::warn!(endpoint = slug, status, length, "the model failed");
        return Refusal::bad_gateway(format!(
            "The model behind endpoint {slug} failed with status {status}."
        ));
    }
    let said = if text.is_empty() { ".".to_owned() } else { format!(": {text}") };
    let message = format!("The model behind endpoint {slug} refused the request{said}");
    Refusal::new(status, "model_refused", message).quoting()
}

fn refusal(served: &Served, error: Unanswered) -> Refusal {
    let slug = &served.endpoint.slug;
    match error {
        Unanswered::Compute(error) => remote::refusal(&format!("Endpoint {slug}"), &error),
        Unanswered::Model(error) => of_model(served, &error),
        Unanswered::NoStreaming => Refusal::new(
            StatusCode::BAD_REQUEST,
            "streaming_not_available",
            format!(
                "Endpoint {slug} cannot stream: its cluster has no way back to this gateway. Ask \
                 again without \"stream\", or ask the operator to set \
                 globus_compute.streaming_public_url."
            ),
        )
        .param("stream"),
        Unanswered::NothingCame => Refusal::bad_gateway(format!(
            "The model behind endpoint {slug} answered, but its stream did not reach this gateway; \
             its operator has been told. It may answer without \"stream\"."
        )),
        Unanswered::Invalid(error) => Refusal::new(
            StatusCode::BAD_REQUEST,
            "invalid_json",
            format!("The body of the request cannot be sent on: {error}"),
        ),
        Unanswered::NoRandom(error) => {
            tracing::error!(%error, "no random bytes for a stream's token");
            let message = "This gateway cannot open a stream at present; try again.";
            Refusal::unavailable("streaming_not_available", message, STREAM_RETRY)
        }
    }
}
