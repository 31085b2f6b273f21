//! What has been posted for one stream and waits to be read.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use secrecy::SecretString;
use uuid::Uuid;

use super::{StreamHub, framer::Framer, instance::Instance};

/// Most bytes that wait for a caller who reads slowly. The function on the cluster does not wait for
/// anybody, so a stream that has fallen behind this far cannot be completed.
pub const MOST_WAITING: usize = 8 * 1024 * 1024;

/// What a piece takes in memory besides its bytes, roughly.
const PIECE: usize = 64;

/// What is read from an [`Inbox`].
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Whole server-sent events.
    Events(Bytes),
    /// Nothing follows.
    End(End),
}

/// How a stream was ended by posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The function has sent everything.
    Done,
    /// The function failed; its own words, which are not for callers.
    Failed(String),
    /// More than [`MOST_WAITING`] bytes waited to be read.
    Overrun,
    /// An instance that got a post could not pass it on.
    Lost,
}

/// One open stream, as the hub knows it.
pub(super) struct Stream {
    pub(super) token: SecretString,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    framer: Framer,
    waiting: VecDeque<Bytes>,
    size: usize,
    lines: u64,
    end: Option<End>,
    reader: Option<Waker>,
    /// The last number of each instance that has passed posts on.
    heard: Vec<(Instance, u64)>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(token: SecretString) -> Self {
        Self { token, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a question of another instance; false when it is not newer than the last one. A function
    /// waits for each answer, so older questions are repeated by somebody who has recorded them.
    pub(super) fn hear(&self, asker: Instance, number: u64) -> bool {
        let mut state = self.state();
        match state.heard.iter_mut().find(|(known, _)| *known == asker) {
            Some((_, last)) if *last >= number => return false,
            Some((_, last)) => *last = number,
            None => state.heard.push((asker, number)),
        }
        true
    }

    /// Takes lines of the model's stream; false when the stream has ended.
    pub(super) fn push(&self, lines: &str) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        let framed = state.framer.push(lines);
        state.lines += framed.lines;
        if framed.events.is_empty() {
            return true;
        }
        state.size += framed.events.len() + PIECE;
        state.waiting.push_back(framed.events.into());
        let taken = state.size <= MOST_WAITING;
        if !taken {
            state.waiting = VecDeque::new();
            state.end = Some(End::Overrun);
        }
        wake(state);
        taken
    }

    /// Ends the stream; false when it has ended already.
    pub(super) fn end(&self, end: End) -> bool {
        let mut state = self.state();
        if state.end.is_some() {
            return false;
        }
        state.end = Some(end);
        wake(state);
        true
    }
}

/// Wakes the reader, without the lock that it is going to take.
fn wake(mut state: MutexGuard<'_, State>) {
    let reader = state.reader.take();
    drop(state);
    if let Some(reader) = reader {
        reader.wake();
    }
}

/// The reading end of a stream. Dropping it closes the stream: later posts are refused.
#[derive(Debug)]
pub struct Inbox {
    pub(super) hub: StreamHub,
    pub(super) task: Uuid,
    pub(super) stream: Arc<Stream>,
    /// How often posts could not be passed on before this stream was opened.
    pub(super) outages: u64,
}

impl Inbox {
    /// The next piece, once there is one; [`Piece::End`] again and again at the end.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut state = self.stream.state();
        if let Some(events) = state.waiting.pop_front() {
            state.size -= events.len() + PIECE;
            return Poll::Ready(Piece::Events(events));
        }
        if let Some(end) = &state.end {
            return Poll::Ready(Piece::End(end.clone()));
        }
        match &mut state.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            reader => *reader = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether posts that reached other instances may have been lost on the way here.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.hub.is_cut_off() || self.hub.outages() != self.outages
    }

    /// How many lines of the model's stream have come so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.stream.state().lines
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.hub.forget(self.task);
    }
}
