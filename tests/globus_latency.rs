//! How much time figw adds to what Globus itself takes.
//!
//! The promise is a release build's (`cargo test --release --test globus_latency`). A debug build is
//! slower by far, and the machines that run `cargo test` do other things meanwhile, so there each
//! limit is [`LENIENCE`] times as high, and holds for 95 of 100 chats: that still shows a lost
//! wake-up, a poll or a pause.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use serde_json::json;
use support::{
    globus::{FakeGlobus, Function, Outcome, Post, Script, Service},
    rabbitmq::RabbitMq,
    requests::streamed_chat,
    site::{MODEL, Site, said, saying},
};
use tokio::task::JoinSet;

/// What a limit is multiplied by.
const LENIENCE: u32 = if cfg!(debug_assertions) { 10 } else { 1 };
/// How long figw gathers tasks for one request.
const WINDOW: Duration = Duration::from_millis(10);
/// What figw may add beyond that, at this percentile.
const ADDED: Duration = Duration::from_millis(5);
const PERCENTILE: usize = if cfg!(debug_assertions) { 95 } else { 99 };
/// Of fewer than a hundred, the 99th percentile is the longest.
const RARE_CHATS: usize = if cfg!(debug_assertions) { 20 } else { 120 };
/// How long a piece of a stream may take through figw, at the median.
const THROUGH: Duration = Duration::from_millis(1);
/// How long each task runs.
const RUN: Duration = Duration::from_millis(100);
/// For loads that are not about Globus' limit of requests.
const UNLIMITED: &str = "requests_per_ten_seconds: 100000";

/// One story at a time: two would measure each other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Times in order.
struct Times(Vec<Duration>);

impl Times {
    fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }

    /// By the nearest rank.
    fn percentile(&self, percent: usize) -> Duration {
        self.0[(self.0.len() * percent).div_ceil(100) - 1]
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: median {:?}, p99 {:?}, most {:?} of {}",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.0.len()
        );
    }
}

fn site(broker: &RabbitMq, function: Function, compute: &[&str]) -> Site {
    let globus = FakeGlobus::start_with_broker(&broker.service_url(), broker.client_urls());
    site_at(globus, function, compute)
}

fn site_at(globus: FakeGlobus, function: Function, compute: &[&str]) -> Site {
    let window = format!("coalesce: {}ms", WINDOW.as_millis());
    let compute = [&[window.as_str()], compute].concat();
    Site::start_with(globus, function, &compute, |plan| plan.set("gateway.request_timeout", "10s"))
}

/// What figw adds to chats that come at this rate: the time between question and answer, without
/// that from the service's acceptance of the task to its end.
async fn added(site: &Site, per_second: u32, chats: usize) -> Times {
    // The connection to the broker is made by the first task, and its queue with it.
    site.say("warm-up").await.ok();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut asked = JoinSet::new();
    for number in 0..chats {
        ticks.tick().await;
        let (caller, text) = (site.caller(), format!("chat {number}"));
        asked.spawn(async move {
            let answer = caller.ask("chat/completions", &saying(&text)).await.ok();
            assert_eq!(said(&answer), text);
            (text, answer.took)
        });
    }
    let took: HashMap<_, _> = asked.join_all().await.into_iter().collect();
    let tasks = site.globus.submitted().into_iter().filter_map(|task| {
        let messages = &task.argument["model_params"]["messages"];
        let took = took.get(messages[0]["content"].as_str()?)?;
        Some(took.saturating_sub(task.ended?.duration_since(task.accepted)))
    });
    let times = Times::new(tasks.collect());
    assert_eq!(times.0.len(), chats, "every chat was measured");
    times
}

#[track_caller]
fn assert_little_is_added(times: &Times) {
    let limit = ADDED * LENIENCE + WINDOW;
    let measured = times.percentile(PERCENTILE);
    assert!(measured <= limit, "{measured:?} at p{PERCENTILE}, more than {limit:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_is_added_to_one_chat_a_second() {
    let _alone = ALONE.lock().await;
    let broker = RabbitMq::start_new();
    let site = site(&broker, Function::inference(Duration::ZERO).taking(RUN), &[]);
    let times = added(&site, 1, RARE_CHATS).await;
    times.print("added at 1 chat a second");
    assert_little_is_added(&times);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_is_added_to_fifty_chats_a_second() {
    let _alone = ALONE.lock().await;
    let broker = RabbitMq::start_new();
    let site = site(&broker, Function::inference(Duration::ZERO).taking(RUN), &[UNLIMITED]);
    let times = added(&site, 50, 500).await;
    times.print("added at 50 chats a second");
    assert_little_is_added(&times);
}

/// Two submits a second are all that Globus allows: tasks wait for the next one, and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_chats_a_second_wait_for_the_next_allowed_submit_and_no_longer() {
    let _alone = ALONE.lock().await;
    let broker = RabbitMq::start_new();
    let site = site(&broker, Function::inference(Duration::ZERO).taking(RUN), &[]);
    site.globus.enforce_request_limit(true);
    let times = added(&site, 50, 750).await;
    times.print("added at 50 chats a second under Globus' limit");
    let busiest = site.globus.busiest(Service::Compute, Duration::from_secs(10));
    assert!(busiest <= 20, "{busiest} requests in ten seconds");
    // A submit comes each 0.525 s; a status or a login takes the place of one now and then.
    assert!(times.percentile(50) <= Duration::from_millis(600), "{:?}", times.percentile(50));
    assert!(times.percentile(99) <= Duration::from_millis(1_600), "{:?}", times.percentile(99));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_wait_in_vain_delay_nobody() {
    let _alone = ALONE.lock().await;
    let broker = RabbitMq::start_new();
    let usual = Function::inference(Duration::ZERO);
    let function = Function::new(move |argument| {
        let messages = &argument["model_params"]["messages"];
        if messages[0]["content"] == "never" { Outcome::Never } else { usual.call(argument) }
    });
    let site = site(&broker, function.taking(RUN), &[UNLIMITED]);
    let mut vain = JoinSet::new();
    for _ in 0..50 {
        let caller = site.caller();
        vain.spawn(async move { caller.ask("chat/completions", &saying("never")).await });
    }
    // Longer than those wait.
    let times = added(&site, 20, 240).await;
    times.print("added at 20 chats a second beside 50 callers who wait in vain");
    assert_little_is_added(&times);
    for answer in vain.join_all().await {
        assert_eq!(answer.status, 504, "{}", answer.text());
    }
}

/// A stream's pieces at a function's own pace, one each half second; each says whose it is.
fn pieces(stream: u64) -> Script {
    const PIECES: u64 = 10;
    let piece = |i| {
        let event = json!({"id": "c", "object": "chat.completion.chunk", "created": 1,
            "model": "m", "choices": [{"index": 0, "finish_reason": null,
                "delta": {"content": format!("{stream}:{i}")}}]});
        Post::Data(format!("data: {event}"))
    };
    let posts = (0..PIECES).map(piece).chain([Post::Done]).collect();
    Script { posts, pace: Duration::from_millis(500) }
}

/// When each piece of a stream came.
async fn arrivals(site: &Site, stream: usize) -> Vec<(String, Instant)> {
    let caller = site.caller();
    let mut body = streamed_chat(MODEL, 10);
    body["messages"][0]["content"] = stream.to_string().into();
    let response = caller.open("/v1/chat/completions", &body).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let mut incoming = response.into_body();
    let (mut came, mut text) = (Vec::new(), String::new());
    while let Some(frame) = incoming.frame().await {
        let now = Instant::now();
        let frame = frame.expect("a whole stream");
        text.push_str(std::str::from_utf8(frame.data_ref().expect("data")).expect("UTF-8"));
        while let Some((event, rest)) = text.split_once("\n\n") {
            came.push((event.to_owned(), now));
            text = rest.to_owned();
        }
    }
    assert_eq!(came.pop().expect("events").0, "data: [DONE]");
    assert_eq!(came.len(), 10, "{came:?}");
    came
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_two_hundred_streams_go_straight_through() {
    const STREAMS: usize = 200;
    let _alone = ALONE.lock().await;
    // Spread over the half second between two pieces, as streams that began at different times are.
    let function = Function::new(|argument| {
        let messages = &argument["model_params"]["messages"];
        let stream: u64 = messages[0]["content"].as_str().unwrap().parse().unwrap_or(0);
        let begins = Duration::from_micros(2_500 * stream);
        Outcome::After(begins, Outcome::Streams(pieces(stream)).into())
    });
    let site = Arc::new(site_at(FakeGlobus::start(), function, &[UNLIMITED, "results: poll"]));
    let mut streams = JoinSet::new();
    for stream in 0..STREAMS {
        let site = Arc::clone(&site);
        streams.spawn(async move { arrivals(&site, stream).await });
    }
    let came = streams.join_all().await;
    let posted = site.globus.posted();
    let sent: HashMap<_, _> = posted
        .iter()
        .map(|posted| {
            assert_eq!(posted.status, Ok(200), "{posted:?}");
            (&posted.post, posted.at)
        })
        .collect();
    let through = came.iter().flatten().map(|(event, at)| {
        let sent = sent[&Post::Data(event.clone())];
        at.duration_since(sent)
    });
    let times = Times::new(through.collect());
    times.print("from the cluster to the client with 200 streams");
    assert_eq!(times.0.len(), 10 * STREAMS);
    let limit = THROUGH * LENIENCE;
    assert!(times.percentile(50) <= limit, "{:?}, more than {limit:?}", times.percentile(50));
}
