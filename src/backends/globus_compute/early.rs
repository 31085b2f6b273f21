//! Results that arrive before the answer to their own submit: the broker can be faster.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::globus::results::Outcome;

/// No answer to a submit comes later than this.
const KEPT: Duration = Duration::from_secs(70);

/// Most results kept.
const MOST: usize = 4_096;

/// Most bytes kept.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Results without a known task. What is too old or too much is forgotten, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Early {
    outcomes: HashMap<Uuid, Outcome>,
    order: VecDeque<(Instant, Uuid)>,
    bytes: usize,
}

impl Early {
    /// Keeps a result; the first one of a task counts.
    pub(super) fn keep(&mut self, id: Uuid, outcome: Outcome, now: Instant) {
        if self.outcomes.contains_key(&id) {
            return;
        }
        self.bytes += outcome.len();
        self.outcomes.insert(id, outcome);
        self.order.push_back((now, id));
        self.shrink(now);
    }

    /// Hands a task's result out.
    pub(super) fn take(&mut self, id: Uuid) -> Option<Outcome> {
        let outcome = self.outcomes.remove(&id)?;
        self.bytes -= outcome.len();
        Some(outcome)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn shrink(&mut self, now: Instant) {
        while let Some((kept_at, id)) = self.order.front().copied() {
            let taken = !self.outcomes.contains_key(&id);
            let old = now.saturating_duration_since(kept_at) > KEPT;
            if !(taken || old || self.order.len() > MOST || self.bytes > MOST_BYTES) {
                break;
            }
            self.order.pop_front();
            self.take(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(length: usize) -> Outcome {
        Outcome::Returned("x".repeat(length))
    }

    #[test]
    fn a_result_is_handed_out_once() {
        let mut early = Early::default();
        let id = Uuid::new_v4();
        early.keep(id, outcome(1), Instant::now());
        assert_eq!(early.take(id), Some(outcome(1)));
        assert_eq!(early.take(id), None);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many_or_they_are_too_long() {
        let mut early = Early::default();
        let now = Instant::now();
        let ids: Vec<_> = (0..=MOST).map(|_| Uuid::new_v4()).collect();
        for id in &ids {
            early.keep(*id, outcome(1), now);
        }
        assert_eq!(early.take(ids[0]), None);
        assert!(early.take(ids[MOST]).is_some());

        let big = [Uuid::new_v4(), Uuid::new_v4()];
        for id in big {
            early.keep(id, outcome(MOST_BYTES * 2 / 3), now);
        }
        assert_eq!(early.take(big[0]), None);
        assert!(early.take(big[1]).is_some());
        assert_eq!(early.bytes, early.outcomes.values().map(Outcome::len).sum::<usize>());
    }

    #[test]
    fn nothing_is_kept_for_long() {
        let mut early = Early::default();
        let now = Instant::now();
        let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
        early.keep(old, outcome(1), now);
        early.keep(new, outcome(1), now + KEPT + Duration::from_secs(1));
        assert_eq!(early.take(old), None);
        assert!(early.take(new).is_some());
    }
}
