//! Many requests, one question: whoever asks about a token while somebody is asking already waits
//! for the same answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::Verdict;
use crate::domain::KeyHash;

/// The questions under way.
#[derive(Debug, Default)]
pub(super) struct Flights {
    waiting: Mutex<HashMap<KeyHash, UnderWay>>,
}

#[derive(Debug)]
struct UnderWay {
    since: Instant,
    answer: Waiting,
}

/// Waits for an answer.
pub(super) type Waiting = watch::Receiver<Option<Verdict>>;

/// What becomes of somebody who asks.
pub(super) enum Boarding {
    /// The answer has come meanwhile.
    Answered(Verdict),
    /// Somebody is asking.
    Waits(Waiting),
    /// Nobody is asking: it must be done now.
    Asks(Waiting, Flight),
    /// Too many questions are under way.
    Full,
}

/// A question under way. Dropping it ends the wait of all, whatever has happened.
pub(super) struct Flight {
    flights: Arc<Flights>,
    token: KeyHash,
    answer: watch::Sender<Option<Verdict>>,
}

impl Flights {
    /// Joins whoever asks about `token`, or begins to ask unless `most` are asking already.
    /// `remembered` looks for an answer that has come in just before.
    pub(super) fn board(
        self: &Arc<Self>,
        token: KeyHash,
        most: usize,
        remembered: impl FnOnce() -> Option<Verdict>,
    ) -> Boarding {
        let mut waiting = self.lock();
        if let Some(flight) = waiting.get(&token) {
            return Boarding::Waits(flight.answer.clone());
        }
        // An answer is remembered before its flight leaves the list, so it is in one or the other.
        if let Some(verdict) = remembered() {
            return Boarding::Answered(verdict);
        }
        if waiting.len() >= most {
            return Boarding::Full;
        }
        let (answer, receiver) = watch::channel(None);
        waiting.insert(token, UnderWay { since: Instant::now(), answer: receiver.clone() });
        Boarding::Asks(receiver, Flight { flights: Arc::clone(self), token, answer })
    }

    /// For how long somebody has been asking about `token`.
    pub(super) fn age(&self, token: &KeyHash) -> Duration {
        self.lock().get(token).map_or(Duration::ZERO, |flight| flight.since.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<KeyHash, UnderWay>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Tells everybody who waits.
    pub(super) fn land(self, verdict: Verdict) {
        self.answer.send_replace(Some(verdict));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.token);
    }
}
