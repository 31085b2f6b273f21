//! Globus as the gateway meets it: Auth, Groups, Transfer and Compute, each on a loopback port of
//! its own, with functions that are closures of the test, and troubles on demand.
//!
//! It is as strict as the services are known to be, so that a test fails where they would refuse.

mod answer;
mod auth;
mod broker;
mod compute;
mod front;
mod functions;
mod grants;
mod groups;
mod payload;
mod people;
mod pickle;
mod streaming;
mod switches;
mod tasks;
mod transfer;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::ports::{free_port, listen_on};
pub use broker::QUEUE_PREFIX;
pub use compute::Endpoint;
pub use functions::{Function, Outcome, model_refusal};
pub use people::{policy, researcher, service_account};
pub use streaming::{Post, Posted, Script};
pub use switches::{Asked, Service, Trouble};
pub use tasks::Submission;
pub use transfer::Rule;

/// The gateway's registration with Globus.
pub const APPLICATION_ID: &str = "11111111-0000-4000-8000-000000000001";
pub const APPLICATION_SECRET: &str = "the-application's-secret";
/// The service account that submits tasks.
pub const COMPUTE_CLIENT_ID: &str = "11111111-0000-4000-8000-000000000002";
pub const COMPUTE_CLIENT_SECRET: &str = "the-submitter's-secret";
/// What functions show when they post pieces of a stream.
pub const STREAMING_SECRET: &str = "the-streaming-secret";

/// The running services. They have threads of their own, so they serve blocking tests, too, and stop
/// when this is dropped.
pub struct FakeGlobus {
    world: Arc<World>,
    runtime: Option<Runtime>,
}

/// What the services know, and share.
struct World {
    auth: switches::Desk,
    groups: switches::Desk,
    transfer: switches::Desk,
    compute: switches::Desk,
    accounts: auth::Accounts,
    staging: transfer::Staging,
    cluster: compute::Cluster,
    broker: broker::Broker,
    /// Posts to the side channel of streams, by all functions.
    posts: streaming::Posts,
}

impl World {
    fn desk(&self, service: Service) -> &switches::Desk {
        match service {
            Service::Auth => &self.auth,
            Service::Groups => &self.groups,
            Service::Transfer => &self.transfer,
            Service::Compute => &self.compute,
        }
    }
}

impl FakeGlobus {
    /// Starts every service. Nobody is known yet, there is no endpoint and no function, and results
    /// are had by REST alone.
    pub fn start() -> Self {
        Self::start_with(broker::Broker::none())
    }

    /// The same with results also going to the `RabbitMQ` that its service reaches at `publish_url`
    /// and its clients log into at one of `client_urls`, a new one each time they ask.
    pub fn start_with_broker(publish_url: &str, client_urls: Vec<String>) -> Self {
        Self::start_with(broker::Broker::at(publish_url, client_urls))
    }

    fn start_with(broker: broker::Broker) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("globus")
            .enable_all()
            .build()
            .expect("a runtime for the fake Globus");
        let world = Arc::new(World {
            auth: switches::Desk::new(free_port()),
            groups: switches::Desk::new(free_port()),
            transfer: switches::Desk::new(free_port()),
            compute: switches::Desk::new(free_port()),
            accounts: auth::Accounts::default(),
            staging: transfer::Staging::default(),
            cluster: compute::Cluster::default(),
            broker,
            posts: streaming::Posts::default(),
        });
        world.accounts.add_client(APPLICATION_ID, APPLICATION_SECRET);
        world.accounts.add_client(COMPUTE_CLIENT_ID, COMPUTE_CLIENT_SECRET);
        for service in Service::ALL {
            // Listening before it is said to have started, so that nobody comes too early.
            let listener = listen_on(world.desk(service).port());
            runtime.spawn(front::serve(Arc::clone(&world), service, listener));
        }
        Self { world, runtime: Some(runtime) }
    }

    /// The base URL of a service.
    pub fn url(&self, service: Service) -> String {
        format!("http://127.0.0.1:{}", self.world.desk(service).port())
    }

    /// The sections of figw's configuration that point at this Globus. Where they say
    /// `GATEWAY_URL`, [`super::gateway::Plan`] puts the gateway's own address.
    pub fn config_yaml(&self) -> String {
        self.config_with(&[], &[])
    }

    /// The same with further lines in `auth.globus` and in `globus_compute`.
    pub fn config_with(&self, auth: &[&str], compute: &[&str]) -> String {
        let lines = |lines: &[&str], indent: &str| -> String {
            lines.iter().flat_map(|line| [indent, *line, "\n"]).collect()
        };
        format!(
            "auth:\n  globus:\n    application_id: {APPLICATION_ID}\n    \
             application_secret: {APPLICATION_SECRET}\n    auth_url: \"{auth_url}\"\n    \
             groups_url: \"{groups_url}\"\n{auth}\
             globus_compute:\n  client_id: {COMPUTE_CLIENT_ID}\n  \
             client_secret: {COMPUTE_CLIENT_SECRET}\n  url: \"{compute_url}\"\n  \
             streaming_public_url: \"GATEWAY_URL\"\n  streaming_secret: {STREAMING_SECRET}\n{compute}",
            auth_url = self.url(Service::Auth),
            groups_url = self.url(Service::Groups),
            compute_url = self.url(Service::Compute),
            auth = lines(auth, "    "),
            compute = lines(compute, "  "),
        )
    }

    /// What a service does instead of its work, until this is called again.
    pub fn trouble(&self, service: Service, trouble: Option<Trouble>) {
        self.world.desk(service).always(trouble);
    }

    /// What a service does instead of its work on the next requests, one each.
    pub fn trouble_next(&self, service: Service, troubles: impl IntoIterator<Item = Trouble>) {
        self.world.desk(service).next(troubles);
    }

    /// How long a service thinks before it answers a request.
    pub fn delay(&self, service: Service, delay: Duration) {
        self.world.desk(service).delay(delay);
    }

    /// Whether Compute refuses (429) more than 20 requests of a client in 10 s.
    pub fn enforce_request_limit(&self, enforced: bool) {
        self.world.compute.limit(enforced.then_some((20, Duration::from_secs(10))));
    }

    /// Every request that a service was sent, in order.
    pub fn asked(&self, service: Service) -> Vec<Asked> {
        self.world.desk(service).asked()
    }

    /// How many requests a service was sent on a route such as `GET /v2/tasks/{id}`, troubles
    /// included.
    pub fn count(&self, service: Service, route: &str) -> usize {
        self.asked(service).iter().filter(|asked| asked.route() == route).count()
    }

    /// The most requests that a service was sent within any span of this length.
    pub fn busiest(&self, service: Service, span: Duration) -> usize {
        let at: Vec<_> = self.asked(service).iter().map(|asked| asked.at).collect();
        let within = |(first, begin)| {
            at[first..].iter().take_while(|at| at.duration_since(begin) < span).count()
        };
        at.iter().copied().enumerate().map(within).max().unwrap_or(0)
    }

    /// The cluster in FIRST's own format, for [`super::gateway::Plan::entries`]. `config` is what
    /// the adapter wants besides, such as `qstat_endpoint_uuid`.
    pub fn cluster_entry(name: &str, config: &Value) -> Value {
        json!({"model": "resource_server_async.cluster", "fields": {
            "cluster_name": name,
            "cluster_adapter":
                "resource_server_async.clusters.globus_compute.GlobusComputeCluster",
            "frameworks": [super::gateway::FRAMEWORK],
            "openai_endpoints": ["chat/completions", "completions", "embeddings", "responses", "messages"],
            "config": config,
        }})
    }

    /// A model on such a cluster.
    pub fn endpoint_entry(cluster: &str, model: &str, endpoint: Uuid, function: Uuid) -> Value {
        json!({"model": "resource_server_async.endpoint", "fields": {
            "cluster": cluster,
            "framework": super::gateway::FRAMEWORK,
            "model": model,
            "endpoint_adapter":
                "resource_server_async.endpoints.globus_compute.GlobusComputeEndpoint",
            "config": {
                "api_port": 8000,
                "endpoint_uuid": endpoint,
                "function_uuid": function,
            },
        }})
    }
}

impl Drop for FakeGlobus {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // A runtime may not be shut down, waiting, on another runtime's thread.
        let stop = std::thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(5)));
        stop.join().expect("the fake Globus stops");
    }
}
