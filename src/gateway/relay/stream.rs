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
    gateway::{budgets::Budgets, record::Record, refusal::Refusal},
    outbound::reason,
};

/// Server-sent events, relayed as they come.
#[derive(Debug)]
pub struct EventRelay {
    body: Option<AnswerBody>,
    events: EventBuffer,
    out: VecDeque<Bytes>,
    /// The last blocks of events that came, in which a good end shows.
    recent: [Bytes; 2],
    /// Whether the caller has been told that there is an answer.
    begun: bool,
    /// Why it ended before it had begun.
    early_end: Option<String>,
    /// Whether the back end, not the caller, is being waited for.
    waiting: bool,
    /// Whether the back end was asked for its usage on our account, not the caller's.
    hide_usage: bool,
    route: Route,
    record: Record,
    budgets: Budgets,
    timer: Pin<Box<Sleep>>,
}

impl EventRelay {
    /// Waits for the first bytes, so that a back end which fails before them gets an error of its
    /// own and not a stream that never was one.
    ///
    /// # Errors
    /// When the back end fails or stays silent before the first byte.
    pub async fn begin(
        body: AnswerBody,
        route: Route,
        hide_usage: bool,
        record: Record,
        budgets: Budgets,
    ) -> Result<Self, Refusal> {
        let mut relay = Self::new(body, route, hide_usage, record, budgets);
        match std::future::poll_fn(|cx| relay.poll_first(cx)).await {
            Ok(()) => {
                relay.begun = true;
                relay.record.replied(http::StatusCode::OK);
                Ok(relay)
            }
            Err(spoilt) => Err(relay.record.refuse(spoilt.into())),
        }
    }

    /// Ready with the first whole event.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Spoilt>> {
        loop {
            if let Some(reason) = self.early_end.take() {
                return Poll::Ready(Err(Spoilt::Broken(reason)));
            }
            let Some(body) = self.body.as_mut().filter(|_| self.out.is_empty()) else {
                return Poll::Ready(Ok(()));
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.take(bytes);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Spoilt::Broken(reason(&*error))));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(Err(Spoilt::Broken("it sent no event".to_owned())));
                }
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(cx));
                    return Poll::Ready(Err(Spoilt::TooSlow));
                }
            }
        }
    }

    fn new(
        body: AnswerBody,
        route: Route,
        hide_usage: bool,
        record: Record,
        budgets: Budgets,
    ) -> Self {
        let first = record.started() + budgets.first_byte.min(budgets.total);
        Self {
            body: Some(body),
            events: EventBuffer::default(),
            out: VecDeque::new(),
            recent: <[Bytes; 2]>::default(),
            begun: false,
            early_end: None,
            waiting: true,
            hide_usage,
            route,
            record,
            budgets,
            timer: Box::pin(tokio::time::sleep_until(first.into())),
        }
    }

    /// Takes in what the back end sent.
    fn take(&mut self, bytes: Bytes) {
        match self.events.push(bytes) {
            Ok(whole) => self.take_events(whole),
            Err(sse::EventTooLong) => self.fail("the back end sent an event longer than 4 MiB"),
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
                self.end(Some("the back end reported an error in its stream".to_owned()));
                return;
            }
        }
    }

    fn send(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.record.sent(bytes.len());
            self.out.push_back(bytes);
        }
    }

    /// Ends the stream with an error event; what is unfinished is left out.
    fn fail(&mut self, why: &str) {
        let refusal = Refusal::bad_gateway(why);
        let event = match self.route {
            Route::Messages => format!("event: error\ndata: {}\n\n", refusal.anthropic_json()),
            _ => format!("data: {}\n\n", refusal.openai_json()),
        };
        self.send(event.into());
        self.end(Some(why.to_owned()));
    }

    /// Before the answer has begun there is still time for a refusal, which then closes the account.
    fn end(&mut self, error: Option<String>) {
        self.body = None;
        if self.begun {
            self.record.close(error);
        } else {
            self.early_end = error;
        }
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
            self.fail("the answer took longer than a request may take");
        } else {
            self.fail("the back end went silent in the middle of its answer");
        }
    }
}

impl Stream for EventRelay {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
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
                    let told = error.downcast_ref::<Told>().map(|told| told.0.as_str());
                    self.fail(told.unwrap_or("the back end's stream broke"));
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
