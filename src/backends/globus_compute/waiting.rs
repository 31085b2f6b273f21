//! Tasks whose results somebody waits for, and when each is to be asked for.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use metrics::{counter, gauge};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::early::Early;
use crate::globus::results::Outcome;

/// Without the broker: the first question comes this long after the submit, and then one each pace.
const FIRST_QUESTION: Duration = Duration::from_millis(500);
const PACE: Duration = Duration::from_secs(1);

/// A task that has been running for long is asked for every tenth of its age, up to this.
const SLOWEST_PACE: Duration = Duration::from_secs(10);

/// With the broker: a message can be lost, so that long tasks are asked for all the same.
const FIRST_CHECK: Duration = Duration::from_secs(10);
const CHECK_PACE: Duration = Duration::from_secs(30);

/// A task from this age on may have ended before the broker was found.
const OLD: Duration = Duration::from_secs(1);

/// A task that the service does not know is given this long: its result may be on its way.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// Most tasks that are remembered as ended before the answers to their submits come.
const MOST_EARLY_QUESTIONS: usize = 4_096;

/// The gauge of tasks that are waited for.
const IN_FLIGHT: &str = "figw_globus_tasks_in_flight";

/// How a result came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From the broker.
    Amqp,
    /// By asking.
    Rest,
}

/// Everything of one client that is waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<Uuid, Waiter>,
    early: Early,
    /// Tasks to be asked for as soon as they are known.
    early_questions: HashSet<Uuid>,
    /// Submits whose answers are still to come.
    submitting: usize,
    /// The task group whose queue is being read.
    consumed: Option<Uuid>,
}

#[derive(Debug)]
struct Waiter {
    to: oneshot::Sender<Outcome>,
    endpoint: Uuid,
    group: Option<Uuid>,
    since: Instant,
    asked_at: Option<Instant>,
    /// To be asked for at this time at the latest.
    ask_by: Option<Instant>,
    /// The service did not know it when it was asked.
    missed: bool,
}

/// A task to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) id: Uuid,
    /// Only to make sure: the broker should deliver its result by itself.
    pub(super) is_check: bool,
}

/// The right to one task's result. Dropping it gives that up.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) id: Uuid,
    result: oneshot::Receiver<Outcome>,
    waiting: Weak<Waiting>,
}

/// A submit under way: results of unknown tasks are kept meanwhile.
#[derive(Debug)]
pub(super) struct Submitting(Arc<Waiting>);

impl Waiting {
    /// Notes that a submit begins.
    pub(super) fn submitting(self: &Arc<Self>) -> Submitting {
        self.state().submitting += 1;
        Submitting(Arc::clone(self))
    }

    /// Delivers a result. A task that nobody waits for is no error: its caller has gone, it
    /// has its result already, or the answer to its submit is still under way.
    ///
    /// The task's endpoint, when somebody waited.
    pub(super) fn deliver(&self, id: Uuid, outcome: Outcome, source: Source) -> Option<Uuid> {
        let mut state = self.state();
        let Some(waiter) = state.open.remove(&id) else {
            if state.submitting > 0 {
                state.early.keep(id, outcome, Instant::now());
            }
            return None;
        };
        drop(state);
        gauge!(IN_FLIGHT).decrement(1.0);
        count(source);
        let _ = waiter.to.send(outcome);
        Some(waiter.endpoint)
    }

    /// From now on results of this group come from the broker's queue; `None`: they do not.
    ///
    /// Older tasks are asked for once: what the queue held for them may be lost.
    pub(super) fn consumes(&self, group: Option<Uuid>) {
        let now = Instant::now();
        let mut state = self.state();
        state.consumed = group;
        for waiter in state.open.values_mut() {
            if now.saturating_duration_since(waiter.since) > OLD {
                waiter.ask_by = Some(now);
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Asks for one task at this time at the latest.
    fn ask_by(&self, id: Uuid, at: Instant) {
        if let Some(waiter) = self.state().open.get_mut(&id) {
            waiter.ask_by_at_the_latest(at);
        }
        self.changed.notify_one();
    }

    /// A task has ended, but only the service can tell how: asks for it at once. The answer to its
    /// submit may still be under way.
    pub(super) fn has_ended(&self, id: Uuid) {
        let mut state = self.state();
        if let Some(waiter) = state.open.get_mut(&id) {
            waiter.ask_by_at_the_latest(Instant::now());
        } else if state.submitting > 0 && state.early_questions.len() < MOST_EARLY_QUESTIONS {
            state.early_questions.insert(id);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// When the next question is due.
    pub(super) fn next_question(&self) -> Option<Instant> {
        let state = self.state();
        state.open.values().map(|waiter| waiter.due(state.consumed)).min()
    }

    /// The tasks to ask for now, those due first, and at most `most`; they count as asked for. Tasks
    /// that the broker does not deliver go along before they are due: one question is enough for all.
    pub(super) fn due(&self, now: Instant, most: usize) -> Vec<Question> {
        let mut state = self.state();
        let consumed = state.consumed;
        let mut due: Vec<_> = state
            .open
            .iter()
            .filter(|(_, waiter)| !waiter.is_consumed(consumed) || waiter.due(consumed) <= now)
            .map(|(id, waiter)| (waiter.due(consumed), *id))
            .collect();
        due.sort_unstable();
        due.truncate(most);
        let mut ask = |(_, id): (Instant, Uuid)| {
            let waiter = state.open.get_mut(&id)?;
            waiter.asked_at = Some(now);
            let asked_for = waiter.ask_by.take().is_some();
            Some(Question { id, is_check: !asked_for && waiter.is_consumed(consumed) })
        };
        due.into_iter().filter_map(&mut ask).collect()
    }

    /// The service does not know this task. Whether that was expected to change: it is asked for
    /// once more, as its result may just be coming from the broker.
    pub(super) fn miss(&self, id: Uuid, now: Instant) -> bool {
        let mut state = self.state();
        let Some(waiter) = state.open.get_mut(&id).filter(|waiter| !waiter.missed) else {
            return false;
        };
        waiter.missed = true;
        waiter.ask_by = Some(now + SECOND_LOOK);
        true
    }

    /// Waits until [`Self::next_question`] may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How many tasks are waited for.
    pub(super) fn len(&self) -> usize {
        self.state().open.len()
    }

    fn forget(&self, id: Uuid) {
        let forgotten = self.state().open.remove(&id);
        if forgotten.is_some() {
            gauge!(IN_FLIGHT).decrement(1.0);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Submitting {
    /// Takes a task that was accepted.
    pub(super) fn accepted(&self, id: Uuid, endpoint: Uuid, group: Option<Uuid>) -> Ticket {
        let (to, result) = oneshot::channel();
        let mut state = self.0.state();
        if let Some(outcome) = state.early.take(id) {
            drop(state);
            count(Source::Amqp);
            let _ = to.send(outcome);
        } else {
            let now = Instant::now();
            let waiter = Waiter {
                to,
                endpoint,
                group,
                since: now,
                asked_at: None,
                ask_by: state.early_questions.remove(&id).then_some(now),
                missed: false,
            };
            state.open.insert(id, waiter);
            drop(state);
            gauge!(IN_FLIGHT).increment(1.0);
        }
        Ticket { id, result, waiting: Arc::downgrade(&self.0) }
    }
}

impl Drop for Submitting {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.submitting -= 1;
        if state.submitting == 0 {
            state.early.clear();
            state.early_questions.clear();
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

impl Waiter {
    fn is_consumed(&self, consumed: Option<Uuid>) -> bool {
        self.group.is_some() && self.group == consumed
    }

    fn ask_by_at_the_latest(&mut self, at: Instant) {
        self.ask_by = Some(self.ask_by.map_or(at, |by| by.min(at)));
    }

    fn due(&self, consumed: Option<Uuid>) -> Instant {
        let regular = match (self.is_consumed(consumed), self.asked_at) {
            (true, None) => self.since + FIRST_CHECK,
            (true, Some(asked_at)) => asked_at + CHECK_PACE,
            (false, None) => self.since + FIRST_QUESTION,
            (false, Some(asked_at)) => {
                let age = asked_at.saturating_duration_since(self.since);
                asked_at + (age / 10).clamp(PACE, SLOWEST_PACE)
            }
        };
        self.ask_by.map_or(regular, |by| by.min(regular))
    }
}

impl Ticket {
    /// Waits for the result; `None` when the gateway is stopping.
    pub(super) async fn result(mut self) -> Option<Outcome> {
        (&mut self.result).await.ok()
    }

    /// Has the result asked for at this time at the latest.
    pub(super) fn ask_by(&self, at: Instant) {
        if let Some(waiting) = self.waiting.upgrade() {
            waiting.ask_by(self.id, at);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(waiting) = self.waiting.upgrade() {
            waiting.forget(self.id);
        }
    }
}

fn count(source: Source) {
    let source = match source {
        Source::Amqp => "amqp",
        Source::Rest => "rest",
    };
    counter!("figw_globus_results_total", "source" => source).increment(1);
}

#[cfg(test)]
mod tests;
