//! The account of one inference request: opened when its endpoint is known, closed exactly once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;

use super::{
    Head,
    lines::Line,
    meters::EndpointMeters,
    refusal::Refusal,
    relay::usage::ReportedUsage,
    routing::{Fault, Stay},
    spans::{self, Leg},
    transcript::Transcript,
};
use crate::{
    domain::{TokenCount, UsageRow},
    limits::{Reservation, Standing},
    store::RowWriter,
    telemetry::scope::{self, Entered, Scope},
};

/// The status written when the caller hung up before any was sent (nginx's convention).
pub const CALLER_HUNG_UP: u16 = 499;

/// Bytes of text per token, for the rough count of a prompt or an answer that nobody counted.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// Counts requests from the choice of their endpoint to their end.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<()>);

impl InFlight {
    /// One more, until what is returned is dropped.
    #[must_use]
    pub fn enter(&self) -> Self {
        self.clone()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Where an account is written when it is closed.
#[derive(Debug)]
pub struct Books {
    /// Takes the row.
    pub sink: RowWriter,
    /// The endpoint's metrics.
    pub meters: Arc<EndpointMeters>,
    /// Counts the request until its account is closed.
    pub in_flight: InFlight,
    /// The request's stay at the endpoint that it was sent to.
    pub stay: Option<Stay>,
    /// Tokens reserved there.
    pub reservation: Option<Reservation>,
    /// The request's head, when there is to be a line in the log.
    pub head: Option<Arc<Head>>,
}

/// An open account. Dropping it means that the caller hung up.
#[derive(Debug)]
pub struct Record {
    row: Option<UsageRow>,
    started: Instant,
    scope: Arc<Scope>,
    /// What of the time since then was not figw's own.
    elsewhere: Duration,
    /// Since when the request is at an endpoint that has not answered yet.
    asking_since: Option<Instant>,
    /// The request at its endpoint, as a trace has it.
    leg: Option<Leg>,
    books: Option<Books>,
    /// What the back end reported so far.
    pub usage: ReportedUsage,
    prompt_bytes: u64,
    events: u64,
    /// What is stored of the texts, if anything is.
    transcript: Option<Transcript>,
}

impl Record {
    /// Opens the account; `row` holds what is known from the request.
    #[must_use]
    pub fn open(
        row: UsageRow,
        head: &Head,
        prompt_bytes: u64,
        transcript: Option<Transcript>,
        books: Books,
    ) -> Self {
        let usage = ReportedUsage::default();
        Self {
            row: Some(row),
            started: head.started,
            scope: Arc::clone(&head.scope),
            elsewhere: Duration::ZERO,
            asking_since: None,
            leg: None,
            books: Some(books),
            usage,
            prompt_bytes,
            events: 0,
            transcript,
        }
    }

    /// When the request's head had been read.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// Lines of the log belong to this request, until what is returned is dropped.
    #[must_use]
    pub fn enter(&self) -> Entered {
        scope::enter(&self.scope)
    }

    /// So long others were waited for.
    pub fn waited(&mut self, time: Duration) {
        self.elsewhere += time;
    }

    /// From now on the endpoint is waited for.
    pub(super) fn asks(&mut self, leg: Option<Leg>) {
        self.leg = leg;
        self.asking_since = Some(Instant::now());
    }

    /// What can be held back of its answer is there, or it is waited for no longer.
    pub fn heard(&mut self) {
        if let Some(since) = self.asking_since.take() {
            self.elsewhere += since.elapsed();
        }
    }

    /// The endpoint's answer begins to go out.
    pub fn handed_on(&mut self) {
        self.heard();
        if let (Some(row), Some(books)) = (&self.row, &self.books) {
            let overhead = self.started.elapsed().saturating_sub(self.elsewhere);
            books.meters.handed_on(row.route, overhead);
        }
    }

    /// The request is being sent to this endpoint, the first one or another.
    pub fn sent_to(&mut self, line: &Line, stay: Stay) {
        let (Some(row), Some(books)) = (&mut self.row, &mut self.books) else { return };
        row.cluster = Arc::clone(&line.names.cluster);
        row.framework = Arc::clone(&line.names.framework);
        row.endpoint = Arc::clone(&line.names.endpoint);
        row.backend_status = None;
        row.first_byte_us = None;
        books.meters = Arc::clone(&line.meters);
        books.stay = Some(stay);
        self.usage = ReportedUsage::default();
        self.events = 0;
    }

    /// Tokens are reserved for it at the endpoint, until its account is closed or it goes to another.
    pub fn reserved(&mut self, reservation: Option<Reservation>) {
        if let Some(books) = &mut self.books {
            books.reservation = reservation;
        }
    }

    /// How far the limits on tokens are used up, where there are any.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.books.as_ref()?.reservation.as_ref()?.standing()
    }

    /// The endpoint answered as it should.
    pub fn well_answered(&mut self) {
        if let Some(stay) = self.stay() {
            stay.answered();
        }
    }

    /// The endpoint failed, before its answer or in the middle of it.
    pub fn endpoint_failed(&mut self, fault: Fault) {
        if let Some(stay) = self.stay() {
            stay.failed(fault);
        }
    }

    /// The request has left its endpoint, and may go to another.
    pub fn left(&mut self) {
        self.heard();
        if let (Some(leg), Some(row)) = (self.leg.take(), &self.row) {
            leg.end(row, Some("the request left without its answer"));
        }
        if let Some(books) = &mut self.books {
            books.stay = None;
            books.reservation = None;
        }
    }

    fn stay(&mut self) -> Option<&mut Stay> {
        self.books.as_mut()?.stay.as_mut()
    }

    /// The back end's answer has begun.
    pub fn answered(&mut self, status: StatusCode) {
        if let Some(row) = &mut self.row {
            row.backend_status = Some(status.as_u16());
        }
    }

    /// The status the caller is about to get.
    pub fn replied(&mut self, status: StatusCode) {
        if let Some(row) = &mut self.row {
            row.status = status.as_u16();
        }
    }

    /// A piece of the answer's body has come from the back end.
    pub fn received(&mut self, events: u64) {
        self.events += events;
        if let Some(row) = &mut self.row
            && row.first_byte_us.is_none()
        {
            row.first_byte_us = Some(micros_since(self.started));
            if let Some(stay) = self.stay() {
                stay.alive();
            }
        }
    }

    /// A piece of the answer's body goes out to the caller.
    pub fn sent(&mut self, bytes: &[u8]) {
        if let Some(row) = &mut self.row {
            row.response_bytes += bytes.len() as u64;
        }
        if let Some(transcript) = &mut self.transcript {
            transcript.answered(bytes);
        }
    }

    /// Closes the account of a request that got no answer, and hands the refusal on.
    #[must_use]
    pub fn refuse(mut self, refusal: Refusal) -> Refusal {
        self.replied(refusal.status);
        self.close_quoting(refusal.for_log(), refusal.message.clone());
        refusal
    }

    /// Closes the account; a second call does nothing.
    pub fn close(&mut self, error: Option<String>) {
        self.end(error, None);
    }

    /// The same for an error in words of the caller or of a back end, which only the row may hold.
    pub fn close_quoting(&mut self, logged: &str, error: String) {
        self.end(Some(logged.to_owned()), Some(error));
    }

    /// `error` goes everywhere, or where `stored` is given, everywhere but into the row.
    fn end(&mut self, error: Option<String>, stored: Option<String>) {
        let (Some(mut row), Some(books)) = (self.row.take(), self.books.take()) else { return };
        row.duration_us = micros_since(self.started);
        row.error = error;
        row.tokens = self.tokens(&row);
        if let Some(reservation) = books.reservation {
            // A caller who hangs up before the answer begins does not end what was begun for it.
            if row.status == CALLER_HUNG_UP && row.backend_status.is_none() {
                reservation.keep();
            } else {
                reservation.settle(row.tokens.prompt.saturating_add(row.tokens.completion));
            }
        }
        books.meters.closed(&row);
        if let Some(leg) = self.leg.take() {
            leg.end(&row, row.error.as_deref());
        }
        if let Some(trace) = self.scope.trace {
            spans::end(trace, &row);
        }
        if let Some(transcript) = self.transcript.take() {
            books.sink.record_prompt(transcript.into_row(&row));
        }
        if let Some(head) = books.head {
            head.log_inference(&row);
        }
        row.error = stored.or(row.error);
        books.sink.record_usage(row);
    }

    /// Tokens as reported, or else estimated from what went by. A request that no back end began
    /// to answer well used none.
    fn tokens(&self, row: &UsageRow) -> TokenCount {
        let answered = row.backend_status.is_some_and(|status| (200..300).contains(&status));
        if !answered || (row.status >= 500 && self.usage.is_empty()) {
            return TokenCount::default();
        }
        let completion = match (row.route.streams(), row.streamed) {
            (false, _) => 0,
            // Back ends send a token, now and then a few, in each event.
            (true, true) => self.events,
            (true, false) => row.response_bytes / BYTES_PER_TOKEN,
        };
        let prompt = self.prompt_bytes.div_ceil(BYTES_PER_TOKEN);
        self.usage.or_estimate(TokenCount { prompt, completion, estimated: true })
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.close(Some("the caller hung up".to_owned()));
    }
}

/// Whole microseconds since `start`.
#[must_use]
pub fn micros_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}
