//! Limits on requests and tokens, as callers of one gateway meet them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    client::{Answer, Caller},
    fake::{Fake, Fault},
    federation::{self, Federation},
    gateway::{Gateway, Plan},
    requests::{self, chat, request},
    sharing::{ENDPOINT, MODEL},
};
use tokio::time::sleep;

const CHAT: &str = "chat/completions";

/// A gateway whose one endpoint has these settings.
fn gateway(fake: &Fake, endpoint: &[&str], settings: &[(&str, &str)]) -> Gateway {
    let plan = Plan::in_front_of(fake.api_url()).models([MODEL, "other"]);
    let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
    let mut gateway = plan.prepare();
    if !endpoint.is_empty() {
        gateway.run(&[&["endpoint", "set", ENDPOINT], endpoint].concat());
    }
    gateway.serve();
    gateway
}

/// A chat that reserves 5 tokens and the answer's `tokens`, and uses 3 and `tokens`.
fn chat_of(tokens: u64) -> Value {
    let mut body = chat(MODEL);
    body["max_tokens"] = tokens.into();
    body
}

fn tokens_left(answer: &Answer) -> u64 {
    answer.header("x-ratelimit-remaining-tokens").expect("a limit").parse().expect("a number")
}

/// The tokens that are left, by an answer that takes as few as can be.
async fn probe(caller: &Caller) -> u64 {
    tokens_left(&caller.ask(CHAT, &chat_of(1)).await.ok()) + 6
}

/// The milliseconds of a duration in OpenAI's format.
fn millis(text: &str) -> u64 {
    let (minutes, rest) =
        text.split_once('m').filter(|(_, rest)| *rest != "s").unwrap_or(("0", text));
    let seconds = match rest.strip_suffix("ms") {
        Some(millis) => millis.parse::<f64>().unwrap() / 1e3,
        None => rest.strip_suffix('s').expect("a unit").parse().unwrap(),
    };
    let seconds = Duration::from_secs_f64(seconds) + Duration::from_mins(minutes.parse().unwrap());
    seconds.as_millis().try_into().unwrap()
}

#[tokio::test]
async fn what_was_reserved_is_settled_with_what_was_used() {
    let fake = Fake::start();
    let gateway = gateway(&fake, &["--tpm-user", "1000"], &[]);
    let caller = Caller::of(&gateway);
    // 5 for the prompt, and 512 for an answer without a bound.
    assert_eq!(tokens_left(&caller.ask(CHAT, &chat(MODEL)).await.ok()), 1_000 - 517);
    let used = requests::PROMPT_TOKENS + requests::ANSWER_TOKENS;
    assert_eq!(probe(&caller).await, 1_000 - used);

    let mut streamed = chat_of(100);
    streamed["stream"] = true.into();
    assert_eq!(tokens_left(&caller.ask(CHAT, &streamed).await.ok()), 1_000 - used - 4 - 105);
    assert_eq!(probe(&caller).await, 1_000 - used - 4 - 103);
    for route in ["completions", "embeddings", "responses", "messages"] {
        let answer = caller.ask(route, &request(route, MODEL, false)).await.ok();
        assert!(answer.header("x-ratelimit-remaining-tokens").is_some(), "{route}");
    }
}

#[tokio::test]
async fn what_failed_gives_everything_back_and_what_was_left_does_not() {
    let fake = Fake::start();
    let gateway = gateway(&fake, &["--tpm-user", "1000", "--tpm-model", "2000"], &[]);
    let caller = Caller::of(&gateway);
    assert_eq!(probe(&caller).await, 1_000);
    let used = 4;
    for fault in [Fault::Status(500), Fault::Status(400), Fault::ResetBeforeHeaders, Fault::Html] {
        fake.script([Some(fault)]);
        let answer = caller.ask(CHAT, &chat_of(900)).await;
        assert_ne!(answer.status, 200, "{fault:?}");
    }
    assert_eq!(probe(&caller).await, 1_000 - used);

    fake.script([Some(Fault::HangBeforeHeaders)]);
    let asking = tokio::spawn({
        let caller = caller.clone();
        async move { caller.ask(CHAT, &chat_of(900)).await }
    });
    assert!(fake.wait_until(Duration::from_secs(5), |counts| counts.open == 1).await);
    let crowded = caller.ask(CHAT, &chat_of(900)).await;
    assert_eq!(crowded.status, 429, "while it is under way: {}", crowded.text());
    asking.abort();
    assert!(fake.wait_until(Duration::from_secs(5), |counts| counts.aborted == 1).await);
    gateway.wait_until_idle(Duration::from_secs(5));
    // Nobody knows how much of the answer had been made; on a cluster it is made to its end.
    let refused = caller.ask(CHAT, &chat_of(900)).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert_eq!(probe(&caller).await, 1_000 - 905 - 2 * used);
}

#[tokio::test]
async fn a_request_above_the_whole_limit_goes_when_nothing_else_was_used() {
    let fake = Fake::start();
    let gateway = gateway(&fake, &["--tpm-user", "100"], &[]);
    let caller = Caller::of(&gateway);
    let answer = caller.ask(CHAT, &chat_of(5_000)).await.ok();
    assert_eq!(tokens_left(&answer), 0);
    let refused = caller.ask(CHAT, &chat_of(1)).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((55..=60).contains(&wait), "{wait} s");
}

#[tokio::test]
async fn refusals_have_the_shape_of_each_api() {
    let fake = Fake::start();
    let settings = [("limits.requests_per_second_per_user", "50")];
    let gateway = gateway(&fake, &["--tpm-model", "20"], &settings);
    let caller = Caller::of(&gateway);
    caller.ask(CHAT, &chat_of(15)).await.ok();

    let refused = caller.ask(CHAT, &chat_of(15)).await;
    assert_eq!(refused.status, 429);
    let error = &refused.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&"tokens".into(), &"rate_limit_exceeded".into()));
    assert_eq!(error["param"], Value::Null);
    let message = error["message"].as_str().unwrap();
    for part in ["20 tokens per minute", "2 are left", "may take 20", "fake-model"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(refused.header("x-ratelimit-limit-tokens"), Some("20"));
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("50"));
    assert!(refused.header("retry-after").is_some());

    let mut message = request("messages", MODEL, false);
    message["max_tokens"] = 15.into();
    let refused = caller.ask("messages", &message).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["type"], "error");
    assert_eq!(refused.json()["error"]["type"], "rate_limit_error");
    assert!(refused.header("retry-after").is_some());

    let rows = gateway.wait_for_usage(3);
    let refused: Vec<_> = rows.iter().filter(|row| row.status == 429).collect();
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|row| row.prompt_tokens + row.completion_tokens == 0));
    let series = r#"figw_limiter_decisions_total{limit="tpm_model",decision="refused"}"#;
    assert_eq!(gateway.metric(series), Some(2.0));
}

#[tokio::test]
async fn requests_over_the_limit_of_a_second_are_refused_and_go_a_second_later() {
    let fake = Fake::start();
    let settings = [("limits.requests_per_second_per_user", "3")];
    let gateway = gateway(&fake, &[], &settings);
    let caller = Caller::of(&gateway);
    let begun = Instant::now();
    for left in ["2", "1", "0"] {
        let answer = caller.ask(CHAT, &chat(MODEL)).await.ok();
        assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("3"));
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some(left));
        let reset = millis(answer.header("x-ratelimit-reset-requests").unwrap());
        assert!((1..=1_000).contains(&reset), "{reset} ms");
        assert_eq!(answer.header("x-ratelimit-limit-tokens"), None, "there is no such limit");
    }
    let refused = caller.ask(CHAT, &chat(MODEL)).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "too slow to tell");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    let error = &refused.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&"requests".into(), &"rate_limit_exceeded".into())
    );
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));

    let other = caller.with_key(&gateway.create_key("somebody@example.org"));
    sleep(Duration::from_secs(5)).await;
    caller.ask(CHAT, &chat(MODEL)).await.ok();
    other.ask(CHAT, &chat(MODEL)).await.ok();
}

#[tokio::test]
async fn of_two_limits_the_tighter_one_is_told_and_each_user_has_their_own() {
    let fake = Fake::start();
    let gateway = gateway(&fake, &["--tpm-user", "100", "--tpm-model", "150"], &[]);
    let caller = Caller::of(&gateway);
    let other = caller.with_key(&gateway.create_key("somebody@example.org"));
    while other.get("/v1/models").await.status != 200 {
        sleep(Duration::from_millis(50)).await;
    }
    let answer = caller.ask(CHAT, &chat_of(55)).await.ok();
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("100"));
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("40"));
    let reset = millis(answer.header("x-ratelimit-reset-tokens").unwrap());
    assert!((55_000..=60_000).contains(&reset), "{reset} ms");

    // 58 are used of the model's, so 92 are left of those; the other user's own are untouched.
    let answer = other.ask(CHAT, &chat_of(45)).await.ok();
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("150"));
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("42"));
    let refused = other.ask(CHAT, &chat_of(45)).await;
    assert!(refused.text().contains("the limit of all its users"), "{}", refused.text());
    let refused = caller.ask(CHAT, &chat_of(45)).await;
    assert!(refused.text().contains("your limit"), "{}", refused.text());
}

#[tokio::test]
async fn without_limits_nothing_is_told() {
    let fake = Fake::start();
    let gateway = gateway(&fake, &[], &[]);
    let answer = Caller::of(&gateway).ask(CHAT, &chat(MODEL)).await.ok();
    let told = answer.headers.keys().filter(|name| name.as_str().starts_with("x-ratelimit"));
    assert_eq!(told.count(), 0, "{:?}", answer.headers);
}

#[tokio::test]
async fn a_target_over_its_limit_is_passed_over_for_another() {
    let federation = Federation::of(2, &[]);
    federation.gateway.run(&["endpoint", "set", "c0-m", "--tpm-model", "40"]);
    wait_for_catalogue(&federation.gateway, 1).await;
    let mut body = chat(federation::MODEL);
    body["max_tokens"] = 5.into();
    for _ in 0..30 {
        federation.caller.ask(CHAT, &body).await.ok();
    }
    let opened = federation.opened();
    assert!((1..=4).contains(&opened[0]), "{opened:?}");
    assert_eq!(opened[0] + opened[1], 30);
    assert!(!federation.is_out(0), "its limit is no fault of the endpoint's");

    federation.gateway.run(&["endpoint", "set", "c1-m", "--tpm-user", "40"]);
    wait_for_catalogue(&federation.gateway, 2).await;
    let mut refused = None;
    for _ in 0..10 {
        refused = Some(federation.caller.ask(CHAT, &body).await).filter(|a| a.status != 200);
    }
    let refused = refused.expect("both are over their limits");
    assert_eq!((refused.status, &refused.json()["error"]["type"]), (429, &"tokens".into()));
    federation.assert_at_rest().await;
}

#[tokio::test]
async fn changed_limits_hold_at_once_and_what_was_spent_stays_spent() {
    let fake = Fake::start();
    let mut gateway = gateway(&fake, &["--tpm-user", "1000"], &[]);
    let caller = Caller::of(&gateway);
    caller.ask(CHAT, &chat_of(97)).await.ok();

    gateway.run(&["endpoint", "set", ENDPOINT, "--tpm-user", "110"]);
    wait_for_catalogue(&gateway, 1).await;
    assert_eq!(caller.ask(CHAT, &chat_of(10)).await.status, 429, "100 of 110 are spent");
    assert_eq!(probe(&caller).await, 10);
    gateway.run(&["endpoint", "set", ENDPOINT, "--tpm-user", "0"]);
    wait_for_catalogue(&gateway, 2).await;
    caller.ask(CHAT, &chat_of(500)).await.ok();

    let file = gateway.directory().join("config.yaml");
    let config = fs::read_to_string(&file).unwrap();
    for (rate, sent) in [("5", 20), ("0", 20)] {
        fs::write(&file, format!("{config}limits:\n  requests_per_second_per_user: {rate}\n"))
            .unwrap();
        let reloads = gateway.log().matches("configuration reloaded").count();
        gateway.signal("HUP");
        wait_for_log(&gateway, "configuration reloaded", reloads + 1).await;
        let mut refused = 0;
        for _ in 0..sent {
            refused += u32::from(caller.get("/v1/models").await.status == 429);
        }
        assert_eq!(refused > 0, rate != "0", "{refused} refused at {rate}");
    }
    gateway.kill();
}

async fn wait_for_catalogue(gateway: &Gateway, times: usize) {
    wait_for_log(gateway, "catalogue loaded", times).await;
}

async fn wait_for_log(gateway: &Gateway, text: &str, times: usize) {
    let given_up = Instant::now() + Duration::from_secs(10);
    while gateway.log().matches(text).count() < times {
        assert!(Instant::now() < given_up, "not {times} × {text}: {}", gateway.log());
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn limits_do_not_wait_for_a_redis_that_is_not_there() {
    let fake = Fake::start();
    let settings = [
        ("limits.requests_per_second_per_user", "1000"),
        ("cache.redis_url", "redis://127.0.0.1:9/0"),
    ];
    let gateway = gateway(&fake, &["--tpm-user", "100000"], &settings);
    let caller = Caller::of(&gateway);
    let begun = Instant::now();
    for _ in 0..50 {
        caller.ask(CHAT, &chat(MODEL)).await.ok();
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(gateway.metric("figw_limiter_alone"), Some(1.0));
    let series = r#"figw_limiter_decisions_total{limit="tpm_user",decision="admitted_alone"}"#;
    assert_eq!(gateway.metric(series), Some(50.0));
    let (status, ready) = gateway.get("/ready").unwrap();
    assert!(status == 200 && ready.contains("degraded"), "{ready}");
}
