//! Keeps requests away from an endpoint that fails, and lets one through from time to time.
//!
//! There is no half-open state to be stuck in: an open breaker only knows from when on a trial may be
//! made. Who makes it moves that moment on by `fail_timeout`, so there is one trial at a time and
//! never less than one in each `fail_timeout`, whatever becomes of them.

use std::{
    sync::atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::Duration,
};

use crate::domain::Moment;

/// An endpoint that answers better than nine of ten requests is not taken out of service: there is
/// always a request that makes a model fail.
const ANSWERS_PER_FAILURE: u64 = 9;

/// When a breaker opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures that open it; 0 means that it never opens.
    pub max_fails: u32,
    /// Within which time they must come, and how long it then stays open.
    pub fail_timeout: Duration,
}

/// How an endpoint failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nobody was there, or hung up without an answer.
    Unreachable,
    /// It answered with an error, or not in time.
    Failed,
    /// Nobody at all had an answer from it for so long that it must hang.
    Silent,
}

/// What a breaker says about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Send it.
    Closed,
    /// Send one, to see whether the endpoint is well again.
    TrialDue,
    /// Send it elsewhere, if there is anywhere else.
    Open,
}

/// How a request was let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The breaker was closed.
    Closed,
    /// As the trial that holds the gate until the moment inside.
    Trial(Moment),
    /// It was open, and there was no other endpoint.
    LastResort,
}

/// The breaker of one endpoint.
#[derive(Debug, Default)]
pub struct Breaker {
    /// From when on a trial may be made; "never" while the breaker is closed.
    trial_from: AtomicU64,
    /// When the first failure of the present count was.
    counted_from: AtomicU64,
    fails: AtomicU32,
    /// Answers since then.
    answers: AtomicU32,
    /// Whether a probe that goes well means that requests will.
    probes_tell: AtomicBool,
}

impl Breaker {
    /// What it says at `now`.
    #[must_use]
    pub fn gate(&self, now: Moment) -> Gate {
        match self.trial_from() {
            Moment::NEVER => Gate::Closed,
            from if from <= now => Gate::TrialDue,
            _ => Gate::Open,
        }
    }

    /// Lets a request through at `now`; one of those that come for a trial makes it.
    #[must_use]
    pub fn pass(&self, now: Moment, policy: BreakerPolicy) -> Pass {
        let from = self.trial_from();
        if from == Moment::NEVER {
            return Pass::Closed;
        }
        let next = now.after(policy.fail_timeout.max(Duration::from_millis(1)));
        if from <= now && self.replace(from, next) { Pass::Trial(next) } else { Pass::LastResort }
    }

    /// A request that was let through was answered. True when that closed the breaker.
    pub fn answered(&self, pass: Pass) -> bool {
        if pass != Pass::Closed {
            return self.close();
        }
        // Only what came along with failures is compared with them.
        if self.fails.load(Relaxed) > 0 {
            self.answers.fetch_add(1, Relaxed);
        }
        false
    }

    /// A request that was let through failed. True when that opened the breaker.
    pub fn failed(&self, pass: Pass, fault: Fault, now: Moment, policy: BreakerPolicy) -> bool {
        let until = now.after(policy.fail_timeout);
        let from = self.trial_from();
        if from != Moment::NEVER {
            // Requests from before it opened say nothing new.
            if pass != Pass::Closed {
                self.replace(from, until);
            }
            return false;
        }
        if policy.max_fails == 0 || !(self.count(now, policy) || fault == Fault::Silent) {
            return false;
        }
        self.probes_tell.store(fault == Fault::Unreachable, Relaxed);
        self.replace(Moment::NEVER, until)
    }

    /// A request that was let through ended without telling anything, such as that of a caller who
    /// hung up. If it was the trial, the next request makes another.
    pub fn left(&self, pass: Pass, now: Moment) {
        if let Pass::Trial(until) = pass {
            self.replace(until, now);
        }
    }

    /// A probe went well. True when that closed the breaker.
    ///
    /// One that goes well from the start says nothing of why requests fail, unless nobody was there.
    pub fn probe_answered(&self) -> bool {
        self.probes_tell.load(Relaxed) && self.close()
    }

    /// A probe failed.
    pub fn probe_failed(&self) {
        if self.is_open() {
            self.probes_tell.store(true, Relaxed);
        }
    }

    /// Whether it is open, a trial being due or not.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.trial_from() != Moment::NEVER
    }

    /// Counts a failure; true when it is one too many.
    fn count(&self, now: Moment, policy: BreakerPolicy) -> bool {
        let first = Moment::from_millis(self.counted_from.load(Relaxed));
        if now.since(first) > policy.fail_timeout || self.fails.load(Relaxed) == 0 {
            self.counted_from.store(now.millis(), Relaxed);
            self.fails.store(0, Relaxed);
            self.answers.store(0, Relaxed);
        }
        let fails = self.fails.fetch_add(1, Relaxed).saturating_add(1);
        let answers = u64::from(self.answers.load(Relaxed));
        fails >= policy.max_fails && answers <= ANSWERS_PER_FAILURE * u64::from(fails)
    }

    fn close(&self) -> bool {
        self.fails.store(0, Relaxed);
        self.trial_from.swap(Moment::NEVER.millis(), AcqRel) != Moment::NEVER.millis()
    }

    fn trial_from(&self) -> Moment {
        Moment::from_millis(self.trial_from.load(Acquire))
    }

    fn replace(&self, old: Moment, new: Moment) -> bool {
        self.trial_from.compare_exchange(old.millis(), new.millis(), AcqRel, Acquire).is_ok()
    }
}

#[cfg(test)]
mod tests;
