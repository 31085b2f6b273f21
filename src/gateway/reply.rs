//! From a back end's answer to what the caller gets.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    budgets::Budgets,
    record::Record,
    refusal::Refusal,
    relay::{
        EventRelay, LongRelay,
        usage::Document,
        whole::{self, Begun, Spoilt},
    },
};
use crate::{
    backends::{Answer, headers},
    domain::Route,
};

/// The longest wait, in seconds, that a back end may ask callers for.
const LONGEST_RETRY: u64 = 3600;

/// What the caller gets.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

/// The body of a [`Reply`].
#[derive(Debug)]
pub enum ReplyBody {
    /// All of it.
    Whole(Bytes),
    /// Events as they come.
    Events(Box<EventRelay>),
    /// A long body as it comes.
    Long(Box<LongRelay>),
}

/// Turns the back end's answer into the reply, and sees to its account being closed.
///
/// # Errors
/// When the back end failed, or answered something that is no answer.
pub async fn reply(
    answer: Answer,
    route: Route,
    stream: bool,
    hide_usage: bool,
    mut record: Record,
    budgets: Budgets,
) -> Result<Reply, Refusal> {
    if let Err(refusal) = acceptable(&answer, stream) {
        return Err(record.refuse(refusal));
    }
    let status = answer.status;
    let headers = headers::to_caller(&answer.headers);
    if stream && status.is_success() {
        let relay = EventRelay::begin(answer.body, route, hide_usage, record, budgets).await?;
        return Ok(Reply { status, headers, body: ReplyBody::Events(Box::new(relay)) });
    }
    let body = match whole::begin(answer.body, &mut record, budgets).await {
        Err(spoilt) => return Err(record.refuse(spoilt.into())),
        Ok(Begun::Whole(bytes)) => {
            if status.is_success()
                && let Err(refusal) = read(&bytes, route, &mut record)
            {
                return Err(record.refuse(refusal));
            }
            record.replied(status);
            record.sent(bytes.len());
            record.close((!status.is_success()).then(|| "the back end refused it".to_owned()));
            ReplyBody::Whole(bytes)
        }
        Ok(Begun::Long(begun, rest)) => {
            record.replied(status);
            ReplyBody::Long(Box::new(LongRelay::new(begun, rest, record, budgets)))
        }
    };
    Ok(Reply { status, headers, body })
}

/// Whether the answer's head is one that can be handed on.
fn acceptable(answer: &Answer, stream: bool) -> Result<(), Refusal> {
    let status = answer.status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let refusal = Refusal::new(status, "backend_unavailable", "The back end is not available.");
        return Err(with_retry(refusal, answer));
    }
    if !status.is_success() && !status.is_client_error() {
        let message = format!("The back end failed with status {}.", status.as_u16());
        return Err(with_retry(Refusal::bad_gateway(message), answer));
    }
    if status.is_client_error() {
        return Ok(());
    }
    let expected = if stream { "text/event-stream" } else { "application/json" };
    match media_type(&answer.headers) {
        Some(found) if found.eq_ignore_ascii_case(expected) => Ok(()),
        Some(found) => Err(Refusal::bad_gateway(format!(
            "The back end answered with '{found}' instead of {expected}."
        ))),
        None => Err(Refusal::bad_gateway(format!(
            "The back end did not say that its answer is {expected}."
        ))),
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

fn with_retry(refusal: Refusal, answer: &Answer) -> Refusal {
    let seconds = answer
        .headers
        .get(header::RETRY_AFTER)
        .map(HeaderValue::to_str)
        .and_then(Result::ok)
        .and_then(|text| text.trim().parse::<u64>().ok())
        .map(|seconds| seconds.min(LONGEST_RETRY));
    match (seconds, refusal.status) {
        (Some(seconds), _) => refusal.retry_after(std::time::Duration::from_secs(seconds)),
        (None, StatusCode::SERVICE_UNAVAILABLE) => {
            refusal.retry_after(std::time::Duration::from_secs(10))
        }
        (None, _) => refusal,
    }
}

/// Reads a whole answer: is it one, and what does it say of tokens?
fn read(bytes: &[u8], route: Route, record: &mut Record) -> Result<(), Refusal> {
    let document = Document::parse(bytes)
        .map_err(|_| Refusal::bad_gateway("The back end's answer is not a JSON object."))?;
    // A response that failed is an answer of the responses API; elsewhere an error is none.
    if document.is_error() && route != Route::Responses {
        return Err(Refusal::bad_gateway("The back end answered 200 with an error."));
    }
    record.usage.note(&document);
    Ok(())
}

impl From<Spoilt> for Refusal {
    fn from(spoilt: Spoilt) -> Self {
        match spoilt {
            Spoilt::TooSlow => Self::too_slow("The back end did not finish its answer in time."),
            Spoilt::Broken(reason) => {
                tracing::warn!(reason, "an answer broke");
                Self::bad_gateway("The back end broke off in the middle of its answer.")
            }
        }
    }
}
