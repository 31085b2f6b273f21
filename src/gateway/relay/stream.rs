//! A streamed answer on its way to the caller.
//!
//! Nothing is queued: the caller's connection pulls, and what it does not pull stays with the back
//! end. When the connection goes, this is dropped, and with it the back end's request.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;
use http_body_util::BodyExt;
use memchr::memmem;
use tokio::time::Sleep;

use super::{
    sse::{self, EventBuffer},
    usage::{Document, mentions_usage},
    whole::Spoilt,
};
use crate::{
    backends::{AnswerBody, BoxError, Told},
    domain::Route,
    gateway::{budgets::Budgets, record::Record, refusal::Refusal, routing::Fault},
    outbound::reason,
};

/// What is written down of an event that is longer than any should be.
const TOO_LONG: &str = "the back end sent an event longer than 4 MiB";

/// What is written down of a stream that holds an error of the back end.
const ERROR_REPORTED: &str = "the back end reported an error in its stream";

/// Server-sent events, relayed as they come.
#[derive(Debug)]
pub struct EventRelay {
    body: Option<AnswerBody>,
    events: EventBuffer,
    out: VecDeque<Bytes>,
    /// The last blocks of events that came, in which a good end shows.
    recent: [Bytes; 2],
    /// Whether the back end, not the caller, is being waited for.
    waiting: bool,
    /// Whether the back end was asked for its usage on our account, not the caller's.
    hide_usage: bool,
    route: Route,
    record: Record,
    budgets: Budgets,
    timer: Pin<Box<Sleep>>,
}

/// A stream of which the first events have come.
#[derive(Debug)]
pub struct FirstEvents {
    body: AnswerBody,
    events: EventBuffer,
    block: Bytes,
}

impl FirstEvents {
    /// Waits for the first event until `deadline`, so that a back end which fails before it gets an
    /// error of its own, or another one is asked, and nobody gets a stream that never was one.
    ///
    /// # Errors
    /// When the back end fails or stays silent before the first event, or begins with an error.
    pub async fn wait_for(mut body: AnswerBody, deadline: Instant) -> Result<Self, Spoilt> {
        let mut events = EventBuffer::default();
        let broken = |reason: &str| Spoilt::Broken(reason.to_owned());
        loop {
            let frame = tokio::time::timeout_at(deadline.into(), body.frame()).await;
            let frame = frame.map_err(|_| Spoilt::TooSlow)?;
            let frame = frame.ok_or_else(|| broken("it sent no event"))?;
            let frame = frame.map_err(|error| Spoilt::Broken(reason(&*error)))?;
            let Ok(bytes) = frame.into_data() else { continue };
            let block = events.push(bytes).map_err(|sse::EventTooLong| broken(TOO_LONG))?;
            if reports_error(&block) {
                return Err(broken(ERROR_REPORTED));
            }
            if !block.is_empty() {
                return Ok(Self { body, events, block });
            }
        }
    }
}

/// Whether one of the events is an error.
fn reports_error(block: &Bytes) -> bool {
    memmem::find(block, b"\"error\"").is_some()
        && sse::events(block.clone()).any(|event| {
            let document = sse::data(&event).and_then(|data| Document::parse(data).ok());
            document.is_some_and(|document| document.is_error())
        })
}

impl EventRelay {
    /// Goes on with a stream whose beginning is good.
    #[must_use]
    pub fn new(
        first: FirstEvents,
        route: Route,
        hide_usage: bool,
        record: Record,
        budgets: Budgets,
    ) -> Self {
        let mut relay = Self {
            body: Some(first.body),
            events: first.events,
            out: VecDeque::new(),
            recent: <[Bytes; 2]>::default(),
            waiting: false,
            hide_usage,
            route,
            record,
            budgets,
            timer: Box::pin(tokio::time::sleep(budgets.idle)),
        };
        relay.record.replied(http::StatusCode::OK);
        relay.take_events(first.block);
        relay
    }

    /// Takes in what the back end sent.
    fn take(&mut self, bytes: Bytes) {
        match self.events.push(bytes) {
            Ok(whole) => self.take_events(whole),
            Err(sse::EventTooLong) => self.fail(TOO_LONG),
        }
    }

    fn take_events(&mut self, block: Bytes) {
        self.record.received(sse::count(&block));
        if !block.is_empty() {
            self.recent = [std::mem::take(&mut self.recent[1]), block.clone()];
        }
        if !mentions_usage(&block) && memmem::find(&block, b"\"error\"").is_none() {
            self.send(block);
            return;
        }
        for event in sse::events(block) {
            let Some(document) = sse::data(&event).and_then(|d| Document::parse(d).ok()) else {
                self.send(event);
                continue;
            };
            self.record.usage.note(&document);
            let failed = document.is_error();
            if !(self.hide_usage && document.is_usage_only()) {
                self.send(event);
            }
            if failed {
                // Some back ends go on to say [DONE]; an answer that failed is not done.
                self.record.endpoint_failed(Fault::Failed);
                self.end(Some(ERROR_REPORTED.to_owned()));
                return;
            }
        }
    }

    fn send(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.record.sent(&bytes);
            self.out.push_back(bytes);
        }
    }

    /// The back end has failed in the middle of its answer.
    fn fail(&mut self, why: &str) {
        self.fail_quoting(why, why);
    }

    /// The same where the caller is told more than may be logged.
    fn fail_quoting(&mut self, logged: &str, told: &str) {
        self.record.endpoint_failed(Fault::Failed);
        self.break_off(logged, told);
    }

    /// Ends the stream with an error event; what is unfinished is left out.
    fn break_off(&mut self, logged: &str, told: &str) {
        let refusal = Refusal::bad_gateway(told);
        let event = match self.route {
            Route::Messages => format!("event: error\ndata: {}\n\n", refusal.anthropic_json()),
            _ => format!("data: {}\n\n", refusal.openai_json()),
        };
        self.send(event.into());
        self.body = None;
        self.record.close_quoting(logged, told.to_owned());
    }

    fn end(&mut self, error: Option<String>) {
        self.body = None;
        self.record.close(error);
    }

    /// The back end has closed its stream. What it left unfinished is finished for it; whether it
    /// had come to its end shows in the last events.
    fn finish(&mut self) {
        let rest = self.events.rest();
        if !rest.is_empty() {
            self.take_events([rest.trim_ascii_end(), b"\n\n"].concat().into());
        }
        if self.body.is_none() {
            return;
        }
        if self.recent.iter().any(|block| sse::is_ending(block)) {
            self.end(None);
        } else {
            self.fail("the back end's stream ended before its answer did");
        }
    }

    fn set_timer(&mut self) {
        let total = self.record.started() + self.budgets.total;
        let next = total.min(Instant::now() + self.budgets.idle);
        self.timer.as_mut().reset(next.into());
    }

    fn fail_slow(&mut self) {
        if self.record.started().elapsed() >= self.budgets.total {
            let why = "the answer took longer than a request may take";
            self.break_off(why, why);
        } else {
            self.fail("the back end went silent in the middle of its answer");
        }
    }
}

impl Stream for EventRelay {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let _at = self.record.enter();
        loop {
            if let Some(bytes) = self.out.pop_front() {
                return Poll::Ready(Some(Ok(bytes)));
            }
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            let polled = Pin::new(body).poll_frame(cx);
            self.waiting &= polled.is_pending();
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(bytes);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(error = reason(&*error), "a stream broke");
                    match error.downcast_ref::<Told>() {
                        Some(told) => self.fail_quoting(&told.what, &told.to_caller()),
                        None => self.fail("the back end's stream broke"),
                    }
                }
                Poll::Ready(None) => self.finish(),
                Poll::Pending => {
                    // The pause is counted from here, so that a slow caller's is not the back end's.
                    if !std::mem::replace(&mut self.waiting, true) {
                        self.set_timer();
                    }
                    ready!(self.timer.as_mut().poll(cx));
                    self.fail_slow();
                }
            }
        }
    }
}
