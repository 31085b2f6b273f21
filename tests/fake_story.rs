//! The fake back end keeps its word: what other tests conclude from it rests on this.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::fake::{Counts, Fake, Fault};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A response read to the end of its connection.
struct Answer {
    head: String,
    body: String,
    /// Why the connection did not end in order.
    cut: Option<std::io::ErrorKind>,
}

impl Answer {
    fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The data of each event.
    fn events(&self) -> Vec<&str> {
        self.body.lines().filter_map(|line| line.strip_prefix("data: ")).collect()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn connect(fake: &Fake) -> TcpStream {
    let tcp = TcpStream::connect(fake.address()).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tcp
}

fn send(fake: &Fake, path: &str, body: &Value) -> TcpStream {
    let mut tcp = connect(fake);
    let body = body.to_string();
    let length = body.len();
    write!(
        tcp,
        "POST {path} HTTP/1.1\r\nhost: fake\r\nx-mark: seen\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    tcp
}

/// Sends and reads to the end; chunk sizes of the transfer coding are lines without a prefix.
fn ask(fake: &Fake, path: &str, body: &Value) -> Answer {
    let mut tcp = send(fake, path, body);
    let mut bytes = Vec::new();
    let cut = tcp.read_to_end(&mut bytes).err().map(|e| e.kind());
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    Answer { head: head.to_ascii_lowercase(), body: body.to_owned(), cut }
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "two words"}]})
}

fn streamed_chat(model: &str) -> Value {
    let mut chat = chat(model);
    chat["stream"] = true.into();
    chat
}

const CHAT: &str = "/v1/chat/completions";

#[test]
fn an_answer_says_its_chunks_and_what_was_used() {
    let fake = Fake::start();
    let mut request = chat("fake-model");
    request["max_tokens"] = 3.into();
    let answer = ask(&fake, "/any/prefix/v1/chat/completions", &request);
    assert_eq!(answer.status(), 200);
    let answer = answer.json();
    assert_eq!(answer["choices"][0]["message"]["content"], "0 1 2 ");
    let used = json!({"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5});
    assert_eq!(answer["usage"], used);
}

#[test]
fn a_stream_tells_usage_when_asked_and_ends_with_done() {
    let fake = Fake::start();
    let without = ask(&fake, CHAT, &streamed_chat("fake-model"));
    assert!(without.head.contains("text/event-stream"));
    assert!(!without.body.contains("usage"));
    assert_eq!(without.events().last(), Some(&"[DONE]"));
    let mut request = streamed_chat("fake-model");
    request["stream_options"] = json!({"include_usage": true});
    let with = ask(&fake, CHAT, &request);
    let events = with.events();
    let usage: Value = serde_json::from_str(events[events.len() - 2]).unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 5);
    assert_eq!(events.len(), without.events().len() + 1);
}

#[test]
fn a_request_is_recorded_as_it_came() {
    let fake = Fake::start();
    let request = chat("fake-model");
    ask(&fake, CHAT, &request);
    let received = fake.last_received();
    assert_eq!(received.line, format!("POST {CHAT}"));
    assert_eq!(received.headers["x-mark"], "seen");
    assert_eq!(received.sha256, format!("{:x}", Sha256::digest(request.to_string())));
    assert_eq!(received.length, request.to_string().len());
    assert_eq!(fake.counts(), Counts { opened: 1, open: 0, completed: 1, aborted: 0 });
}

#[test]
fn scripted_faults_come_in_order_and_before_the_model_s_own() {
    let fake = Fake::start();
    fake.script([Some(Fault::Status(503)), None]);
    fake.always(Some(Fault::Status(500)));
    let statuses = [(); 3].map(|()| ask(&fake, CHAT, &chat("fault-status-429")).status());
    assert_eq!(statuses, [503, 200, 500]);
    fake.always(None);
    assert_eq!(ask(&fake, CHAT, &chat("fault-status-429")).status(), 429);
}

#[test]
fn refusals_carry_each_api_s_own_body() {
    let fake = Fake::start();
    for status in [400, 401, 404, 429, 500, 503] {
        let model = format!("fault-status-{status}");
        let openai = ask(&fake, CHAT, &chat(&model));
        assert_eq!(openai.status(), status);
        assert!(openai.json()["error"]["message"].is_string());
        let waits = openai.head.contains("retry-after: 7");
        assert_eq!(waits, matches!(status, 429 | 503));
        let anthropic = ask(&fake, "/v1/messages", &chat(&model));
        assert_eq!(anthropic.json()["type"], "error");
    }
    assert_eq!(ask(&fake, CHAT, &json!({"messages": []})).status(), 400);
}

#[test]
fn connections_are_reset_where_the_fault_says() {
    let fake = Fake::start();
    let reset = Some(std::io::ErrorKind::ConnectionReset);
    let before = ask(&fake, CHAT, &chat("fault-reset-before-headers"));
    assert_eq!((before.cut, before.head.as_str()), (reset, ""));
    let body = ask(&fake, CHAT, &chat("fault-reset-midway"));
    assert_eq!((body.cut, body.status()), (reset, 200));
    assert!(serde_json::from_str::<Value>(&body.body).is_err());
    let stream = ask(&fake, CHAT, &streamed_chat("fault-reset-midway"));
    assert_eq!((stream.cut, stream.status()), (reset, 200));
    assert_eq!(stream.events().len(), 2, "the role and the first text");
}

#[test]
fn a_wrong_answer_still_says_200() {
    let fake = Fake::start();
    let html = ask(&fake, CHAT, &chat("fault-html"));
    assert!(html.head.starts_with("http/1.1 200") && html.head.contains("text/html"));
    let malformed = ask(&fake, CHAT, &chat("fault-malformed-json"));
    assert_eq!((malformed.status(), malformed.cut), (200, None));
    assert!(serde_json::from_str::<Value>(&malformed.body).is_err());
    let stream = ask(&fake, CHAT, &streamed_chat("fault-malformed-json"));
    assert!(serde_json::from_str::<Value>(stream.events()[0]).is_err());
    let stream = ask(&fake, CHAT, &streamed_chat("fault-error-event"));
    assert!(stream.events().last().unwrap().contains("the model has crashed"));
    let stream = ask(&fake, CHAT, &streamed_chat("fault-no-done"));
    assert!(!stream.body.contains("[DONE]") && stream.body.contains("\"stop\""));
    assert_eq!(ask(&fake, CHAT, &chat("fault-no-usage")).json().get("usage"), None);
    let huge = ask(&fake, CHAT, &chat("fault-huge"));
    assert!(huge.body.len() > 50_000_000);
    assert!(huge.json()["usage"].is_object());
}

#[test]
fn chunks_are_slow_or_split_when_asked() {
    let fake = Fake::start();
    let start = Instant::now();
    ask(&fake, CHAT, &streamed_chat("fault-slow-chunks-30"));
    assert!(start.elapsed() >= Duration::from_millis(5 * 30));
    let mut tcp = send(&fake, CHAT, &streamed_chat("fault-split-first-chunk"));
    let mut first = [0; 4096];
    let mut read = tcp.read(&mut first).unwrap();
    if !first[..read].windows(4).any(|w| w == b"data") {
        read = tcp.read(&mut first).unwrap();
    }
    let half = String::from_utf8_lossy(&first[..read]).into_owned();
    assert!(half.contains("data: ") && !half.contains("\n\n"), "{half}");
    let mut rest = String::new();
    tcp.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("[DONE]"));
}

#[tokio::test]
async fn a_caller_who_leaves_is_seen_at_once() {
    let begin = |fault: &str| {
        let fake = Fake::start();
        let tcp = send(&fake, CHAT, &streamed_chat(fault));
        (fake, tcp)
    };
    for fault in ["fault-hang-before-headers", "fault-hang-after-headers", "fault-hang-midway"] {
        let (fake, tcp) = begin(fault);
        assert!(fake.wait_until(Duration::from_secs(5), |counts| counts.open == 1).await);
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(fake.counts().open, 1, "{fault} hangs");
        let left = Instant::now();
        drop(tcp);
        fake.saw_abort_within(left, Duration::from_millis(100)).await.unwrap();
        assert_eq!(fake.counts(), Counts { opened: 1, open: 0, completed: 0, aborted: 1 });
    }
}

#[tokio::test]
async fn a_caller_who_leaves_mid_body_is_seen_at_once() {
    let fake = Fake::start();
    let mut tcp = connect(&fake);
    write!(tcp, "POST {CHAT} HTTP/1.1\r\nhost: fake\r\ncontent-length: 1000\r\n\r\n{{").unwrap();
    assert!(fake.wait_until(Duration::from_secs(5), |counts| counts.open == 1).await);
    let left = Instant::now();
    tcp.shutdown(Shutdown::Both).unwrap();
    fake.saw_abort_within(left, Duration::from_millis(100)).await.unwrap();
    assert!(fake.received().is_empty());
}

#[tokio::test]
async fn many_streams_at_once_are_all_whole_and_in_order() {
    // Two descriptors each: within the usual limit of 1024. Each lasts five seconds, in which a busy
    // machine has begun them all.
    const STREAMS: usize = 400;
    let fake = Fake::start();
    let mut request = streamed_chat("fake-model");
    request["max_tokens"] = 50.into();
    let request = request.to_string();
    let length = request.len();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: fake\r\nx-fake-fault: slow-chunks-100\r\n\
         connection: close\r\ncontent-length: {length}\r\n\r\n{request}"
    );
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        let (address, request) = (fake.address(), request.clone());
        streams.spawn(async move {
            let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            tcp.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            tcp.read_to_string(&mut answer).await.unwrap();
            answer
        });
    }
    assert!(fake.wait_until(Duration::from_secs(20), |counts| counts.open == STREAMS).await);
    let expected: Vec<String> = (0..50).map(|i| format!("{i} ")).collect();
    while let Some(answer) = streams.join_next().await {
        let answer = answer.unwrap();
        let data = answer.lines().filter_map(|line| line.strip_prefix("data: {"));
        let said: Vec<String> = data
            .map(|event| serde_json::from_str::<Value>(&format!("{{{event}")).unwrap())
            .filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned()))
            .filter(|text| !text.is_empty())
            .collect();
        assert_eq!(said, expected);
    }
    assert_eq!(fake.counts().completed, STREAMS);
}

#[test]
fn it_stops_when_dropped_and_another_takes_its_place() {
    let first = Fake::start();
    let address = first.address();
    let hanging = send(&first, CHAT, &chat("fault-hang-before-headers"));
    drop(first);
    assert!(TcpStream::connect(address).is_err());
    drop(hanging);
    let second = Fake::start_at(address);
    assert_eq!(ask(&second, CHAT, &chat("fake-model")).status(), 200);
}
