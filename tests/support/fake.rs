//! An in-process back end that speaks `OpenAI`'s and Anthropic's APIs, and misbehaves when asked.
//!
//! It answers under any prefix ending in `/v1`, so clients can also be pointed straight at it.
//! How many chunks an answer has comes from the request's token limit (5 without one), and
//! chunk *i* says *i*, so that a test can check that all came and in order.
//! Faults are chosen by the model's name (`fault-status-429`), the header `x-fake-fault`, or
//! [`Fake::script`].

mod answer;
mod body;
mod fault;
mod play;
mod record;
mod request;
mod server;
mod socket;
mod stream;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{net::TcpListener, runtime::Runtime};

pub use fault::Fault;
pub use record::{Counts, Received, Record};

/// What `/v1/models` lists.
pub const MODELS: [&str; 2] = ["fake-model", "fake-model-2"];

/// The running back end. It has a runtime of its own, so it serves blocking tests too, and
/// stops when dropped.
pub struct Fake {
    address: SocketAddr,
    record: Arc<Record>,
    runtime: Option<Runtime>,
}

impl Fake {
    /// Starts on a free loopback port.
    pub fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts on this address: where another fake has stopped, for instance.
    pub fn start_at(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("fake")
            .enable_all()
            .build()
            .expect("a runtime for the fake back end");
        let listener = std::net::TcpListener::bind(address)
            .unwrap_or_else(|e| panic!("the fake back end cannot listen on {address}: {e}"));
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("the listener's address");
        let record = Arc::new(Record::default());
        let in_runtime = runtime.enter();
        let listener = TcpListener::from_std(listener).expect("a listener in the runtime");
        drop(in_runtime);
        runtime.spawn(server::accept(listener, Arc::clone(&record)));
        Self { address, record, runtime: Some(runtime) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands before `/v1`: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an endpoint's `api_url` is: `http://127.0.0.1:PORT/v1`.
    pub fn api_url(&self) -> String {
        format!("{}/v1", self.url())
    }

    /// The next inference requests take these faults, one each, in order; `None` is a good answer.
    /// They go before what model or header ask for.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.record.script(faults);
    }

    /// From now on every inference request without a scripted fault takes this one.
    pub fn always(&self, fault: Option<Fault>) {
        self.record.always(fault);
    }

    /// Requests so far, by how they ended.
    pub fn counts(&self) -> Counts {
        self.record.counts()
    }

    /// Every request whose body was read to its end, in order.
    pub fn received(&self) -> Vec<Received> {
        self.record.received()
    }

    /// The request that was read last.
    pub fn last_received(&self) -> Received {
        self.received().pop().expect("the fake back end was sent a request")
    }

    /// When the caller was seen to have gone, for each aborted request.
    pub fn aborts(&self) -> Vec<std::time::Instant> {
        self.record.aborts()
    }

    /// Waits until the counts are as wanted; false when they are not `within` that time.
    pub async fn wait_until(&self, within: Duration, wanted: impl Fn(Counts) -> bool) -> bool {
        self.record.wait_until(within, wanted).await
    }

    /// Whether one caller's leaving was seen within `limit` of `left`. Waits a while longer than
    /// that, so that a failure can say how late it was.
    pub async fn saw_abort_within(
        &self,
        left: std::time::Instant,
        limit: Duration,
    ) -> Result<(), String> {
        let seen = |counts: Counts| counts.aborted > 0;
        if !self.wait_until(limit + Duration::from_secs(5), seen).await {
            return Err(format!("the back end saw no caller leave: {:?}", self.counts()));
        }
        let late = self.aborts()[0].saturating_duration_since(left);
        if late > limit {
            return Err(format!("the back end saw the caller leave after {late:?}"));
        }
        Ok(())
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // A runtime may not be shut down, waiting, on another runtime's thread.
        let stop = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        stop.join().expect("the fake back end stops");
    }
}
