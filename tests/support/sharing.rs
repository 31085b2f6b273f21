//! Several gateways that share a Redis, in front of one back end, and callers who race.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    client::{Answer, Caller},
    fake::Fake,
    gateway::{Gateway, Plan},
    redis::Redis,
};

/// The model of the one endpoint, which every gateway has in a database of its own.
pub const MODEL: &str = "fake-model";
/// That endpoint.
pub const ENDPOINT: &str = "local-vllm-fake-model";

/// Gateways, with what they share. All callers are one user.
pub struct Fleet {
    pub fake: Fake,
    pub redis: Redis,
    pub gateways: Vec<Gateway>,
    pub callers: Vec<Caller>,
}

impl Fleet {
    /// So many gateways with these settings of the endpoint and of the configuration, once they share
    /// their limits.
    pub fn of(count: usize, endpoint: &[&str], settings: &[(&str, &str)]) -> Self {
        let (fake, redis) = (Fake::start(), Redis::start_new());
        let gateways: Vec<_> = (0..count)
            .map(|_| {
                let plan = Plan::in_front_of(fake.api_url()).models([MODEL]);
                let plan = plan.set("cache.redis_url", &redis.url());
                let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
                let mut gateway = plan.prepare();
                if !endpoint.is_empty() {
                    gateway.run(&[&["endpoint", "set", ENDPOINT], endpoint].concat());
                }
                gateway.serve();
                gateway
            })
            .collect();
        let callers = gateways.iter().map(Caller::of).collect();
        let fleet = Self { fake, redis, gateways, callers };
        fleet.wait_until_shared(Duration::from_secs(10));
        fleet
    }

    /// Whether so many gateways go by their own memory.
    pub fn alone(&self) -> usize {
        let is_alone = |gateway: &&Gateway| gateway.metric("figw_limiter_alone") != Some(0.0);
        self.gateways.iter().filter(is_alone).count()
    }

    /// Waits until all share their limits, and returns how long that took.
    pub fn wait_until_shared(&self, within: Duration) -> Duration {
        let begun = Instant::now();
        while self.alone() > 0 {
            assert!(begun.elapsed() < within, "{} are still alone", self.alone());
            thread::sleep(Duration::from_millis(10));
        }
        begun.elapsed()
    }

    /// The sum of a metric over the gateways.
    pub fn sum(&self, series: &str) -> f64 {
        self.gateways.iter().filter_map(|gateway| gateway.metric(series)).sum()
    }

    /// The tokens that all gateways have written down.
    pub fn tokens_used(&self) -> u64 {
        let rows = self.gateways.iter().flat_map(Gateway::usage);
        rows.map(|row| row.prompt_tokens + row.completion_tokens).sum()
    }
}

/// Callers who ask again and again, on all gateways in turn.
pub struct Race {
    stop: Arc<AtomicBool>,
    pub answered: Arc<AtomicU64>,
    pub refused: Arc<AtomicU64>,
    racers: JoinSet<()>,
}

impl Race {
    /// So many callers do as `ask` says, each with a `pause` between an answer and the next request.
    /// Anything but 200 and 429 fails the test.
    pub fn start<F>(
        callers: &[Caller],
        count: usize,
        pause: Duration,
        ask: impl Fn(Caller) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let (answered, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut racers = JoinSet::new();
        for index in 0..count {
            let caller = callers[index % callers.len()].clone();
            let (stop, ask) = (Arc::clone(&stop), ask.clone());
            let (answered, refused) = (Arc::clone(&answered), Arc::clone(&refused));
            racers.spawn(async move {
                // They come one after the other, evenly.
                tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                while !stop.load(Relaxed) {
                    let answer = ask(caller.clone()).await;
                    match answer.status {
                        200 => answered.fetch_add(1, Relaxed),
                        429 => refused.fetch_add(1, Relaxed),
                        other => panic!("{other}: {}", answer.text()),
                    };
                    tokio::time::sleep(pause).await;
                }
            });
        }
        Self { stop, answered, refused, racers }
    }

    /// Ends it, once everybody has had an answer.
    pub async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        self.racers.join_all().await;
        (self.answered.load(Relaxed), self.refused.load(Relaxed))
    }
}
