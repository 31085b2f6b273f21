//! Limits on callers: requests per second, and tokens per minute.
//!
//! A limit is an exact sum over a sliding window. Where instances share a Redis, each takes leases: a
//! small part of what is left, in one step, to be spent from memory and given back soon. Redis holds
//! for each instance what it has spent and what it holds, and never grants more than is left; a lease
//! that is not given back counts as spent. So all instances together never exceed a limit by more than
//! one lease, which is what they may spend when single answers are missing.
//!
//! Each instance writes its own part of a limit in Redis, whole, each time: nothing is added twice when
//! an answer is lost, and a Redis that comes back empty is filled again. Times travel as ages, so the
//! clocks of instances do not matter.
//!
//! While Redis is away, each instance goes on alone: of what nobody had spent as far as it knew, it
//! takes its share as one of the instances last seen. When Redis is back, all tell it what they have
//! spent before anybody takes a lease again.

mod account;
mod keeper;
mod ledger;
mod limit;
mod link;
mod meters;
mod standing;
mod tokens;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use dashmap::DashMap;

pub use limit::Exceeded;
pub use standing::{Allowance, Standing};
pub use tokens::{EndpointLimits, Reservation, TokenLimits, Whose};

use self::{
    keeper::Keeper,
    limit::Limit,
    link::Link,
    meters::{Kind, Meters},
};
use crate::cache::Cache;

/// How long telling Redis at the end may take.
const LEAVING: Duration = Duration::from_secs(2);

/// All limits of this instance. What each limit is, is said with each request.
#[derive(Debug, Default)]
pub struct Limits {
    makes: Makes,
    requests: DashMap<Arc<str>, Arc<Limit>>,
    endpoints: DashMap<String, Arc<EndpointLimits>>,
    left: AtomicBool,
}

/// What making a limit takes.
#[derive(Debug, Clone)]
pub(crate) struct Makes {
    link: Option<Arc<Link>>,
    meters: [Arc<Meters>; Kind::ALL.len()],
}

impl Default for Makes {
    fn default() -> Self {
        Self { link: None, meters: Kind::ALL.map(Meters::new) }
    }
}

impl Makes {
    fn limit(&self, kind: Kind, key: String) -> Arc<Limit> {
        Limit::new(kind, key, Arc::clone(&self.meters[kind as usize]), self.link.clone())
    }
}

impl Limits {
    /// Limits that are shared through `cache`, if it is; this is one of probably so many `instances`.
    /// They are kept up with the others by a task of the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(cache: Cache, instances: usize) -> Arc<Self> {
        let link = cache.is_shared().then(|| Link::new(cache, instances));
        let makes = Makes { link: link.clone(), ..Makes::default() };
        let limits = Arc::new(Self { makes, ..Self::default() });
        if let Some(link) = link {
            let keeper = Keeper::begin(&link).await;
            tokio::spawn(keeper.keep(Arc::clone(&limits), link));
        }
        limits
    }

    /// Takes one of the requests that `user` may make `per_second`; 0 is no limit. Tells how far the
    /// limit is used up.
    ///
    /// # Errors
    /// When there is none left.
    pub async fn request(
        &self,
        user: &Arc<str>,
        per_second: u32,
    ) -> Result<Option<Standing>, Exceeded> {
        if per_second == 0 {
            return Ok(None);
        }
        let known = self.requests.get(&**user).map(|limit| Arc::clone(&limit));
        let limit = known.unwrap_or_else(|| {
            let make = || self.makes.limit(Kind::Requests, format!("limits:r:{user}"));
            Arc::clone(&self.requests.entry(Arc::clone(user)).or_insert_with(make))
        });
        let spent = limit.spend(1, per_second.into()).await?;
        Ok(Some(spent.standing))
    }

    /// The limits of the endpoint with that slug.
    #[must_use]
    pub fn endpoint(&self, slug: &str) -> Arc<EndpointLimits> {
        let make = || EndpointLimits::new(slug, self.makes.clone());
        Arc::clone(&self.endpoints.entry(slug.to_owned()).or_insert_with(make))
    }

    /// Forgets who has spent nothing lately. Cheap; meant to be called now and then.
    pub fn forget_idle(&self) {
        self.requests.retain(|_, limit| !is_forgettable(limit));
        self.endpoints.retain(|_, endpoint| {
            endpoint.forget_idle();
            Arc::strong_count(endpoint) > 1 || !endpoint.is_idle()
        });
    }

    /// Gives back what this instance holds, before it ends.
    pub async fn leave(&self) {
        self.left.store(true, Relaxed);
        let Some(link) = &self.makes.link else { return };
        self.tell_anew();
        let leaving = async {
            Keeper::reachable().tell_news(link).await;
            link.leave().await;
        };
        // What does not arrive counts as spent until its minute is over.
        let _ = tokio::time::timeout(LEAVING, leaving).await;
    }

    fn is_left(&self) -> bool {
        self.left.load(Relaxed)
    }

    /// Has each limit tell Redis all it knows.
    fn tell_anew(&self) {
        let limits = self.requests.iter().map(|limit| Arc::clone(&limit));
        let mut limits: Vec<_> = limits.collect();
        for endpoint in &self.endpoints {
            endpoint.each(|limit| limits.push(Arc::clone(limit)));
        }
        for limit in limits {
            limit.tell_anew();
        }
    }
}

/// Whether nobody uses the limit, and nothing would be lost with it.
fn is_forgettable(limit: &Arc<Limit>) -> bool {
    Arc::strong_count(limit) == 1 && limit.is_idle()
}
