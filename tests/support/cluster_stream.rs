//! A stream of a function on a cluster whose posts the test sends itself, to whichever instance.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::{Uuid, uuid};

use super::{
    client::{Answer, Caller},
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Outcome, STREAMING_SECRET},
    redis::Redis,
    requests::streamed_chat,
};

pub const ENDPOINT: Uuid = uuid!("00000000-0000-4000-8000-000000000501");
pub const FUNCTION: Uuid = uuid!("00000000-0000-4000-8000-000000000601");
pub const MODEL: &str = "meta-llama/Meta-Llama-3.1-8B-Instruct";

/// Globus with a model on one cluster; its function does nothing by itself.
pub fn globus() -> FakeGlobus {
    let globus = FakeGlobus::start();
    globus.endpoint(ENDPOINT, Endpoint::ONLINE);
    globus.function(FUNCTION, Function::new(|_| Outcome::Never));
    globus
}

/// An instance in front of that cluster.
pub fn plan(globus: &FakeGlobus, redis: Option<&Redis>) -> Plan {
    let plan = Plan::in_front_of("http://127.0.0.1:9/v1")
        .settings(&globus.config_with(&[], &["results: poll"]))
        .entries([
            FakeGlobus::cluster_entry("sophia", &json!({})),
            FakeGlobus::endpoint_entry("sophia", MODEL, ENDPOINT, FUNCTION),
        ]);
    match redis {
        Some(redis) => plan.set("cache.redis_url", &redis.url()),
        None => plan,
    }
}

/// Waits until `/ready` tells this of Redis.
pub fn wait_for_cache(gateway: &Gateway, state: &str) {
    let wanted = format!(r#""name":"cache","state":"{state}""#);
    let begun = Instant::now();
    loop {
        let (status, body) = gateway.get("/ready").expect("an answer");
        assert_eq!(status, 200, "{body}");
        if body.contains(&wanted) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "not {state}: {body}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The same of several.
pub fn all_are(gateways: &[Gateway], state: &str) {
    for gateway in gateways {
        wait_for_cache(gateway, state);
    }
}

/// A caller who reads a stream, and what the stream's function knows.
pub struct Stream {
    pub task: String,
    pub token: String,
    reading: JoinHandle<Answer>,
}

/// What a post is answered with.
#[derive(Debug)]
pub struct Posted {
    pub status: u16,
    pub body: Value,
    pub took: Duration,
}

impl Stream {
    /// Asks this instance, and waits until the function is called.
    pub async fn open(globus: &FakeGlobus, gateway: &Gateway) -> Self {
        let before = globus.submitted().len();
        let caller = Caller::of(gateway);
        let reading = tokio::spawn(async move {
            caller.ask("chat/completions", &streamed_chat(MODEL, 100)).await
        });
        let given_up = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(submitted) = globus.submitted().get(before) {
                let parameters = &submitted.argument["model_params"];
                let text = |name: &str| parameters[name].as_str().unwrap().to_owned();
                let (task, token) = (text("stream_task_id"), text("stream_task_token"));
                return Self { task, token, reading };
            }
            assert!(!reading.is_finished(), "refused: {:?}", reading.await);
            assert!(Instant::now() < given_up, "no task is submitted");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Posts to this instance as the function would, but for what is given.
    pub async fn post_with(
        &self,
        to: &Gateway,
        kind: &str,
        (secret, token): (&str, &str),
        body: Vec<u8>,
    ) -> Posted {
        let caller = Caller::at(to.address(), None)
            .with_header("x-internal-secret", secret)
            .with_header("x-stream-task-token", token);
        let answer = caller.post(&format!("/resource_server/api/streaming/{kind}/"), body).await;
        Posted { status: answer.status, body: answer.json(), took: answer.took }
    }

    pub async fn post(&self, to: &Gateway, kind: &str, mut body: Value) -> Posted {
        body["task_id"] = self.task.clone().into();
        let shown = (STREAMING_SECRET, self.token.as_str());
        self.post_with(to, kind, shown, body.to_string().into_bytes()).await
    }

    /// Posts a piece of a chat.
    pub async fn say(&self, to: &Gateway, text: &str) -> Posted {
        self.post(to, "data", json!({"type": "data", "data": line(text)})).await
    }

    /// The same, where the post must be taken; how long that took.
    pub async fn says(&self, to: &Gateway, text: &str) -> Duration {
        let posted = self.say(to, text).await;
        assert_eq!((posted.status, &posted.body), (200, &json!({"status": "received"})));
        posted.took
    }

    /// Posts that the stream is done.
    pub async fn done(&self, to: &Gateway) -> Posted {
        self.post(to, "done", json!({"type": "done"})).await
    }

    /// Whether the caller has all that he will get.
    pub fn is_over(&self) -> bool {
        self.reading.is_finished()
    }

    /// What the caller got.
    pub async fn read(self) -> Answer {
        tokio::time::timeout(Duration::from_secs(30), self.reading)
            .await
            .expect("the stream ends")
            .expect("the caller reads")
    }

    /// The caller hangs up.
    pub async fn hang_up(&mut self) {
        self.reading.abort();
        let _ = (&mut self.reading).await;
    }
}

/// A line of the model's stream that says this.
pub fn line(text: &str) -> String {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    format!("data: {chunk}")
}

/// What a caller gets of a stream that says these, whole.
pub fn whole(texts: &[String]) -> String {
    let events = texts.iter().map(|text| format!("{}\n\n", line(text)));
    events.chain(["data: [DONE]\n\n".to_owned()]).collect()
}
