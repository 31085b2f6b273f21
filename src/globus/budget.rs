//! How many requests one client sends: never more than Globus Compute allows it in ten seconds.
//!
//! A token bucket would not do: full, it lets a burst through and refills meanwhile, so that ten
//! seconds can see twice the limit. This is a log of what was sent, which is exact. And a log alone
//! would spend everything at once and then stand still until the first request is ten seconds old.
//! Therefore a request goes at once only while those after it would not have to wait for long;
//! and as long as requests do wait, they are spread evenly.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Ten seconds, for which Globus' documentation allows 20 requests, and half a second for what the
/// way there may delay.
const WINDOW: Duration = Duration::from_millis(10_500);

/// A request goes at once while the next ones, should many come, need not be farther apart than
/// this many even steps. Two let half of the limit through in a burst.
const FARTHEST: u32 = 2;

/// When someone with a right to the next slot was overlooked, it is looked at again after this.
const MOMENT: Duration = Duration::from_millis(20);

/// The smallest limit there is.
const LEAST: usize = 5;

/// Refusals within this time count as one.
const TOGETHER: Duration = Duration::from_secs(2);

/// The longest silence.
const LONGEST_SILENCE: Duration = Duration::from_mins(1);

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Somebody's task.
    Submit,
    /// Something that a waiting caller needs at once, and seldom: an endpoint's status, a login.
    Urgent,
    /// Asking for results. Where many tasks are submitted and many results asked for, each gets half.
    Poll,
}

/// The right to send one request.
#[derive(Debug)]
#[must_use = "a permit that is not used is a request less"]
pub struct Permit(());

/// The requests that one client may send.
#[derive(Debug)]
pub struct Budget {
    ledger: Mutex<Ledger>,
    polls_waiting: AtomicUsize,
}

#[derive(Debug)]
struct Ledger {
    /// What the service allows by its word.
    limit: usize,
    /// What it seems to allow at present: less, when others use the same account.
    allowed: usize,
    allowed_since: Option<Instant>,
    /// What was sent in the window, oldest first.
    sent: VecDeque<(Instant, Purpose)>,
    last_submit: Option<Instant>,
    last_poll: Option<Instant>,
    /// Submits come faster than the limit bears: they are spread.
    spread: bool,
    /// Since when a submit has been waiting for its permit.
    held_back_since: Option<Instant>,
    /// The service asked for silence until then.
    silent_until: Option<Instant>,
}

impl Budget {
    /// A budget of `limit` requests in ten seconds; less than 5 count as 5.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(LEAST);
        let ledger = Ledger {
            limit,
            allowed: limit,
            allowed_since: None,
            sent: VecDeque::new(),
            last_submit: None,
            last_poll: None,
            spread: false,
            held_back_since: None,
            silent_until: None,
        };
        Self { ledger: Mutex::new(ledger), polls_waiting: AtomicUsize::new(0) }
    }

    /// A permit, if there is one now.
    ///
    /// # Errors
    /// When to ask again.
    pub fn try_take(&self, purpose: Purpose, now: Instant) -> Result<Permit, Instant> {
        let poll_waits = self.polls_waiting.load(Ordering::Relaxed) > 0;
        let mut ledger = self.ledger();
        let outcome = ledger.may_send(purpose, poll_waits, now);
        match outcome {
            Ok(()) => {
                ledger.record(purpose, now);
                Ok(Permit(()))
            }
            Err(at) => {
                if purpose == Purpose::Submit {
                    ledger.held_back_since.get_or_insert(now);
                }
                Err(at)
            }
        }
    }

    /// Waits for a permit.
    pub async fn take(&self, purpose: Purpose) -> Permit {
        let _waiting = (purpose == Purpose::Poll).then(|| Waiting::new(&self.polls_waiting));
        loop {
            match self.try_take(purpose, Instant::now()) {
                Ok(permit) => return permit,
                Err(at) => tokio::time::sleep_until(at.into()).await,
            }
        }
    }

    /// The service took no more: sends nothing for this long, but at most a minute, and less from
    /// then on. The account may be shared with other processes.
    pub fn be_silent(&self, pause: Duration) {
        let now = Instant::now();
        let until = now + pause.min(LONGEST_SILENCE);
        let mut ledger = self.ledger();
        ledger.allow_less(now);
        ledger.silent_until = ledger.silent_until.max(Some(until));
    }

    /// How much longer nothing is sent.
    #[must_use]
    pub fn silence(&self) -> Option<Duration> {
        self.ledger().silent_until?.checked_duration_since(Instant::now())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn may_send(
        &mut self,
        purpose: Purpose,
        poll_waits: bool,
        now: Instant,
    ) -> Result<(), Instant> {
        while self.sent.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            self.sent.pop_front();
        }
        self.allow_more(now);
        if let Some(until) = self.silent_until.filter(|until| now < *until) {
            return Err(until);
        }
        if self.sent.len() >= self.allowed {
            return Err(self.next_free(now));
        }
        match purpose {
            Purpose::Urgent => Ok(()),
            Purpose::Submit if poll_waits && self.is_owed_a_poll() => Err(now + MOMENT),
            Purpose::Submit => self.in_step(self.last_submit, Purpose::Poll, now),
            Purpose::Poll => self.in_step(self.last_poll, Purpose::Submit, now),
        }
    }

    /// Whether the last slot belongs to a question for results: they have a fifth at least.
    fn is_owed_a_poll(&self) -> bool {
        self.sent.len() + 1 >= self.allowed && self.count(Purpose::Poll) < self.allowed / 5
    }

    /// Spreads requests over the slots that are left and those that become free; half of them when
    /// there are many of the other kind, too.
    fn in_step(&self, last: Option<Instant>, other: Purpose, now: Instant) -> Result<(), Instant> {
        let Some(last) = last.filter(|_| !self.is_calm(now)) else { return Ok(()) };
        let share = if self.count(other) >= self.allowed / 5 { 2 } else { 1 };
        let next = last + self.pace(last, self.allowed - self.sent.len()) * share;
        if now < next { Err(next) } else { Ok(()) }
    }

    /// Whether there is no need to spread: nobody had to wait lately, and after this request the next
    /// one would not have to, either, or not for long.
    fn is_calm(&self, now: Instant) -> bool {
        let free_then = self.allowed.saturating_sub(self.sent.len() + 1);
        let is_half_free = free_then >= self.allowed / 2;
        !self.spread && (is_half_free || self.pace(now, free_then) <= self.step() * FARTHEST)
    }

    /// The even pace at which the limit would just be used up.
    fn step(&self) -> Duration {
        WINDOW / u32::try_from(self.allowed).unwrap_or(u32::MAX)
    }

    fn count(&self, purpose: Purpose) -> usize {
        self.sent.iter().filter(|(_, sent_for)| *sent_for == purpose).count()
    }

    /// The shortest even pace, counted from `last`, at which there is always a slot: after the `free`
    /// ones, the next use must not come before the oldest entry has left the window, and so on.
    fn pace(&self, last: Instant, free: usize) -> Duration {
        let waits = self.sent.iter().enumerate().map(|(index, (at, _))| {
            let slots = u32::try_from(free + index + 1).unwrap_or(u32::MAX);
            (*at + WINDOW).saturating_duration_since(last) / slots
        });
        waits.max().unwrap_or_default()
    }

    /// Once for all requests that were refused together.
    fn allow_less(&mut self, now: Instant) {
        if self.allowed_since.is_none_or(|since| since + TOGETHER < now) {
            self.allowed = (self.allowed * 3 / 4).max(LEAST);
            self.allowed_since = Some(now);
        }
    }

    /// One more each window, until the service objects.
    fn allow_more(&mut self, now: Instant) {
        if self.allowed < self.limit && self.allowed_since.is_none_or(|since| since + WINDOW < now)
        {
            self.allowed += 1;
            self.allowed_since = Some(now);
        }
    }

    fn next_free(&self, now: Instant) -> Instant {
        self.sent.front().map_or(now + MOMENT, |(at, _)| *at + WINDOW)
    }

    fn record(&mut self, purpose: Purpose, now: Instant) {
        self.sent.push_back((now, purpose));
        match purpose {
            Purpose::Urgent => {}
            Purpose::Poll => self.last_poll = Some(now),
            Purpose::Submit => {
                self.last_submit = Some(now);
                let waited = self.held_back_since.take();
                let long = self.step() / 2;
                self.spread =
                    waited.is_some_and(|since| now.saturating_duration_since(since) > long);
            }
        }
    }
}

/// Counts one who waits, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
