//! How many requests one client sends: never more than Globus Compute allows it in ten seconds.
//!
//! A token bucket would not do: full, it lets a burst through and refills meanwhile, so that ten
//! seconds can see twice the limit. This is a log of what was sent, which is exact. And a log alone
//! would spend everything at once and then stand still until the first request is ten seconds old;
//! therefore requests are spread as soon as they come faster than the limit can bear.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Ten seconds, for which Globus' documentation allows 20 requests, and half a second for what the way there may delay.
const WINDOW: Duration = Duration::from_millis(10_500);

/// A quarter of the limit within this time is a rush: what follows is spread.
const RUSH: Duration = Duration::from_secs(1);

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
    /// A submit was told to wait since the last one went out.
    held_back: bool,
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
            held_back: false,
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
                ledger.held_back |= purpose == Purpose::Submit;
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
        let next = last + self.pace(last) * share;
        if now < next { Err(next) } else { Ok(()) }
    }

    /// Whether there is no need to spread: few slots are used, and nothing hints at a rush.
    fn is_calm(&self, now: Instant) -> bool {
        let recent = self.sent.iter().rev().take_while(|(at, _)| now < *at + RUSH).count();
        !self.spread && recent < self.allowed / 4 && self.sent.len() < self.allowed * 3 / 4
    }

    fn count(&self, purpose: Purpose) -> usize {
        self.sent.iter().filter(|(_, sent_for)| *sent_for == purpose).count()
    }

    /// The shortest even pace, counted from `last`, at which there is always a slot: after the free
    /// ones, the next use must not come before the oldest entry has left the window, and so on.
    fn pace(&self, last: Instant) -> Duration {
        let free = self.allowed - self.sent.len();
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
                self.spread = std::mem::take(&mut self.held_back);
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    /// Sends as early as the budget lets it, a request of each kind that is wanted, for `span`.
    fn run(budget: &Budget, start: Instant, span: Duration, kinds: &[Purpose]) -> Vec<Instant> {
        let (mut now, mut sent) = (start, Vec::new());
        while now < start + span {
            let mut again = now + Duration::from_millis(100);
            for kind in kinds {
                match budget.try_take(*kind, now) {
                    Ok(_) => sent.push(now),
                    Err(at) => again = again.min(at),
                }
            }
            now = again.max(now + Duration::from_millis(1));
        }
        sent
    }

    fn most_in_ten_seconds(sent: &[Instant]) -> usize {
        let within = |from: &Instant| {
            sent.iter().filter(|at| *at >= from && **at < *from + TEN_SECONDS).count()
        };
        sent.iter().map(within).max().unwrap_or(0)
    }

    #[test]
    fn no_ten_seconds_see_more_than_the_limit_however_much_is_wanted() {
        let start = Instant::now();
        for kinds in [
            &[Purpose::Submit][..],
            &[Purpose::Poll],
            &[Purpose::Urgent],
            &[Purpose::Submit, Purpose::Urgent, Purpose::Poll],
        ] {
            let sent = run(&Budget::new(20), start, Duration::from_mins(2), kinds);
            assert!(most_in_ten_seconds(&sent) <= 20, "{kinds:?}");
        }
    }

    #[test]
    fn an_idle_client_sends_at_once_and_a_few_at_a_time_do_not_wait() {
        let budget = Budget::new(20);
        let start = Instant::now();
        for n in 0..5 {
            let now = start + Duration::from_millis(10) * n;
            assert!(budget.try_take(Purpose::Submit, now).is_ok(), "request {n}");
        }
    }

    #[test]
    fn one_request_a_second_never_waits() {
        let budget = Budget::new(20);
        let start = Instant::now();
        for second in 0..300 {
            let now = start + Duration::from_secs(second);
            assert!(budget.try_take(Purpose::Submit, now).is_ok(), "second {second}");
        }
    }

    #[test]
    fn a_pair_of_requests_every_other_second_never_waits() {
        let budget = Budget::new(20);
        let start = Instant::now();
        for second in 0..300 {
            let now = start + Duration::from_secs(second * 2);
            assert!(budget.try_take(Purpose::Submit, now).is_ok(), "second {second}");
            let now = now + Duration::from_millis(100);
            assert!(budget.try_take(Purpose::Submit, now).is_ok(), "second {second}");
        }
    }

    #[test]
    fn under_pressure_from_both_sides_submits_and_polls_alternate() {
        let budget = Budget::new(20);
        let start = Instant::now();
        let mut sent: [Vec<Instant>; 2] = Default::default();
        let mut now = start;
        while now < start + Duration::from_mins(2) {
            for (kind, sent) in [Purpose::Submit, Purpose::Poll].into_iter().zip(&mut sent) {
                if budget.try_take(kind, now).is_ok() {
                    sent.push(now);
                }
            }
            now += Duration::from_millis(5);
        }
        for sent in sent {
            let longest = sent.windows(2).map(|pair| pair[1] - pair[0]).max();
            assert!(longest < Some(Duration::from_secs(3)), "{longest:?}");
            assert!(sent.len() > 90, "{} in two minutes", sent.len());
        }
    }

    #[test]
    fn steady_pressure_is_spread_so_that_nobody_waits_ten_seconds() {
        let budget = Budget::new(20);
        let start = Instant::now();
        let sent = run(&budget, start, Duration::from_mins(2), &[Purpose::Submit]);
        let gaps: Vec<_> = sent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.iter().all(|gap| *gap < Duration::from_secs(1)), "{gaps:?}");
        let settled = &gaps[gaps.len() / 2..];
        assert!(settled.iter().all(|gap| *gap < Duration::from_millis(600)), "{settled:?}");
    }

    #[test]
    fn submits_leave_polls_their_share_when_one_waits() {
        let budget = Budget::new(20);
        let start = Instant::now();
        let _waiting = Waiting::new(&budget.polls_waiting);
        let (mut polls, mut now) = (0, start);
        while now < start + Duration::from_mins(1) {
            let _ = budget.try_take(Purpose::Submit, now);
            let _ = budget.try_take(Purpose::Submit, now);
            polls += usize::from(budget.try_take(Purpose::Poll, now).is_ok());
            now += Duration::from_millis(10);
        }
        assert!(polls >= 20, "{polls} polls in a minute");
    }

    #[test]
    fn silence_that_the_service_asked_for_is_kept() {
        let budget = Budget::new(20);
        budget.be_silent(Duration::from_secs(3));
        let until = budget.try_take(Purpose::Submit, Instant::now()).unwrap_err();
        assert!(until > Instant::now() + Duration::from_secs(2));
        assert!(budget.try_take(Purpose::Submit, until).is_ok());
    }

    #[test]
    fn after_a_refusal_less_is_sent_and_then_slowly_more() {
        let budget = Budget::new(20);
        budget.be_silent(Duration::ZERO);
        budget.be_silent(Duration::ZERO);
        assert_eq!(budget.ledger().allowed, 15, "two refusals at the same time are one");
        let start = Instant::now();
        let sent = run(&budget, start, Duration::from_secs(9), &[Purpose::Submit]);
        assert!(sent.len() <= 15);
        run(&budget, start + Duration::from_secs(9), Duration::from_mins(2), &[Purpose::Submit]);
        assert_eq!(budget.ledger().allowed, 20);
    }

    proptest! {
        #[test]
        fn no_pattern_of_wishes_breaks_the_limit(
            wishes in prop::collection::vec((0_u64..900, 0_usize..3), 1..400),
            limit in 5_u32..40,
        ) {
            let budget = Budget::new(limit);
            let mut now = Instant::now();
            let mut sent = Vec::new();
            for (pause, kind) in wishes {
                now += Duration::from_millis(pause);
                let kind = [Purpose::Submit, Purpose::Urgent, Purpose::Poll][kind];
                if budget.try_take(kind, now).is_ok() {
                    sent.push(now);
                }
            }
            prop_assert!(most_in_ten_seconds(&sent) <= limit as usize);
        }
    }
}
