//! One model on several clusters, each with a back end of its own.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{
    client::Caller,
    fake::Fake,
    gateway::{Gateway, Plan},
};

/// The model that all of them serve.
pub const MODEL: &str = "m";

/// Back ends with a gateway in front. Back end 2 is endpoint `c2-m` on cluster `c2`.
pub struct Federation {
    pub fakes: Vec<Fake>,
    pub gateway: Gateway,
    pub caller: Caller,
}

impl Federation {
    /// So many back ends, and a gateway with these settings.
    pub fn of(count: usize, settings: &[(&str, &str)]) -> Self {
        Self::with(count, settings, |_| json!({}))
    }

    /// The same with further settings for each endpoint.
    pub fn with(
        count: usize,
        settings: &[(&str, &str)],
        endpoint: impl Fn(usize) -> Value,
    ) -> Self {
        let fakes: Vec<_> = (0..count).map(|_| Fake::start()).collect();
        let plan = Plan::in_front_of(fakes[0].api_url()).models(["other"]);
        let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
        let mut gateway = plan.prepare();
        let file = gateway.directory().join("federation.yaml");
        std::fs::write(&file, catalogue(&fakes, endpoint)).expect("the catalogue written");
        gateway.run(&["fixtures", "load", file.to_str().expect("a path in UTF-8")]);
        gateway.serve();
        let caller = Caller::of(&gateway);
        Self { fakes, gateway, caller }
    }

    /// Ends a back end; whoever connects is refused. Its address is kept for [`Self::revive`].
    pub fn stop(&mut self, index: usize) -> std::net::SocketAddr {
        let fake = self.fakes.remove(index);
        fake.address()
    }

    /// Starts a back end where another one was.
    pub fn revive(&mut self, index: usize, address: std::net::SocketAddr) {
        self.fakes.insert(index, Fake::start_at(address));
    }

    /// Requests that each back end has been sent.
    pub fn opened(&self) -> Vec<usize> {
        self.fakes.iter().map(|fake| fake.counts().opened).collect()
    }

    /// Whether the breaker of that endpoint is open.
    pub fn is_out(&self, index: usize) -> bool {
        self.gateway.metric(&format!("figw_breaker_open{{endpoint=\"c{index}-m\"}}")) == Some(1.0)
    }

    /// Waits until that is so; true if it was in time.
    pub async fn wait_until(&self, within: Duration, is_so: impl Fn(&Self) -> bool) -> bool {
        let given_up = Instant::now() + within;
        while !is_so(self) {
            if Instant::now() > given_up {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// How long it takes from now until the back end gets `share` of the requests of a second.
    pub async fn time_until_share(&self, index: usize, share: f64, within: Duration) -> Duration {
        const WINDOW: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        loop {
            let before = self.opened();
            tokio::time::sleep(WINDOW).await;
            let sent: Vec<_> = self.opened().iter().zip(before).map(|(a, b)| a - b).collect();
            let all: usize = sent.iter().sum();
            #[allow(clippy::cast_precision_loss, reason = "a few hundred requests")]
            let enough = sent[index] as f64 >= share * all as f64 && all > 0;
            if enough {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < within, "still not back to its share: {sent:?}");
        }
    }

    /// Fails unless nothing is in flight anywhere.
    pub async fn assert_at_rest(&self) {
        self.gateway.wait_until_idle(Duration::from_secs(5));
        let gone = |this: &Self| this.fakes.iter().all(|fake| fake.counts().open == 0);
        assert!(self.wait_until(Duration::from_secs(2), gone).await, "back ends are still busy");
        for index in 0..self.fakes.len() {
            let series = format!("figw_requests_in_flight{{endpoint=\"c{index}-m\"}}");
            let in_flight = self.gateway.metric(&series).unwrap_or_default();
            assert!(in_flight.abs() < 0.5, "{series} {in_flight}");
        }
    }
}

pub fn catalogue(fakes: &[Fake], endpoint: impl Fn(usize) -> Value) -> String {
    let clusters = (0..fakes.len()).map(|index| {
        json!({
            "name": format!("c{index}"), "adapter": "direct-api", "frameworks": ["api"],
            "routes": ["chat/completions", "completions", "messages"],
        })
    });
    let endpoints = fakes.iter().enumerate().map(|(index, fake)| {
        let mut settings = endpoint(index);
        settings["api_url"] = fake.api_url().into();
        json!({
            "slug": format!("c{index}-m"), "cluster": format!("c{index}"), "framework": "api",
            "model": MODEL, "adapter": "direct-api", "settings": settings,
        })
    });
    json!({
        "version": 1,
        "clusters": clusters.collect::<Vec<_>>(),
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
    .to_string()
}
