//! A gateway with all that it can have metrics of, and traffic that moves them.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};
use uuid::{Uuid, uuid};

use super::{
    client::Caller,
    fake::{Fake, Fault},
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function},
    postgres::Postgres,
    redis::Redis,
    requests::{REQUESTS, chat, request},
};

/// The model behind one seat.
const NARROW: &str = "narrow";
/// The model that always fails.
const BROKEN: &str = "fault-status-500";
/// The model on a cluster of Globus Compute.
const REMOTE: &str = "remote";
/// The compute endpoint of that cluster.
pub const COMPUTE_ENDPOINT: Uuid = uuid!("00000000-0000-4000-8000-000000000511");
/// What Redis wants to hear.
pub const REDIS_PASSWORD: &str = "the-redis-password";
const FUNCTION: Uuid = uuid!("00000000-0000-4000-8000-000000000611");

/// The gateway with what is around it.
pub struct Observed {
    pub gateway: Gateway,
    pub fake: Fake,
    pub redis: Redis,
    pub globus: FakeGlobus,
    primary: Postgres,
    replica: Postgres,
}

impl Observed {
    /// Starts everything; `settings` are further ones of the gateway.
    pub fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_with(settings, Vec::new(), &[])
    }

    /// The same with further `entries` in the catalogue, and `variables` of the process.
    pub fn start_with(
        settings: &[(&str, &str)],
        entries: Vec<Value>,
        variables: &[(&str, &str)],
    ) -> Self {
        let primary = Postgres::start_new();
        primary.create_database("figw");
        let replica = primary.start_replica();
        let (fake, redis, globus) = (Fake::start(), Redis::start_new(), FakeGlobus::start());
        globus.endpoint(COMPUTE_ENDPOINT, Endpoint::ONLINE);
        globus.function(FUNCTION, Function::inference(Duration::ZERO));
        let plan = Plan::in_front_of(fake.api_url())
            .database(primary.url("figw"))
            .models(["fake-model", BROKEN, NARROW])
            .settings(&globus.config_yaml())
            .entries([
                FakeGlobus::cluster_entry("sophia", &json!({})),
                FakeGlobus::endpoint_entry("sophia", REMOTE, COMPUTE_ENDPOINT, FUNCTION),
            ])
            .entries(entries)
            .set("database.read_replicas", &json!([replica.url("figw")]).to_string())
            .set("cache.redis_url", &redis.url_with_password(REDIS_PASSWORD))
            .set("gateway.max_fails", "2")
            .set("gateway.waiting_room", "4");
        let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
        let mut gateway = plan.prepare();
        gateway.run(&["endpoint", "set", "local-vllm-narrow", "--max-in-flight", "1"]);
        gateway.run(&["backup"]);
        for (name, value) in variables {
            gateway.set_variable(name, value);
        }
        gateway.serve();
        Self { gateway, fake, redis, globus, primary, replica }
    }

    /// Requests of every kind, good and bad, until rows are in the database.
    pub async fn traffic(&self) {
        let caller = Caller::of(&self.gateway);
        for (route, streamed) in REQUESTS {
            caller.ask(route, &request(route, "fake-model", streamed)).await.ok();
        }
        for _ in 0..4 {
            caller.ask("chat/completions", &chat(BROKEN)).await;
        }
        caller.ask("chat/completions", &chat(REMOTE)).await.ok();
        caller.get("/resource_server/v1/batches").await.ok();
        caller.ask("chat/completions", &chat("no such model")).await;
        caller.with_key("figw_wrong").ask("chat/completions", &chat("fake-model")).await;
        caller.post("/resource_server/api/streaming/data/", "{}").await;
        self.one_waits(&caller).await;
    }

    /// Two requests for the one seat.
    async fn one_waits(&self, caller: &Caller) {
        self.fake.script([Some(Fault::HangBeforeHeaders)]);
        let mut asking = JoinSet::new();
        for _ in 0..2 {
            let caller = caller.clone();
            asking.spawn(async move { caller.try_ask("chat/completions", &chat(NARROW)).await });
        }
        let series = format!("figw_waiting_room_requests{{model=\"{NARROW}\"}}");
        let given_up = Instant::now() + Duration::from_secs(10);
        while self.gateway.metric(&series) != Some(1.0) {
            assert!(Instant::now() < given_up, "nobody waits:\n{}", self.gateway.metrics());
            sleep(Duration::from_millis(20)).await;
        }
        asking.shutdown().await;
    }

    /// Waits for a series that takes a moment to come.
    pub async fn wait_for(&self, series: &str) {
        let given_up = Instant::now() + Duration::from_secs(30);
        while self.gateway.metric(series).is_none() {
            assert!(Instant::now() < given_up, "{series}:\n{}", self.gateway.metrics());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// What metrics call the replica.
    pub fn replica(&self) -> String {
        format!("127.0.0.1:{}", self.replica.port())
    }
}

/// The series of a text, each with its name and labels; a histogram's `le` is left out.
pub fn series(metrics: &str) -> BTreeSet<(String, Vec<String>)> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (series, _) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').expect("a closing brace");
            let labels = labels.split("\",").filter(|label| !label.starts_with("le=\""));
            let labels = labels.filter(|label| !label.is_empty()).map(ToOwned::to_owned);
            (name.to_owned(), labels.collect())
        })
        .collect()
}

/// What `promtool` has to say of something on its standard input; nothing when all is well.
pub fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    let mut stdin = child.stdin.take().expect("its standard input");
    stdin.write_all(input.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() { String::new() } else { format!("{}: {said}", output.status) }
}
