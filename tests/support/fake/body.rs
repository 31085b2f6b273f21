//! A response body played step by step.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::{record::Entry, socket::ResetMark};

/// What a body does next.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Sends these bytes, as one write.
    Send(Bytes),
    /// Sends nothing for a while; what was sent before goes out.
    Pause(Duration),
    /// Sends nothing ever more.
    Hang,
    /// Resets the connection.
    Reset,
}

/// Plays its steps, and tells the record when the last one is done.
pub(super) struct Played {
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Set after bytes were handed over: hyper writes them out only when it is kept waiting.
    sent: bool,
    entry: Option<Entry>,
    reset: ResetMark,
}

impl Played {
    pub(super) fn new(
        steps: impl IntoIterator<Item = Step>,
        mut entry: Option<Entry>,
        reset: ResetMark,
    ) -> Self {
        let steps: VecDeque<_> = steps.into_iter().collect();
        if let (true, Some(entry)) = (steps.is_empty(), &mut entry) {
            entry.complete();
        }
        Self { steps, pause: None, sent: false, entry, reset }
    }

    /// Hyper may stop asking once it has all that Content-Length announced, so the entry is
    /// completed with the last step and not with the end of the body.
    fn next_step(&mut self) -> Option<Step> {
        let step = self.steps.pop_front()?;
        let hangs = matches!(step, Step::Hang);
        if let (true, false, Some(entry)) = (self.steps.is_empty(), hangs, &mut self.entry) {
            entry.complete();
        }
        Some(step)
    }
}

impl Body for Played {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if std::mem::take(&mut self.sent) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.next_step() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => {
                    self.sent = true;
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Step::Pause(time)) => self.pause = Some(Box::pin(sleep(time))),
                Some(Step::Hang) => {
                    self.steps.push_front(Step::Hang);
                    // Nothing wakes this; hyper drops the body when the caller leaves.
                    return Poll::Pending;
                }
                Some(Step::Reset) => {
                    self.reset.set();
                    let cut = io::Error::other("the fake back end resets the connection");
                    return Poll::Ready(Some(Err(cut)));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none()
    }
}
