//! The arithmetic of one limit on one instance: what it has spent, what it knows of others, and the
//! lease that it spends from. Nothing here reads a clock or asks anybody.

use super::{
    ledger::{Ledger, grain},
    standing::Standing,
};

/// A lease is this part of its limit, unless what waits for it needs more.
const LEASES_IN_A_LIMIT: u64 = 20;

/// The longest that a lease is spent from, in milliseconds; and the part of a window that it is at
/// most. It is short, so that nobody keeps from others what it does not use.
const LONGEST_LEASE: u64 = 1_000;
const LEASES_IN_A_WINDOW: u64 = 5;

/// The longest that a refusal of Redis' is taken to hold, in milliseconds: others may have given
/// something back meanwhile.
const LONGEST_REFUSAL: u64 = 250;

/// Whom a limit is shared with at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    /// All instances, through leases.
    Shared,
    /// Nobody who could be asked: this instance has its share as one of so many, at least 1.
    Alone(u64),
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go. So much was spent, under this moment.
    Spent { at: u64, count: u64 },
    /// It may not. Trying again makes sense after so many milliseconds.
    Over { wait: u64 },
    /// Redis has to be asked for a lease.
    Ask,
}

/// What Redis is told and asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// When it was put.
    pub(super) asked_at: u64,
    /// Whether the instance goes on alone: others may not have told yet what they have spent.
    pub(super) alone: bool,
    /// What this instance has spent: age in milliseconds, and count.
    pub(super) spent: Vec<(u64, u64)>,
    /// The limit.
    pub(super) limit: u64,
    /// The smallest lease that is of use; 0 asks for none.
    pub(super) need: u64,
    /// The lease that is wished for.
    pub(super) want: u64,
}

/// What Redis answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// The lease; 0 when there is not enough left.
    pub(super) granted: u64,
    /// What others have spent or hold: age in milliseconds, negative for a lease that still runs, and
    /// count.
    pub(super) others: Vec<(i64, u64)>,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    left: u64,
    granted: u64,
    since: u64,
    until: u64,
}

#[derive(Debug, Clone, Copy)]
struct Refused {
    need: u64,
    limit: u64,
    until: u64,
}

/// The account of one limit. All moments and the window are in milliseconds.
#[derive(Debug)]
pub(super) struct Account {
    window: u64,
    own: Ledger,
    others: Ledger,
    lease: Option<Lease>,
    refused: Option<Refused>,
    /// Whether there is something that Redis should be told.
    has_news: bool,
}

/// How long a lease is spent from where the window is that long.
pub(super) const fn lease_life(window: u64) -> u64 {
    let part = window / LEASES_IN_A_WINDOW;
    if part < LONGEST_LEASE { part } else { LONGEST_LEASE }
}

/// How large a lease of `limit` is.
pub(super) const fn lease_size(limit: u64) -> u64 {
    let size = limit / LEASES_IN_A_LIMIT;
    if size == 0 { 1 } else { size }
}

impl Account {
    pub(super) fn new(window: u64) -> Self {
        let (own, others) = (Ledger::new(window), Ledger::new(window));
        Self { window, own, others, lease: None, refused: None, has_news: false }
    }

    /// Spends `cost` if the limit allows it. A cost above all that there can be counts as that much:
    /// such a request goes when nothing else was spent in the window.
    pub(super) fn spend(&mut self, now: u64, cost: u64, limit: u64, among: Among) -> Verdict {
        self.forget(now);
        let cost = cost.clamp(1, most(limit, among));
        let may_go = self.fits(cost, limit, among)
            && (among != Among::Shared || self.spend_from_lease(now, cost));
        if may_go {
            self.has_news = true;
            return Verdict::Spent { at: self.own.add(now, cost), count: cost };
        }
        if among == Among::Shared && !self.is_known_to_be_over(now, cost, limit) {
            return Verdict::Ask;
        }
        Verdict::Over { wait: self.wait(now, cost, limit, among) }
    }

    fn spend_from_lease(&mut self, now: u64, cost: u64) -> bool {
        match &mut self.lease {
            Some(lease) if lease.left >= cost && now < lease.until => {
                lease.left -= cost;
                true
            }
            _ => false,
        }
    }

    /// Gives back what was spent `at` that moment and turned out not to be needed.
    pub(super) fn give_back(&mut self, now: u64, at: u64, count: u64) {
        self.forget(now);
        let taken = self.own.take_back(at, count);
        if taken == 0 {
            return;
        }
        self.has_news = true;
        self.refused = None;
        // What was spent before the lease is no part of it: Redis may forget that while the lease runs.
        if let Some(lease) = &mut self.lease
            && at > lease.since
        {
            lease.left = lease.left.saturating_add(taken).min(lease.granted);
        }
    }

    /// Charges what was needed beyond what had been spent, whether the limit allows it or not.
    pub(super) fn charge(&mut self, now: u64, count: u64) {
        self.forget(now);
        self.has_news = true;
        self.own.add(now, count);
        if let Some(lease) = &mut self.lease {
            lease.left = lease.left.saturating_sub(count);
        }
    }

    /// Tells Redis what was spent, gives the lease back, and asks for another one of at least `need`;
    /// so much is `waiting` for it. With a `need` of 0 it asks for none.
    pub(super) fn question(&mut self, now: u64, need: u64, waiting: u64, limit: u64) -> Question {
        self.own.begin_to_tell();
        Question { alone: false, ..self.report(now, need, waiting, limit) }
    }

    /// Tells Redis what was spent while going on alone. The share stays what it was: others do not know
    /// yet, and may still be going by theirs.
    pub(super) fn report_alone(&mut self, now: u64) -> Question {
        self.report(now, 0, 0, 0)
    }

    fn report(&mut self, now: u64, need: u64, waiting: u64, limit: u64) -> Question {
        self.forget(now);
        self.lease = None;
        self.has_news = false;
        let spent = self.own.entries().map(|(at, count, _)| (now.saturating_sub(at), count));
        let spent = spent.collect();
        let need = need.min(limit);
        let want = if need == 0 { 0 } else { lease_size(limit).max(waiting).clamp(need, limit) };
        Question { asked_at: now, alone: true, spent, limit, need, want }
    }

    /// Takes the answer in.
    pub(super) fn answered(&mut self, now: u64, question: &Question, answer: Answer) {
        let Question { asked_at, alone, limit, need, .. } = *question;
        if alone {
            return;
        }
        self.own.told();
        // By the clock here, which may be late but never early: nothing is forgotten too soon.
        let at = |age: i64| now.saturating_add_signed(age.saturating_neg()).min(now + self.window);
        self.others.replace(answer.others.into_iter().map(|(age, n)| (at(age), n)).collect());
        self.forget(now);
        let granted = answer.granted;
        if granted > 0 {
            let until = asked_at + lease_life(self.window);
            self.lease = Some(Lease { left: granted, granted, since: now, until });
            self.has_news = true;
        }
        self.refused = (need > granted).then(|| {
            let wait = self.wait(now, need, limit, Among::Shared);
            let pause = grain(self.window).min(LONGEST_REFUSAL);
            Refused { need, limit, until: now + wait.min(pause) }
        });
    }

    /// There was no answer: what was told may not have arrived.
    pub(super) fn unanswered(&mut self) {
        self.has_news = true;
        self.own.not_told();
    }

    /// Whether there is something that Redis should be told.
    pub(super) const fn has_news(&self) -> bool {
        self.has_news
    }

    /// Whether Redis should be told something now. What a running lease is spent on can wait.
    pub(super) fn should_tell(&self, now: u64) -> bool {
        self.has_news && self.lease.is_none_or(|lease| now >= lease.until)
    }

    /// Everything is to be told anew, and the lease is given up: Redis may have lost it. True when
    /// there is something to tell.
    pub(super) fn tell_anew(&mut self, now: u64) -> bool {
        self.forget(now);
        self.has_news |= self.own.total() > 0 || self.lease.is_some();
        self.lease = None;
        self.has_news
    }

    /// Whether it might as well not be there.
    pub(super) fn is_idle(&mut self, now: u64) -> bool {
        self.forget(now);
        let holds_a_lease = self.lease.is_some_and(|lease| now < lease.until);
        !holds_a_lease && self.own.total() == 0 && self.others.total() == 0
    }

    /// How far the limit is used up, as far as this instance knows.
    pub(super) fn standing(&self, now: u64, limit: u64, among: Among) -> Standing {
        let share = share(limit, self.told(), among);
        let newest = self.own.newest().max(self.others.newest());
        let reset = newest.map_or(0, |at| (at + self.window).saturating_sub(now).min(self.window));
        let remaining = share.saturating_sub(self.own.untold());
        Standing::new(limit, remaining, reset)
    }

    fn forget(&mut self, now: u64) {
        self.own.forget(now);
        self.others.forget(now);
    }

    /// What all instances have spent and hold, as far as all could know it.
    const fn told(&self) -> u64 {
        self.others.total().saturating_add(self.own.total() - self.own.untold())
    }

    fn fits(&self, cost: u64, limit: u64, among: Among) -> bool {
        fits(self.told(), self.own.untold(), cost, limit, among)
    }

    fn is_known_to_be_over(&self, now: u64, cost: u64, limit: u64) -> bool {
        self.refused.is_some_and(|refused| {
            now < refused.until && cost >= refused.need && limit <= refused.limit
        })
    }

    /// Milliseconds until `cost` fits, if nothing else is spent.
    fn wait(&self, now: u64, cost: u64, limit: u64, among: Among) -> u64 {
        let (mut told, mut untold) = (self.told(), self.own.untold());
        let others = self.others.entries();
        let mut leaving: Vec<_> = self.own.entries().chain(others).collect();
        leaving.sort_unstable();
        for (at, count, is_told) in leaving {
            let sum = if is_told { &mut told } else { &mut untold };
            *sum = sum.saturating_sub(count);
            if fits(told, untold, cost, limit, among) {
                return (at + self.window).saturating_sub(now).max(1);
            }
        }
        // It fits now, but for what others may have taken that is not known here.
        grain(self.window)
    }
}

/// The most that one request can cost.
fn most(limit: u64, among: Among) -> u64 {
    match among {
        Among::Shared => limit.max(1),
        Among::Alone(instances) => (limit / instances.max(1)).max(1),
    }
}

/// What one instance may spend when all know that `told` is spent.
fn share(limit: u64, told: u64, among: Among) -> u64 {
    let free = limit.saturating_sub(told);
    match among {
        Among::Shared => free,
        Among::Alone(instances) => (free / instances.max(1)).max(u64::from(free > 0)),
    }
}

fn fits(told: u64, untold: u64, cost: u64, limit: u64, among: Among) -> bool {
    untold.saturating_add(cost) <= share(limit, told, among)
}

#[cfg(test)]
mod tests;
