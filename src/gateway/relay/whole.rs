//! An answer that is not a stream of events.
//!
//! Up to 1 MiB it is looked at as a whole before its head goes out, so that a broken one becomes
//! a clean 502. A longer one is relayed as it comes.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http_body::Body;
use http_body_util::BodyExt;
use memchr::memmem;
use tokio::time::Sleep;

use super::usage::Document;
use crate::{
    backends::{AnswerBody, BoxError},
    gateway::{budgets::Budgets, record::Record, routing::Fault},
    outbound::reason,
};

/// The longest answer that is looked at as a whole.
const MAX_LOOKED_AT: usize = 1024 * 1024;

/// How much of a longer answer's end is searched for its usage.
const TAIL: usize = 16 * 1024;

/// How much of its beginning is, when the end has none.
const HEAD: usize = 4 * 1024;

/// The field that is searched for.
const NAME: &[u8] = b"\"usage\"";

/// What has been read of an answer.
#[derive(Debug)]
pub enum Begun {
    /// All of it.
    Whole(Bytes),
    /// More than is looked at; the rest is still to come.
    Long(VecDeque<Bytes>, AnswerBody),
}

/// Why an answer cannot be handed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoilt {
    /// The connection broke.
    Broken(String),
    /// A budget ran out.
    TooSlow,
}

/// Reads an answer to its end, or until it is too long to be looked at. Sets `begun` when its first
/// bytes have come.
///
/// # Errors
/// When the connection breaks or a budget runs out.
pub async fn begin(
    mut body: AnswerBody,
    record: &mut Record,
    budgets: Budgets,
    begun: &AtomicBool,
) -> Result<Begun, Spoilt> {
    let mut parts = VecDeque::new();
    let mut length = 0;
    let total = record.started() + budgets.total;
    let mut pause = budgets.first_byte;
    loop {
        let deadline = total.min(Instant::now() + pause);
        let Ok(frame) = tokio::time::timeout_at(deadline.into(), body.frame()).await else {
            return Err(Spoilt::TooSlow);
        };
        pause = budgets.idle;
        match frame {
            None => return Ok(Begun::Whole(joined(parts, length))),
            Some(Err(error)) => return Err(Spoilt::Broken(reason(&*error))),
            Some(Ok(frame)) => {
                let Ok(bytes) = frame.into_data() else { continue };
                begun.store(true, Relaxed);
                record.received(0);
                length += bytes.len();
                parts.push_back(bytes);
                if length > MAX_LOOKED_AT {
                    return Ok(Begun::Long(parts, body));
                }
            }
        }
    }
}

fn joined(mut parts: VecDeque<Bytes>, length: usize) -> Bytes {
    if parts.len() == 1 {
        return parts.pop_front().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(length);
    for part in &parts {
        whole.extend_from_slice(part);
    }
    whole.freeze()
}

/// A long answer, relayed as it comes. The caller sees a cut connection where it breaks.
#[derive(Debug)]
pub struct LongRelay {
    body: Option<AnswerBody>,
    begun: VecDeque<Bytes>,
    /// The beginning of the answer.
    head: Bytes,
    tail: BytesMut,
    record: Record,
    budgets: Budgets,
    timer: Pin<Box<Sleep>>,
}

impl LongRelay {
    /// Goes on with an answer of which `begun` has been read.
    #[must_use]
    pub fn new(begun: VecDeque<Bytes>, body: AnswerBody, record: Record, budgets: Budgets) -> Self {
        let timer = Box::pin(tokio::time::sleep(budgets.idle));
        let head = begun.front().map(|part| part.slice(..part.len().min(HEAD))).unwrap_or_default();
        Self { body: Some(body), begun, head, tail: BytesMut::new(), record, budgets, timer }
    }

    fn pass(&mut self, bytes: Bytes) -> Bytes {
        self.record.sent(&bytes);
        let kept = &bytes[bytes.len().saturating_sub(TAIL)..];
        if self.tail.len() + kept.len() > 2 * TAIL {
            let surplus = self.tail.len().saturating_sub(TAIL);
            self.tail = BytesMut::from(&self.tail[surplus..]);
        }
        self.tail.extend_from_slice(kept);
        let total = self.record.started() + self.budgets.total;
        let next = total.min(Instant::now() + self.budgets.idle);
        self.timer.as_mut().reset(next.into());
        bytes
    }

    /// Takes the usage from the object behind the last `"usage":` of the answer's end, or else
    /// behind the first of its beginning.
    fn note_usage(&mut self) {
        let tail = memmem::rfind(&self.tail, NAME).map(|at| &self.tail[at..]);
        let head = || memmem::find(&self.head, NAME).map(|at| &self.head[at..]);
        let Some(found) = tail.or_else(head) else { return };
        let fragment = [b"{", found.trim_ascii_end()].concat();
        // What follows the usage closes the answer; the first whole object is all that is wanted.
        let mut documents = serde_json::Deserializer::from_slice(&fragment).into_iter();
        if let Some(Ok(document)) = documents.next() {
            let document: Document<'_> = document;
            self.record.usage.note(&document);
        }
    }

    fn fail(&mut self, why: &str) -> Poll<Option<Result<Bytes, BoxError>>> {
        self.body = None;
        self.record.endpoint_failed(Fault::Failed);
        self.record.close(Some(why.to_owned()));
        Poll::Ready(Some(Err(why.into())))
    }
}

impl Stream for LongRelay {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let _at = self.record.enter();
        if let Some(bytes) = self.begun.pop_front() {
            return Poll::Ready(Some(Ok(self.pass(bytes))));
        }
        loop {
            let Some(body) = &mut self.body else { return Poll::Ready(None) };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Poll::Ready(Some(Ok(self.pass(bytes))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::warn!(error = reason(&*error), "an answer broke");
                    return self.fail("the back end's answer broke");
                }
                Poll::Ready(None) => {
                    self.body = None;
                    self.note_usage();
                    self.record.close(None);
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(cx));
                    return self.fail("the back end was too slow");
                }
            }
        }
    }
}
