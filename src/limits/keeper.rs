//! Keeps this instance's limits and Redis together, in the background: says that the instance is
//! there, tells what was spent and gives leases back, notices when Redis goes and comes back.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};

use super::{
    Limits,
    account::Among,
    limit::Limit,
    link::{Greeting, Link, PAUSE},
};
use crate::domain::Moment;

/// How often news are told.
const TICK: Duration = Duration::from_millis(100);

/// Ticks from one greeting to the next while all is well.
const GREETING: u32 = 2;

/// Questions at one time.
const AT_ONCE: usize = 64;

/// What is known of Redis.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    /// Whether it answered last time.
    reachable: bool,
    /// How long it had known of limits then, in milliseconds.
    age: u64,
    /// Since when it has been there again, if it knew all the time what it had been told.
    back: Moment,
    /// In how many milliseconds limits can be shared again, when they are not.
    pause: Option<u64>,
}

impl Keeper {
    /// Greets Redis for the first time, before anything is spent.
    pub(super) async fn begin(link: &Link) -> Self {
        let mut keeper = Self::default();
        if let Some(greeting) = link.greet().await {
            link.note_instances(greeting);
            link.set_alone(greeting.age < PAUSE);
            keeper = Self { reachable: true, age: greeting.age, ..Self::default() };
        }
        keeper
    }

    /// One that takes Redis to be there.
    pub(super) fn reachable() -> Self {
        Self { reachable: true, ..Self::default() }
    }

    /// Keeps at it for as long as it is polled, or until the limits are left.
    pub(super) async fn keep(mut self, limits: Arc<Limits>, link: Arc<Link>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in 0_u32.. {
            ticks.tick().await;
            if limits.is_left() {
                return;
            }
            self.reachable &= !link.take_lost();
            let doubted = link.take_doubt();
            let waits = !self.reachable || self.pause.is_some();
            if waits || doubted || tick % GREETING == 0 {
                let greeting = link.greet().await;
                self.greeted(&limits, &link, greeting);
            }
            self.tell_news(&link).await;
            self.share(&link).await;
        }
    }

    /// Shares the limits again, if that is due before the next tick: all at the same moment, each
    /// having told everything.
    async fn share(&mut self, link: &Link) {
        let Some(pause) = self.pause.map(Duration::from_millis).filter(|pause| *pause <= TICK)
        else {
            return;
        };
        tokio::time::sleep(pause).await;
        self.tell_news(link).await;
        self.pause = None;
        link.set_alone(false);
    }

    fn greeted(&mut self, limits: &Limits, link: &Link, greeting: Option<Greeting>) {
        let Some(greeting) = greeting else {
            (self.reachable, self.pause) = (false, None);
            return link.set_alone(true);
        };
        link.note_instances(greeting);
        let (now, Greeting { age, .. }) = (Moment::now(), greeting);
        // One that is younger than it was has come back empty.
        if !self.reachable || age < self.age {
            link.set_alone(true);
            // One that came back empty has the same age for all.
            self.back = if age < PAUSE { Moment::NEVER } else { now };
            limits.tell_anew();
        }
        (self.reachable, self.age) = (true, age);
        let since_back = now.millis().saturating_sub(self.back.millis());
        let is_alone = link.among() != Among::Shared;
        self.pause = is_alone.then(|| PAUSE.saturating_sub(since_back.min(age)));
    }

    /// Lets limits tell what there is to tell.
    pub(super) async fn tell_news(&self, link: &Link) {
        let news = stream::iter(link.take_news());
        // A Redis that hangs is not waited for once per limit.
        let tell = |limit: Arc<Limit>| limit.tell(self.reachable && !link.is_doubted());
        news.for_each_concurrent(AT_ONCE, tell).await;
    }
}
