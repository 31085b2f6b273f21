//! From a back end's answer to what the caller gets.

use std::{collections::VecDeque, sync::atomic::AtomicBool, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::{
    budgets::Budgets,
    miss::{Blame, Miss},
    record::Record,
    refusal::Refusal,
    relay::{
        EventRelay, FirstEvents, LongRelay,
        usage::Document,
        whole::{self, Begun, Spoilt},
    },
};
use crate::{
    backends::{Answer, AnswerBody, headers},
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

/// An answer that can be handed on to the caller; nothing of it has gone out yet.
#[derive(Debug)]
pub struct Ready {
    /// The back end's status.
    pub status: StatusCode,
    headers: HeaderMap,
    body: ReadyBody,
    budgets: Budgets,
}

#[derive(Debug)]
enum ReadyBody {
    Whole(Bytes),
    Events(FirstEvents),
    Long(VecDeque<Bytes>, AnswerBody),
}

/// Looks at the back end's answer, and reads as much of it as can be held back. Sets `begun` when the
/// first bytes of its body have come.
///
/// # Errors
/// When the back end failed, or answered something that is no answer.
pub async fn ready(
    answer: Answer,
    route: Route,
    stream: bool,
    record: &mut Record,
    budgets: Budgets,
    begun: &AtomicBool,
) -> Result<Ready, Miss> {
    acceptable(&answer, stream)?;
    let status = answer.status;
    let headers = headers::to_caller(&answer.headers);
    if stream && status.is_success() {
        let deadline = record.started() + budgets.first_byte.min(budgets.total);
        let first = FirstEvents::wait_for(answer.body, deadline).await?;
        record.heard();
        return Ok(Ready { status, headers, body: ReadyBody::Events(first), budgets });
    }
    let begun = whole::begin(answer.body, record, budgets, begun).await?;
    record.heard();
    let body = match begun {
        Begun::Whole(bytes) => {
            if status.is_success() {
                read(&bytes, route, record).map_err(Refusal::failed)?;
            }
            ReadyBody::Whole(bytes)
        }
        Begun::Long(begun, rest) => ReadyBody::Long(begun, rest),
    };
    Ok(Ready { status, headers, body, budgets })
}

impl Ready {
    /// How long the back end asks to be left alone, when it has too much to do.
    #[must_use]
    pub fn too_busy(&self) -> Option<Option<Duration>> {
        (self.status == StatusCode::TOO_MANY_REQUESTS).then(|| retry_after(&self.headers))
    }

    /// Hands the answer on, naming the endpoint that gave it, and sees to its account being closed.
    #[must_use]
    pub fn hand_on(
        self,
        endpoint: Option<HeaderValue>,
        route: Route,
        hide_usage: bool,
        mut record: Record,
    ) -> Reply {
        record.handed_on();
        let Self { status, mut headers, body, budgets } = self;
        if let Some(endpoint) = endpoint {
            headers.insert("x-figw-endpoint", endpoint);
        }
        let body = match body {
            ReadyBody::Whole(bytes) => {
                record.replied(status);
                record.sent(&bytes);
                record.close((!status.is_success()).then(|| "the back end refused it".to_owned()));
                ReplyBody::Whole(bytes)
            }
            ReadyBody::Long(begun, rest) => {
                record.replied(status);
                ReplyBody::Long(Box::new(LongRelay::new(begun, rest, record, budgets)))
            }
            ReadyBody::Events(first) => {
                let relay = EventRelay::new(first, route, hide_usage, record, budgets);
                ReplyBody::Events(Box::new(relay))
            }
        };
        Reply { status, headers, body }
    }
}

/// Whether the answer's head is one that can be handed on.
fn acceptable(answer: &Answer, stream: bool) -> Result<(), Miss> {
    let status = answer.status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let refusal = Refusal::new(status, "backend_unavailable", "The back end is not available.");
        return Err(with_retry(refusal, answer).failed());
    }
    if !status.is_success() && !status.is_client_error() {
        let message = format!("The back end failed with status {}.", status.as_u16());
        let refusal = with_retry(Refusal::bad_gateway(message), answer);
        // What it has never learned to do, or does elsewhere, is no failure.
        let failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        return Err(if failed { refusal.failed() } else { refusal.blamed_on(Blame::Nobody) });
    }
    if status.is_client_error() {
        return Ok(());
    }
    let expected = if stream { "text/event-stream" } else { "application/json" };
    match media_type(&answer.headers) {
        Some(found) if found.eq_ignore_ascii_case(expected) => Ok(()),
        Some(found) => Err(Refusal::bad_gateway(format!(
            "The back end answered with '{found}' instead of {expected}."
        ))
        .quoting()
        .failed()),
        None => Err(Refusal::bad_gateway(format!(
            "The back end did not say that its answer is {expected}."
        ))
        .failed()),
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.split(';').next().map(str::trim)
}

fn with_retry(refusal: Refusal, answer: &Answer) -> Refusal {
    match (retry_after(&answer.headers), refusal.status) {
        (Some(after), _) => refusal.retry_after(after),
        (None, StatusCode::SERVICE_UNAVAILABLE) => refusal.retry_after(Duration::from_secs(10)),
        (None, _) => refusal,
    }
}

/// How long a back end asks callers to wait, within reason.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds: u64 = text.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_RETRY)))
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

impl From<Spoilt> for Miss {
    fn from(spoilt: Spoilt) -> Self {
        let refusal = match spoilt {
            Spoilt::TooSlow => Refusal::too_slow("The back end did not finish its answer in time."),
            Spoilt::Broken(reason) => {
                tracing::warn!(reason, "an answer broke");
                Refusal::bad_gateway("The back end broke off in the middle of its answer.")
            }
        };
        refusal.failed()
    }
}
