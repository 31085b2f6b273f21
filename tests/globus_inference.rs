//! Models on clusters, asked through Globus Compute: whole answers, streams, and what goes wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::{
    client::Caller,
    gateway::{FRAMEWORK, Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Outcome, Post, Script, model_refusal},
    requests::{chat, streamed_chat},
};
use tokio::task::JoinSet;
use uuid::{Uuid, uuid};

const ENDPOINT: Uuid = uuid!("00000000-0000-4000-8000-000000000501");
const FUNCTION: Uuid = uuid!("00000000-0000-4000-8000-000000000601");
const MODEL: &str = "meta-llama/Meta-Llama-3.1-8B-Instruct";

/// A gateway in front of one model, which this function answers for.
struct World {
    globus: FakeGlobus,
    gateway: Gateway,
    caller: Caller,
}

impl World {
    fn with(function: Function) -> Self {
        Self::configured(function, |plan| plan)
    }

    fn configured(function: Function, configure: impl FnOnce(Plan) -> Plan) -> Self {
        let globus = FakeGlobus::start();
        globus.endpoint(ENDPOINT, Endpoint::ONLINE);
        globus.function(FUNCTION, function);
        let plan = Plan::in_front_of("http://127.0.0.1:9/v1")
            .settings(&globus.config_with(&[], &["results: poll"]))
            .entries([
                FakeGlobus::cluster_entry("sophia", &json!({})),
                FakeGlobus::endpoint_entry("sophia", MODEL, ENDPOINT, FUNCTION),
            ]);
        let gateway = configure(plan).start();
        let caller = Caller::of(&gateway);
        Self { globus, gateway, caller }
    }
}

fn says(text: &str) -> Post {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    Post::Data(format!("data: {chunk}"))
}

fn script(posts: impl IntoIterator<Item = Post>) -> Function {
    let script = Script { posts: posts.into_iter().collect(), pace: Duration::from_millis(10) };
    Function::new(move |_| Outcome::Streams(script.clone()))
}

/// What the pieces of a streamed chat say, and how it ends.
fn said(events: &[&str]) -> (String, String) {
    let (last, pieces) = events.split_last().expect("events");
    let piece = |event: &&str| {
        let event: Value = serde_json::from_str(event).unwrap();
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    (pieces.iter().map(piece).collect(), (*last).to_owned())
}

#[tokio::test]
async fn a_chat_is_answered_by_the_function_with_the_callers_own_fields() {
    let world = World::with(Function::inference(Duration::ZERO));
    let mut body = chat(MODEL);
    body["temperature"] = json!(0.25);
    body["a field of tomorrow"] = json!({"héllo": ["✓", 1e30]});
    let mut attack = body.clone();
    for reserved in ["openai_endpoint", "api_port", "streaming_server_host", "stream_task_token"] {
        attack[reserved] = "../../evil".into();
    }
    let path = format!("/resource_server/sophia/{FRAMEWORK}/v1/chat/completions");
    let answer = world.caller.post(&path, attack.to_string()).await.ok().json();
    assert_eq!(answer["choices"][0]["message"]["content"], "three short words");
    assert_eq!(answer["model"], MODEL);

    let mut expected = body;
    expected["openai_endpoint"] = "chat/completions".into();
    expected["api_port"] = 8000.into();
    let tasks = world.globus.submitted();
    assert_eq!(tasks.len(), 1);
    assert_eq!(tasks[0].argument, json!({"model_params": expected}));
    let rows = world.gateway.wait_for_usage(1);
    assert_eq!((rows[0].status, rows[0].backend_status), (200, Some(200)));
    assert_eq!((rows[0].prompt_tokens, rows[0].completion_tokens), (3, 5));
    assert!(!rows[0].tokens_estimated);
}

#[tokio::test]
async fn a_stream_comes_back_in_order_and_ends_with_done() {
    let world = World::with(Function::inference(Duration::from_millis(5)));
    let answer = world.caller.ask("chat/completions", &streamed_chat(MODEL, 20)).await.ok();
    let expected: Vec<_> = (0..20).map(|i| format!("{i} ")).collect();
    assert_eq!(said(&answer.events()), (expected.concat(), "[DONE]".to_owned()));
    assert!(world.globus.posted().iter().all(|posted| posted.status == Ok(200)));
    let rows = world.gateway.wait_for_usage(1);
    assert!(rows[0].streamed && rows[0].first_byte_us.is_some() && rows[0].error.is_none());
    assert_eq!((rows[0].prompt_tokens, rows[0].completion_tokens), (3, 20));
}

#[tokio::test]
async fn a_model_that_refuses_keeps_its_status_and_its_words() {
    let words = r#"{"object":"error","message":"max_tokens is too large","code":400}"#;
    let whole = World::with(Function::new(move |_| model_refusal(400, words)));
    let refused = whole.caller.ask("chat/completions", &chat(MODEL)).await;
    assert_eq!((refused.status, refused.text()), (400, words));

    let text = format!("API request failed with status code: 400\nResponse text: {words}");
    // FIRST's function posts it twice.
    let streamed = World::with(script([Post::Error(text.clone()), Post::Error(text)]));
    let refused = streamed.caller.ask("chat/completions", &streamed_chat(MODEL, 3)).await;
    assert_eq!((refused.status, refused.text()), (400, words));
    let rows = streamed.gateway.wait_for_usage(1);
    assert_eq!((rows[0].status, rows[0].backend_status), (400, Some(400)));

    let broken = World::with(Function::new(|_| model_refusal(500, "gpu-node-17 is on fire")));
    let failed = broken.caller.ask("chat/completions", &chat(MODEL)).await;
    assert_eq!(failed.status, 502);
    assert!(!failed.text().contains("gpu-node-17"), "{}", failed.text());
}

#[tokio::test]
async fn a_function_that_fails_tells_the_operator_its_exception_and_the_caller_nothing() {
    let inside = "FileNotFoundError: /home/someone/model on gpu-node-17";
    let world = World::with(Function::new(move |_| Outcome::Raises(inside.to_owned())));
    for body in [chat(MODEL), streamed_chat(MODEL, 3)] {
        let failed = world.caller.ask("chat/completions", &body).await;
        assert_eq!(failed.status, 502);
        assert!(!failed.text().contains("someone"), "{}", failed.text());
    }
    // Its words may quote the prompt, so the log has none of them.
    let log = world.gateway.log();
    assert!(log.contains("the function failed (Exception, ") && !log.contains("gpu-node"), "{log}");
}

#[tokio::test]
async fn a_stream_that_fails_in_its_middle_says_so_and_is_not_done() {
    let failure = "ChunkedEncodingError at /home/someone".to_owned();
    let world = World::with(script([says("one "), says("two "), Post::Error(failure)]));
    let answer = world.caller.ask("chat/completions", &streamed_chat(MODEL, 3)).await.ok();
    let (text, last) = said(&answer.events());
    assert_eq!(text, "one two ");
    let error: Value = serde_json::from_str(&last).unwrap();
    assert_eq!(error["error"]["message"], "the model failed in the middle of its answer");
}

#[tokio::test]
async fn a_stream_whose_function_has_returned_ends_without_done() {
    let world = World::with(script([says("one "), says("two ")]));
    let answer = world.caller.ask("chat/completions", &streamed_chat(MODEL, 3)).await.ok();
    assert_eq!(said(&answer.events()), ("one two ".to_owned(), "[DONE]".to_owned()));
    assert!(answer.took < Duration::from_secs(10), "{:?}", answer.took);
}

#[tokio::test]
async fn a_cluster_that_is_offline_is_a_503_with_a_time_to_try_again() {
    let world = World::with(Function::inference(Duration::ZERO));
    world.globus.endpoint(ENDPOINT, Endpoint::OFFLINE);
    let refused = world.caller.ask("chat/completions", &chat(MODEL)).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], "endpoint_offline");
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert!(world.globus.submitted().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_gives_up_harms_nobody_else() {
    let slow = Function::new(|argument| match argument["model_params"]["max_tokens"].as_u64() {
        Some(1) => Outcome::Never,
        _ => Outcome::After(
            Duration::from_secs(2),
            Box::new(Outcome::Returns(r#"{"choices": []}"#.into())),
        ),
    });
    let world = World::configured(slow, |plan| plan.set("gateway.first_byte_timeout", "4s"));
    let mut stuck = chat(MODEL);
    stuck["max_tokens"] = 1.into();
    let fine = chat(MODEL);
    let gone = tokio::time::timeout(
        Duration::from_secs(1),
        world.caller.try_ask("chat/completions", &stuck),
    );
    let (gone, late, served) = tokio::join!(
        gone,
        world.caller.ask("chat/completions", &stuck),
        world.caller.ask("chat/completions", &fine),
    );
    assert!(gone.is_err(), "it hung up");
    assert_eq!((late.status, served.status), (504, 200));
    world.gateway.wait_until_idle(Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_hangs_up_has_the_rest_of_the_stream_refused() {
    let world = World::with(script((0..200).map(|i| says(&format!("{i} ")))));
    let response =
        world.caller.open("/v1/chat/completions", &streamed_chat(MODEL, 200)).await.unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    world.gateway.wait_until_idle(Duration::from_secs(5));
    let given_up = Instant::now() + Duration::from_secs(10);
    while world.globus.posted().last().is_none_or(|posted| posted.status != Ok(403)) {
        assert!(Instant::now() < given_up, "{:?}", world.globus.posted().last());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn without_a_way_back_streams_are_refused_and_whole_answers_are_not() {
    let globus = FakeGlobus::start();
    globus.endpoint(ENDPOINT, Endpoint::ONLINE);
    globus.function(FUNCTION, Function::inference(Duration::ZERO));
    let settings = globus.config_with(&[], &["results: poll"]);
    let settings: Vec<_> =
        settings.lines().filter(|line| !line.trim_start().starts_with("streaming_")).collect();
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1")
        .settings(&format!("{}\n", settings.join("\n")))
        .entries([
            FakeGlobus::cluster_entry("sophia", &json!({})),
            FakeGlobus::endpoint_entry("sophia", MODEL, ENDPOINT, FUNCTION),
        ])
        .start();
    let caller = Caller::of(&gateway);
    caller.ask("chat/completions", &chat(MODEL)).await.ok();
    let refused = caller.ask("chat/completions", &streamed_chat(MODEL, 3)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["param"], "stream");
    assert_eq!(globus.submitted().len(), 1);
}

/// A debug build on a busy machine is given more time.
const MEDIAN: Duration =
    if cfg!(debug_assertions) { Duration::from_millis(20) } else { Duration::from_millis(1) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunk_is_with_its_caller_in_a_millisecond_among_two_hundred_streams() {
    const STREAMS: usize = 200;
    const CHUNKS: usize = 12;
    // FIRST's function posts twice a second.
    let world = World::with(Function::new(|argument| {
        let number = argument["model_params"]["messages"][0]["content"].as_str().unwrap();
        let chunks = (0..CHUNKS).map(|i| says(&format!("{number}-{i}")));
        let posts = chunks.chain([Post::Done]).collect();
        let script = Script { posts, pace: Duration::from_millis(500) };
        let number: u32 = number.parse().unwrap();
        Outcome::After(Duration::from_micros(2500) * number, Box::new(Outcome::Streams(script)))
    }));
    let mut callers = JoinSet::new();
    for number in 0..STREAMS {
        let caller = world.caller.clone();
        callers.spawn(async move {
            let mut body = streamed_chat(MODEL, CHUNKS);
            body["messages"][0]["content"] = number.to_string().into();
            let response = caller.open("/v1/chat/completions", &body).await.expect("an answer");
            let mut body = response.into_body();
            let mut came = Vec::new();
            while let Some(frame) = body.frame().await {
                let at = Instant::now();
                let data = frame.unwrap().into_data().unwrap();
                for event in String::from_utf8(data.to_vec()).unwrap().lines() {
                    if let Some(Ok(event)) =
                        event.strip_prefix("data: ").map(serde_json::from_str::<Value>)
                    {
                        let text = event["choices"][0]["delta"]["content"].as_str().unwrap();
                        came.push((text.to_owned(), at));
                    }
                }
            }
            came
        });
    }
    let mut came = HashMap::new();
    while let Some(read) = callers.join_next().await {
        came.extend(read.unwrap());
    }
    assert_eq!(came.len(), STREAMS * CHUNKS, "each chunk came once");
    let mut delays: Vec<_> = world
        .globus
        .posted()
        .iter()
        .filter_map(|posted| {
            let Post::Data(line) = &posted.post else { return None };
            let event: Value = serde_json::from_str(line.strip_prefix("data: ")?).unwrap();
            let text = event["choices"][0]["delta"]["content"].as_str().unwrap();
            Some(came[text].saturating_duration_since(posted.at))
        })
        .collect();
    delays.sort_unstable();
    let (median, p99) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
    println!("from post to caller: median {median:?}, p99 {p99:?}");
    assert!(median <= MEDIAN, "median {median:?}, p99 {p99:?}");
}

#[tokio::test]
async fn an_operator_tries_the_endpoint_with_one_real_request() {
    let world = World::with(Function::new(|argument| {
        if argument["model_params"]["max_tokens"] == 1 {
            Outcome::Returns(json!(json!({"model": MODEL, "choices": []}).to_string()))
        } else {
            Outcome::Raises("not the smallest request".to_owned())
        }
    }));
    let slug = "sophia-vllm-meta-llamameta-llama-31-8b-instruct";
    let report: Value =
        serde_json::from_str(&world.gateway.run(&["--output", "json", "endpoint", "test", slug]))
            .unwrap();
    assert_eq!((&report["ok"], &report["status"]), (&json!(true), &json!(200)), "{report}");
    assert_eq!(report["model"], MODEL);
    assert_eq!(world.globus.submitted().len(), 1);

    world.globus.function(FUNCTION, Function::new(|_| model_refusal(404, "no such model")));
    let failed = world.gateway.command().args(["endpoint", "test", slug]).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stdout).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("failed, status 404") && said.contains("no such model"), "{said}");
}
