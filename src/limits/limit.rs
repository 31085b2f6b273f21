//! One limit: its account, and the questions that are asked for it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    account::{Account, Among, Verdict, lease_size},
    link::Link,
    meters::{Kind, Meters},
    standing::Standing,
};
use crate::{cache::PATIENCE, domain::Moment};

/// A limit that is being kept to. What the limit is, is said with each request: it may change.
#[derive(Debug)]
pub(super) struct Limit {
    /// Its name in Redis.
    key: String,
    window: u64,
    meters: Arc<Meters>,
    link: Option<Arc<Link>>,
    state: Mutex<State>,
    /// Told when Redis has answered, or has not.
    answered: Notify,
}

#[derive(Debug)]
struct State {
    account: Account,
    /// Whether a question is under way.
    asking: bool,
    /// What waits for its answer, summed up.
    waiting: u64,
    /// Whether the link knows that there is something to tell.
    listed: bool,
    /// Until when nobody is asked, since there was no answer; in milliseconds.
    alone_until: u64,
    /// What was spent without a lease since the last answer, while Redis is taken to be there.
    unanswered: u64,
}

/// What a request has spent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    at: u64,
    /// How much it was; less than was asked for where that is more than can be.
    pub(super) count: u64,
    /// How far the limit is used up now.
    pub(super) standing: Standing,
}

/// A request that the limit does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// How far the limit is used up.
    pub standing: Standing,
    /// When trying again makes sense.
    pub retry_after: Duration,
}

/// How long a limit goes on alone when a question has not been answered, in milliseconds. By then
/// the keeper knows whether Redis is there.
const ALONE: u64 = 200;

type Decision = Result<Spent, Exceeded>;

impl Limit {
    pub(super) fn new(
        kind: Kind,
        key: String,
        meters: Arc<Meters>,
        link: Option<Arc<Link>>,
    ) -> Arc<Self> {
        let window = kind.window();
        let account = Account::new(window);
        let state = State {
            account,
            asking: false,
            waiting: 0,
            listed: false,
            alone_until: 0,
            unanswered: 0,
        };
        let (state, answered) = (Mutex::new(state), Notify::new());
        Arc::new(Self { key, window, meters, link, state, answered })
    }

    /// Spends `cost` of `limit`, which is at least 1. Waits for Redis only when there is no lease to
    /// spend from, and no longer than its patience.
    ///
    /// # Errors
    /// When the limit does not allow it.
    pub(super) async fn spend(self: &Arc<Self>, cost: u64, limit: u64) -> Decision {
        let among = self.link.as_ref().map_or(Among::Alone(1), |link| link.among());
        let decision = self.decide(&mut self.lock(), cost, limit, among);
        match decision {
            Some(decision) => decision,
            None => self.spend_after_asking(cost, limit).await,
        }
    }

    async fn spend_after_asking(self: &Arc<Self>, cost: u64, limit: u64) -> Decision {
        let waiting = Waiting::enter(self, cost.clamp(1, limit));
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Made before the look at the state, so that no answer is missed in between.
            let answered = self.answered.notified();
            if let Some(decision) = self.decide_or_ask(cost, limit) {
                return decision;
            }
            if tokio::time::timeout_at(deadline.into(), answered).await.is_err() {
                drop(waiting);
                return self.decide_alone(cost, limit);
            }
        }
    }

    fn decide_or_ask(self: &Arc<Self>, cost: u64, limit: u64) -> Option<Decision> {
        let link = self.link.as_ref()?;
        let mut state = self.lock();
        let decision = self.decide(&mut state, cost, limit, link.among());
        if decision.is_none() && !state.asking {
            state.asking = true;
            link.runtime.spawn(Arc::clone(self).exchange(cost, limit));
        }
        decision
    }

    fn decide_alone(self: &Arc<Self>, cost: u64, limit: u64) -> Decision {
        let among = self.link.as_ref().map_or(Among::Alone(1), |link| link.among_none());
        let decision = self.decide(&mut self.lock(), cost, limit, among);
        // Whoever is alone asks nobody.
        decision.unwrap_or_else(|| {
            let standing = Standing::new(limit, 0, self.window);
            Err(Exceeded { standing, retry_after: Duration::from_millis(self.window) })
        })
    }

    /// Decides; `None` when Redis has to be asked.
    fn decide(
        self: &Arc<Self>,
        state: &mut State,
        cost: u64,
        limit: u64,
        among: Among,
    ) -> Option<Decision> {
        let now = Moment::now().millis();
        let among = match &self.link {
            Some(link) if now < state.alone_until => link.among_none(),
            _ => among,
        };
        let is_gap = self.is_gap(among);
        let cost = cost.clamp(1, limit);
        let verdict =
            if is_gap && state.unanswered > 0 && state.unanswered + cost > self.room(limit) {
                Verdict::Over { wait: ALONE }
            } else {
                state.account.spend(now, cost, limit, among)
            };
        let standing = state.account.standing(now, limit, among);
        let alone = among != Among::Shared && self.link.is_some();
        match verdict {
            Verdict::Spent { at, count } => {
                if is_gap {
                    state.unanswered = state.unanswered.saturating_add(count);
                }
                self.list(state);
                self.meters.decided(true, alone);
                Some(Ok(Spent { at, count, standing }))
            }
            Verdict::Over { wait } => {
                self.meters.decided(false, alone);
                Some(Err(Exceeded { standing, retry_after: Duration::from_millis(wait) }))
            }
            Verdict::Ask => None,
        }
    }

    /// Whether a single answer is missing, while the others share the limit: they know nothing of
    /// what is spent meanwhile.
    fn is_gap(&self, among: Among) -> bool {
        let is_shared = self.link.as_ref().is_some_and(|link| link.among() == Among::Shared);
        is_shared && among != Among::Shared
    }

    /// What may be spent in such a gap: by all instances together no more than a lease, or by each
    /// one request.
    fn room(&self, limit: u64) -> u64 {
        let instances = match self.link.as_ref().map(|link| link.among_none()) {
            Some(Among::Alone(instances)) => instances.max(1),
            _ => 1,
        };
        lease_size(limit) / instances
    }

    /// Settles what was spent with what was used: the rest is given back, what is missing is charged.
    pub(super) fn settle(self: &Arc<Self>, spent: &Spent, used: u64) {
        let now = Moment::now().millis();
        let mut state = self.lock();
        if used < spent.count {
            state.account.give_back(now, spent.at, spent.count - used);
        } else if used > spent.count {
            state.account.charge(now, used - spent.count);
        }
        self.list(&mut state);
    }

    /// Tells Redis what was spent, and asks for a lease of at least `need` if that is not 0. Nobody
    /// else is asking meanwhile: `asking` is set.
    async fn exchange(self: Arc<Self>, need: u64, limit: u64) {
        let Some(link) = self.link.as_ref() else { return };
        let question = {
            let mut state = self.lock();
            let (now, waiting) = (Moment::now().millis(), state.waiting);
            match link.among() {
                Among::Shared => state.account.question(now, need, waiting, limit),
                Among::Alone(_) => state.account.report_alone(now),
            }
        };
        let answer = link.ask(&self.key, self.window, &question).await;
        let outcome = match &answer {
            None => &self.meters.failed,
            Some(answer) if answer.granted > 0 => &self.meters.granted,
            Some(_) if question.need > 0 => &self.meters.denied,
            Some(_) => &self.meters.returned,
        };
        outcome.increment(1);
        {
            let mut state = self.lock();
            state.asking = false;
            let now = Moment::now().millis();
            if let Some(answer) = answer {
                state.account.answered(now, &question, answer);
                state.unanswered = 0;
            } else {
                state.account.unanswered();
                state.alone_until = now + ALONE;
            }
            self.list(&mut state);
        }
        self.answered.notify_waiters();
    }

    /// Tells Redis what there is to tell, if it is time. `reachable` says whether that may help.
    pub(super) async fn tell(self: Arc<Self>, reachable: bool) {
        let now = Moment::now().millis();
        let due = {
            let mut state = self.lock();
            state.listed = false;
            let due = reachable && !state.asking && state.account.should_tell(now);
            state.asking |= due;
            if !due && !state.account.is_idle(now) {
                self.list(&mut state);
            }
            due
        };
        if due {
            self.exchange(0, 0).await;
        }
    }

    /// Redis may have lost what it was told.
    pub(super) fn tell_anew(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.account.tell_anew(Moment::now().millis()) {
            self.list(&mut state);
        }
    }

    /// Whether it might as well be forgotten.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().account.is_idle(Moment::now().millis())
    }

    /// Has the link know that there is something to tell.
    fn list(self: &Arc<Self>, state: &mut State) {
        if let Some(link) = &self.link
            && !state.listed
            && state.account.has_news()
        {
            state.listed = true;
            link.has_news(Arc::clone(self));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for Redis, until it is dropped.
struct Waiting<'a> {
    limit: &'a Limit,
    cost: u64,
}

impl<'a> Waiting<'a> {
    fn enter(limit: &'a Limit, cost: u64) -> Self {
        let mut state = limit.lock();
        state.waiting = state.waiting.saturating_add(cost);
        drop(state);
        Self { limit, cost }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.limit.lock();
        state.waiting = state.waiting.saturating_sub(self.cost);
    }
}
