//! Back ends that fail in every way there is: what the caller gets, and what is written down.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use support::{
    client::{Answer, Caller},
    fake::{Fake, Fault},
    gateway::{Gateway, Plan},
    requests::{REQUESTS, STREAMED, chat, request, streamed_chat},
    rows::Usage,
};

/// The budget of a back end in these stories.
const BUDGET: &str = "400ms";

fn start() -> (Fake, Gateway) {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model"])
        .set("gateway.first_byte_timeout", BUDGET)
        .set("gateway.idle_timeout", BUDGET)
        .start();
    (fake, gateway)
}

/// The error in an answer, in the shape of the route's API.
fn error_type(route: &str, answer: &Answer) -> String {
    let error = answer.json();
    if route == "messages" {
        assert_eq!(error["type"], "error", "{error}");
    } else {
        let members: Vec<_> = error["error"].as_object().unwrap().keys().collect();
        assert_eq!(members, ["message", "type", "param", "code"], "{error}");
    }
    assert!(error["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{error}");
    error["error"]["type"].as_str().unwrap().to_owned()
}

/// A fault that strikes before the answer begins, and what becomes of it.
struct Refused {
    fault: Fault,
    /// Whether it strikes streams like this, too; midway they have begun.
    in_streams: bool,
    status: u16,
    openai: &'static str,
    anthropic: &'static str,
    /// The back end's own status.
    backend: Option<u16>,
}

const fn refused(fault: Fault, in_streams: bool, status: u16, backend: Option<u16>) -> Refused {
    let (openai, anthropic) = match status {
        503 => ("server_error", "overloaded_error"),
        504 => ("server_error", "timeout_error"),
        _ => ("server_error", "api_error"),
    };
    Refused { fault, in_streams, status, openai, anthropic, backend }
}

const REFUSED: [Refused; 10] = [
    refused(Fault::Status(500), true, 502, Some(500)),
    refused(Fault::Status(501), true, 502, Some(501)),
    refused(Fault::Status(302), true, 502, Some(302)),
    refused(Fault::Status(503), true, 503, Some(503)),
    refused(Fault::HangBeforeHeaders, true, 504, None),
    refused(Fault::HangAfterHeaders, true, 504, Some(200)),
    refused(Fault::HangMidway, false, 504, Some(200)),
    refused(Fault::ResetBeforeHeaders, true, 502, None),
    refused(Fault::ResetMidway, false, 502, Some(200)),
    refused(Fault::Html, true, 502, Some(200)),
];

#[tokio::test]
async fn a_failure_before_the_first_byte_is_a_clean_error_in_the_caller_s_own_shape() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    let mut expected = Vec::new();
    for case in REFUSED.iter().chain([&refused(Fault::MalformedJson, false, 502, Some(200))]) {
        fake.always(Some(case.fault));
        for (route, streamed) in REQUESTS {
            if streamed && !case.in_streams {
                continue;
            }
            let what = format!("{:?} on {route}, streamed {streamed}", case.fault);
            let begun = Instant::now();
            let answer = caller.ask(route, &request(route, "fake-model", streamed)).await;
            assert_eq!(answer.status, case.status, "{what}: {}", answer.text());
            let shape = if route == "messages" { case.anthropic } else { case.openai };
            assert_eq!(error_type(route, &answer), shape, "{what}");
            assert!(answer.header("x-request-id").is_some(), "{what}");
            let retry = (case.status == 503).then_some("7");
            assert_eq!(answer.header("retry-after"), retry, "{what}");
            assert!(!answer.text().contains("127.0.0.1"), "an address in {}", answer.text());
            assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
            expected.push((case.status, case.backend));
        }
    }
    gateway.wait_until_idle(Duration::from_secs(5));
    let rows = gateway.wait_for_usage(expected.len());
    let written: Vec<_> = rows.iter().map(|row| (row.status, row.backend_status)).collect();
    assert_eq!(written, expected);
    for row in rows {
        assert!(row.error.as_deref().is_some_and(|error| !error.is_empty()), "{row:?}");
        if row.backend_status != Some(200) {
            assert_eq!((row.prompt_tokens, row.completion_tokens), (0, 0), "{row:?}");
        }
    }
}

#[tokio::test]
async fn a_back_end_s_own_refusal_passes_through_with_its_body() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    let statuses = [400, 401, 403, 404, 413, 422, 429];
    for status in statuses {
        fake.always(Some(Fault::Status(status)));
        for (route, streamed) in REQUESTS {
            let answer = caller.ask(route, &request(route, "fake-model", streamed)).await;
            assert_eq!(answer.status, status);
            let message = answer.json()["error"]["message"].clone();
            assert_eq!(message, format!("the fake back end says {status}"));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("retry-after"), (status == 429).then_some("7"));
        }
    }
    let rows = gateway.wait_for_usage(statuses.len() * REQUESTS.len());
    for (row, status) in rows.iter().zip(statuses.iter().flat_map(|s| [s; REQUESTS.len()])) {
        assert_eq!((row.status, row.backend_status), (*status, Some(*status)));
        assert_eq!((row.prompt_tokens, row.completion_tokens), (0, 0));
        assert!(row.error.is_some(), "{row:?}");
    }
}

/// The error event that a stream ends with, after some of the answer.
fn assert_ends_in_an_error(route: &str, answer: &Answer) {
    assert_eq!(answer.status, 200);
    assert!(!answer.cut, "{route}: the answer ends in order");
    let events = answer.events();
    assert!(!events.contains(&"[DONE]"), "{route}: {events:?}");
    assert!(!answer.text().contains("message_stop"), "{route}: {events:?}");
    assert!(!answer.text().contains("response.completed"), "{route}: {events:?}");
    assert!(answer.text().contains("0 "), "{route}: the first chunk came: {events:?}");
    assert!(answer.text().ends_with("\n\n"), "{route}: whole events only");
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    let is_error = match route {
        "messages" => last["type"] == "error" && last["error"]["message"].is_string(),
        // Its own API has the message on top, an error of figw the shape of all others.
        "responses" => last["type"] == "error" || last["error"]["message"].is_string(),
        _ => last["error"]["message"].is_string() && last["error"]["type"].is_string(),
    };
    assert!(is_error, "{route}: {last}");
}

#[tokio::test]
async fn a_stream_that_fails_midway_ends_with_an_error_event_and_without_done() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    let faults = [Fault::HangMidway, Fault::ResetMidway, Fault::ErrorEvent, Fault::CutShort];
    for fault in faults {
        fake.always(Some(fault));
        for route in STREAMED {
            let answer = caller.ask(route, &request(route, "fake-model", true)).await;
            assert_ends_in_an_error(route, &answer);
        }
    }
    gateway.wait_until_idle(Duration::from_secs(5));
    for row in gateway.wait_for_usage(faults.len() * STREAMED.len()) {
        assert_eq!((row.status, row.backend_status), (200, Some(200)), "{row:?}");
        assert!(row.error.is_some(), "{row:?}");
        assert!(row.completion_tokens > 0, "what came is counted: {row:?}");
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_no_stream_but_a_502() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::ErrorFirst));
    for route in STREAMED {
        let answer = caller.ask(route, &request(route, "fake-model", true)).await;
        assert_eq!(answer.status, 502, "{route}");
        error_type(route, &answer);
    }
    for row in gateway.wait_for_usage(STREAMED.len()) {
        assert_eq!((row.status, row.backend_status), (502, Some(200)), "{row:?}");
    }
}

#[tokio::test]
async fn slow_and_split_answers_arrive_whole() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    let pause = Duration::from_millis(150);
    for fault in [Fault::SlowChunks(pause), Fault::SplitFirstChunk] {
        for (route, streamed) in REQUESTS {
            let body = request(route, "fake-model", streamed);
            fake.always(None);
            let expected = caller.ask(route, &body).await.ok();
            fake.always(Some(fault));
            let answer = caller.ask(route, &body).await.ok();
            assert_eq!(answer.text(), expected.text(), "{fault:?} on {route}");
        }
    }
    for row in gateway.wait_for_usage(4 * REQUESTS.len()) {
        assert_eq!((row.status, row.error.as_deref(), row.tokens_estimated), (200, None, false));
    }
}

#[tokio::test]
async fn a_back_end_that_never_says_what_was_used_is_estimated_and_marked() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    fake.always(Some(Fault::NoUsage));
    for (route, streamed) in REQUESTS {
        caller.ask(route, &request(route, "fake-model", streamed)).await.ok();
    }
    for row in gateway.wait_for_usage(REQUESTS.len()) {
        assert!(row.tokens_estimated, "{row:?}");
        assert!(row.prompt_tokens > 0, "{row:?}");
        let embeddings = row.route == "embeddings";
        assert_eq!(row.completion_tokens == 0, embeddings, "{row:?}");
        if row.streamed {
            assert!((5..=15).contains(&row.completion_tokens), "5 chunks: {row:?}");
        }
        assert_eq!((row.status, row.error), (200, None));
    }
}

#[tokio::test]
async fn events_that_are_no_json_pass_through_and_the_tokens_are_estimated() {
    let (fake, gateway) = start();
    fake.always(Some(Fault::MalformedJson));
    let answer =
        Caller::of(&gateway).ask("chat/completions", &streamed_chat("fake-model", 5)).await;
    assert_eq!(answer.status, 200);
    let row = gateway.wait_for_usage(1).remove(0);
    assert!(row.tokens_estimated, "{row:?}");
}

#[tokio::test]
async fn a_huge_answer_passes_whole_without_being_gathered() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    caller.ask("completions", &request("completions", "fake-model", false)).await.ok();
    fake.always(Some(Fault::Huge));
    let before = gateway.resident_kib();
    let answer = caller.ask("completions", &request("completions", "fake-model", false)).await.ok();
    let text = answer.json()["choices"][0]["text"].as_str().unwrap().len();
    assert_eq!(text, 50_000_000);
    let grown = gateway.peak_resident_kib() - before;
    println!("a 50 MB answer cost {grown} KiB");
    assert!(grown < 20 * 1024, "a 50 MB answer cost {grown} KiB");
    let rows = gateway.wait_for_usage(2);
    assert_eq!(rows[1].response_bytes, answer.body.len() as u64);
    assert_eq!((rows[1].completion_tokens, rows[1].tokens_estimated), (5, false), "{rows:?}");
}

#[tokio::test]
async fn a_back_end_that_is_not_there_is_a_502_at_once() {
    // Bound and never listening: nobody answers, and nobody else can take the port.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = socket.local_addr().unwrap().as_socket().unwrap();
    let gateway = Plan::in_front_of(format!("http://{nobody}/v1")).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    for (route, streamed) in REQUESTS {
        let answer = caller.ask(route, &request(route, "fake-model", streamed)).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        assert!(answer.took < Duration::from_secs(2), "{:?}", answer.took);
        assert!(answer.text().contains("cannot be reached"), "{}", answer.text());
        assert!(!answer.text().contains(&nobody.to_string()), "an address in {}", answer.text());
    }
    for row in gateway.wait_for_usage(REQUESTS.len()) {
        assert_eq!((row.status, row.backend_status), (502, None));
    }
}

#[tokio::test]
async fn after_all_faults_a_good_request_is_answered_as_ever() {
    let (fake, gateway) = start();
    let caller = Caller::of(&gateway);
    let faults = [Fault::ResetBeforeHeaders, Fault::ResetMidway, Fault::MalformedJson];
    for fault in faults {
        fake.script([Some(fault)]);
        assert_eq!(caller.ask("chat/completions", &chat("fake-model")).await.status, 502);
        caller.ask("chat/completions", &chat("fake-model")).await.ok();
    }
    let rows: Vec<Usage> = gateway.wait_for_usage(2 * faults.len());
    let statuses: Vec<_> = rows.iter().map(|row| row.status).collect();
    assert_eq!(statuses, [502, 200, 502, 200, 502, 200]);
}
