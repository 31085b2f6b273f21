//! The way to the other instances: one Redis, asked in single steps. It may be away at any time.

use std::sync::{
    Arc, LazyLock, Mutex, PoisonError,
    atomic::{
        AtomicBool, AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
};

use metrics::{Gauge, gauge};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::{
    account::{Among, Answer, Question, lease_life},
    ledger::grain,
    limit::Limit,
};
use crate::cache::{Cache, Script};

/// How long instances go by their own memory after Redis has come back, in milliseconds: in that time
/// all of them have told it what they had spent.
pub(super) const PAUSE: u64 = 500;

/// How long an instance counts after it was last seen, in milliseconds.
const COUNTS_FOR: u64 = 3_000;

/// How long Redis remembers instances when there are none, in milliseconds.
const REMEMBERED_FOR: u64 = 600_000;

/// Where the instances are kept.
const INSTANCES: &str = "limits:instances";

static EXCHANGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("exchange.lua")));
static BEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("beat.lua")));

/// The connection of this instance's limits to those of the others.
pub(super) struct Link {
    cache: Cache,
    /// The name of this process in Redis.
    me: String,
    /// Whether this instance goes by its own memory.
    alone: AtomicBool,
    /// Set when Redis has lost what it knew, until the keeper has seen to it.
    lost: AtomicBool,
    /// Set when Redis did not answer, until the keeper has greeted it.
    doubted: AtomicBool,
    /// Instances last seen, this one included.
    instances: AtomicU64,
    /// Where questions are asked, whatever becomes of their callers.
    pub(super) runtime: Handle,
    /// Limits with something to tell.
    news: Mutex<Vec<Arc<Limit>>>,
    alone_gauge: Gauge,
}

/// What Redis says when it is greeted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Greeting {
    /// Instances that are there.
    pub(super) instances: u64,
    /// For how long, in milliseconds, this Redis has known of limits.
    pub(super) age: u64,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("among", &self.among()).finish_non_exhaustive()
    }
}

impl Link {
    /// A link through `cache`, which is shared, for one of probably so many `instances`.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(cache: Cache, instances: usize) -> Arc<Self> {
        let alone_gauge = gauge!("figw_limiter_alone");
        alone_gauge.set(1.0);
        Arc::new(Self {
            cache,
            me: Uuid::new_v4().simple().to_string(),
            alone: AtomicBool::new(true),
            lost: AtomicBool::new(false),
            doubted: AtomicBool::new(false),
            instances: AtomicU64::new(instances.max(1) as u64),
            runtime: Handle::current(),
            news: Mutex::default(),
            alone_gauge,
        })
    }

    /// Whom limits are shared with now.
    pub(super) fn among(&self) -> Among {
        if self.alone.load(Acquire) { self.among_none() } else { Among::Shared }
    }

    /// The same when there is no time to ask.
    pub(super) fn among_none(&self) -> Among {
        Among::Alone(self.instances.load(Relaxed))
    }

    /// Goes by this instance's own memory, or by what all share.
    pub(super) fn set_alone(&self, alone: bool) {
        if self.alone.swap(alone, Release) != alone {
            self.alone_gauge.set(if alone { 1.0 } else { 0.0 });
            if alone {
                tracing::warn!("limits are not shared at present; this instance goes by its share");
            } else {
                tracing::info!("limits are shared by all instances");
            }
        }
    }

    /// Redis has lost what it knew.
    fn lose(&self) {
        self.lost.store(true, Release);
        self.set_alone(true);
    }

    /// Whether Redis was lost since this was last asked.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.swap(false, Release)
    }

    /// Whether Redis has left a question unanswered since this was last asked.
    pub(super) fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Release)
    }

    /// Whether Redis has left a question unanswered of late.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubted.load(Relaxed)
    }

    /// Notes how many instances there are. A Redis that has come back empty has not seen all of them
    /// yet.
    pub(super) fn note_instances(&self, greeting: Greeting) {
        let Greeting { instances, age } = greeting;
        if age < COUNTS_FOR {
            self.instances.fetch_max(instances, Relaxed);
        } else {
            self.instances.store(instances.max(1), Relaxed);
        }
    }

    /// Puts one question of a limit with this key. Without an answer nothing is known of Redis, which
    /// may just be slow: the keeper will see.
    pub(super) async fn ask(&self, key: &str, window: u64, question: &Question) -> Option<Answer> {
        let Question { spent, limit, need, want, .. } = question;
        let numbers = [window, grain(window), lease_life(window), PAUSE, *limit, *need, *want];
        let spent = spent.iter().flat_map(|(age, count)| [*age, *count]);
        let numbers = numbers.into_iter().chain(spent).map(|number| number.to_string());
        let args: Vec<_> = std::iter::once(self.me.clone()).chain(numbers).collect();
        let numbers = self.cache.run(&EXCHANGE, &[key, INSTANCES], &args).await;
        let Some(numbers) = numbers else {
            self.doubted.store(true, Release);
            return None;
        };
        let answer = read(&numbers);
        if answer.is_none() {
            self.lose();
        }
        answer
    }

    /// Says that this instance is there.
    pub(super) async fn greet(&self) -> Option<Greeting> {
        let args = [self.me.clone(), COUNTS_FOR.to_string(), REMEMBERED_FOR.to_string()];
        let numbers = self.cache.run(&BEAT, &[INSTANCES], &args).await?;
        let [instances, age] = numbers[..] else { return None };
        Some(Greeting { instances: instances.try_into().ok()?, age: age.try_into().ok()? })
    }

    /// Says that this instance goes.
    pub(super) async fn leave(&self) {
        let args = [self.me.clone()];
        // Without it, the others notice within seconds.
        let _ = self.cache.run(&BEAT, &[INSTANCES], &args).await;
    }

    /// Has a limit tell its news before long.
    pub(super) fn has_news(&self, limit: Arc<Limit>) {
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push(limit);
    }

    /// Limits with something to tell.
    pub(super) fn take_news(&self) -> Vec<Arc<Limit>> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads the answer of the script; nothing when Redis does not know enough to answer.
fn read(numbers: &[i64]) -> Option<Answer> {
    let (granted, others) = numbers.split_first()?;
    let granted = u64::try_from(*granted).ok()?;
    let others = others.chunks_exact(2).map(|pair| Some((pair[0], u64::try_from(pair[1]).ok()?)));
    Some(Answer { granted, others: others.collect::<Option<_>>()? })
}
