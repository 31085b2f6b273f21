//! What reaches the back end: the caller's own bytes, changed where they must be and nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{
    client::Caller,
    fake::Fake,
    gateway::{BACKEND_KEY, CLUSTER, FRAMEWORK, Plan},
    requests::chat,
};

/// Valid bodies as no library writes them: white space, escapes, numbers and fields of all kinds.
const ODD_BODIES: [(&str, &str); 9] = [
    (
        "chat/completions",
        "\r\n\t { \"mod\\u0065l\" : \"fake\\u002dmodel\",\n\n\"messages\":[ {\"role\":\"user\", \
         \"content\":\"\\ud83d\\ude00 \\/ \u{1f600} \\u00e9 é\"} ] ,\"temperature\":1.0e0 }\n\n",
    ),
    (
        "chat/completions",
        r#"{"messages":[{"role":"user","content":"a"}],"model":"fake-model","stream":true,
            "stream_options": {"include_usage" : true}, "vendor":{"deep":[[[{"model":"x"}]]]}}"#,
    ),
    (
        "chat/completions",
        r#"{"model":"fake-model","messages":[{"role":"user","content":[{"type":"text","text":"a",
            "x":null}],"unknown":1e300}],"guided_json":{},"big":123456789012345678901234567890}"#,
    ),
    ("completions", "{\"prompt\" :\t[1,2, 3],\"model\":\"fake-model\",\"min_p\":-0.0}"),
    ("embeddings", r#"{"input":["a","\u0000b"],"model":"fake-model","dimensions":4,"x":[]}"#),
    ("responses", r#"{"model":"fake-model","input":"\\u0041","metadata":{"a":"b"},"zzz":false}"#),
    ("responses", r#"{"model":"fake-model","stream": true ,"input":"a","extra":{"é":"ü"}}"#),
    (
        "messages",
        r#"{"max_tokens":5,"model":"fake-model","messages":[{"content":"a","role":"user"}],"":0}"#,
    ),
    (
        "messages",
        r#" {"max_tokens":5,"stream":true,"messages":[{"role":"user","content":[{"type":"text",
            "text":"a","cache_control":{"type":"ephemeral"}}]}],"model":"fake-model"}"#,
    ),
];

fn sha256(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}

fn received_text(fake: &Fake) -> String {
    String::from_utf8(fake.last_received().body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_body_that_needs_no_change_arrives_byte_for_byte_on_every_route() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    for (route, body) in ODD_BODIES {
        let federated = format!("/v1/{route}");
        let first = format!("/resource_server/v1/{route}/");
        let direct = format!("/resource_server/{CLUSTER}/{FRAMEWORK}/v1/{route}");
        for path in [federated, first, direct] {
            caller.post(&path, body).await.ok();
            let received = fake.last_received();
            assert_eq!(received.line, format!("POST /v1/{route}"));
            assert_eq!(received.sha256, sha256(body.as_bytes()), "{path}: {body}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_asked_for_its_usage_and_the_caller_who_did_not_ask_never_sees_it() {
    const ADDED: &str = r#""stream_options":{"include_usage":true},"#;
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    for (route, prompt) in [
        ("chat/completions", r#""messages":[{"role":"user","content":"one two"}]"#),
        ("completions", r#""prompt":"one two""#),
    ] {
        let body = format!("{{ {prompt},\"stream\":true , \"model\":\"fake-model\"}}\n");
        let answer = caller.post(&format!("/v1/{route}"), body.clone()).await.ok();
        let received = received_text(&fake);
        assert!(received.contains(ADDED), "{received}");
        assert_eq!(received.replacen(ADDED, "", 1), body, "nothing else has changed");
        assert_usage_is_hidden(&answer.events());
    }
    let rows = gateway.wait_for_usage(2);
    assert!(rows.iter().all(|row| row.completion_tokens == 5 && !row.tokens_estimated), "{rows:?}");
}

#[tokio::test]
async fn only_include_usage_changes_when_the_caller_has_options_of_its_own() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    for (options, sent_on) in [
        (r#"{ "include_usage" : false}"#, r#"{ "include_usage" : true}"#),
        (r#"{"mine":[1 , 2]}"#, r#"{"include_usage":true,"mine":[1 , 2]}"#),
        ("{}", r#"{"include_usage":true}"#),
        ("null", r#"{"include_usage":true}"#),
    ] {
        let with = |options: &str| {
            format!(
                r#"{{"model":"fake-model","stream":true,"stream_options":{options},"messages":[{{"role":"user","content":"a"}}]}}"#
            )
        };
        let answer = caller.post("/v1/chat/completions", with(options)).await.ok();
        assert_eq!(received_text(&fake), with(sent_on));
        assert_usage_is_hidden(&answer.events());
    }
}

/// Chunks, none of them the one with the usage, and the end.
fn assert_usage_is_hidden(events: &[&str]) {
    let (done, chunks) = events.split_last().expect("events");
    assert_eq!(*done, "[DONE]");
    assert!(chunks.len() >= 6, "{chunks:?}");
    for chunk in chunks {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        assert!(chunk["usage"].is_null() && chunk["choices"] != json!([]), "{chunk}");
    }
}

#[tokio::test]
async fn a_federated_name_is_replaced_by_the_model_s_own_and_nothing_else_is() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).prepare();
    let target = format!("{CLUSTER}-{FRAMEWORK}-fake-model");
    gateway.run(&["federation", "add", "the-alias", "--target", &target]);
    gateway.serve();
    let caller = Caller::of(&gateway);
    for (route, rest) in [
        ("chat/completions", r#""messages":[{"role":"user","content":"the-alias"}]"#),
        ("completions", r#""prompt":"\"model\":\"the-alias\"""#),
        ("embeddings", r#""input":"the-alias""#),
        ("responses", r#""input":"the-alias","user":"the-alias""#),
        ("messages", r#""max_tokens":5,"messages":[{"role":"user","content":"the-alias"}]"#),
    ] {
        let body =
            |model: &str| format!("{{\"nested\":{{\"model\":1}}, \"model\" : {model},{rest} }}");
        caller.post(&format!("/v1/{route}"), body(r#""the-\u0061lias""#)).await.ok();
        assert_eq!(received_text(&fake), body(r#""fake-model""#));
    }
    // Where both must change, both do.
    let streamed =
        r#"{"messages":[{"role":"user","content":"a"}],"model":"the-alias","stream":true}"#;
    caller.post("/v1/chat/completions", streamed).await.ok();
    let changed = streamed
        .replacen('{', r#"{"stream_options":{"include_usage":true},"#, 1)
        .replace("the-alias", "fake-model");
    assert_eq!(received_text(&fake), changed);
    let rows = gateway.wait_for_usage(6);
    assert!(rows.iter().all(|row| row.model == "the-alias" && row.endpoint == target), "{rows:?}");
}

#[tokio::test]
async fn the_back_end_gets_its_own_key_and_the_trace_but_nothing_private_of_the_caller() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let private = [
        ("x-api-key", gateway.key()),
        ("cookie", "session=secret"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("x-mine", "named by connection"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-internal-secret", "secret"),
        ("accept-encoding", "gzip"),
    ];
    let public = [
        ("traceparent", trace),
        ("tracestate", "vendor=1"),
        ("x-request-id", "my-request-1"),
        ("anthropic-version", "2023-06-01"),
        ("openai-organization", "org"),
        ("user-agent", "my-client/1.0"),
    ];
    let caller = private
        .iter()
        .chain(&public)
        .fold(Caller::of(&gateway), |caller, (name, value)| caller.with_header(name, value));
    let caller = caller.with_header("connection", "keep-alive, X-Mine");
    for path in ["/v1/chat/completions", "/v1/embeddings"] {
        let body = json!({"model": "fake-model", "input": "a",
                          "messages": [{"role": "user", "content": "a"}]});
        let answer = caller.post(path, body.to_string()).await.ok();
        assert_eq!(answer.header("x-request-id"), Some("my-request-1"));
        let headers = fake.last_received().headers;
        for (name, value) in public {
            assert_eq!(headers.get(name).map(http::HeaderValue::as_bytes), Some(value.as_bytes()));
        }
        for (name, _) in private {
            assert_eq!(headers.get(name), None, "{name} went on to the back end");
        }
        let authorization: Vec<_> = headers.get_all("authorization").iter().collect();
        assert_eq!(authorization, [&format!("Bearer {BACKEND_KEY}")]);
        assert_eq!(headers["host"], fake.address().to_string());
        let all = format!("{headers:?}");
        assert!(!all.contains(gateway.key()), "the caller's key in {all}");
    }
}

#[tokio::test]
async fn a_request_without_a_name_is_given_one_that_back_end_row_and_caller_share() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let answer = Caller::of(&gateway).ask("chat/completions", &chat("fake-model")).await.ok();
    let name = answer.header("x-request-id").expect("a name").to_owned();
    assert_eq!(fake.last_received().headers["x-request-id"], name);
    assert_eq!(gateway.wait_for_usage(1)[0].request_id, name);
}

/// Bytes of the large bodies.
const LARGE: usize = 20_000_000;

/// Sends a large body to a gateway of its own and fails when that cost more than 1.5 times its
/// size in memory.
async fn costs_at_most_one_and_a_half(route: &str, body: String, chunked: bool) {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    caller.ask("chat/completions", &chat("fake-model")).await.ok();
    let (hash, length) = (sha256(body.as_bytes()), body.len());
    assert!(length >= LARGE);
    let path = format!("/v1/{route}");
    let before = gateway.resident_kib();
    if chunked {
        let whole = Bytes::from(body);
        let pieces = (0..length).step_by(60_000).map(|at| whole.slice(at..length.min(at + 60_000)));
        caller.post_chunked(&path, pieces.collect()).await.ok();
    } else {
        caller.post(&path, body).await.ok();
    }
    let cost = (gateway.peak_resident_kib() - before) * 1024;
    assert_eq!(fake.last_received().sha256, hash);
    let limit = length as u64 * 3 / 2;
    println!("{route}, chunked {chunked}: {length} bytes cost {cost}");
    assert!(cost <= limit, "a body of {length} bytes cost {cost} bytes of memory");
}

fn large_chat(piece: &str) -> String {
    let text = piece.repeat(LARGE / piece.len() + 1);
    format!(r#"{{"model":"fake-model","messages":[{{"role":"user","content":"{text}"}}]}}"#)
}

#[tokio::test]
async fn a_large_plain_body_costs_at_most_one_and_a_half_times_its_size() {
    costs_at_most_one_and_a_half("chat/completions", large_chat("words and words "), false).await;
}

#[tokio::test]
async fn a_large_body_full_of_escapes_costs_at_most_one_and_a_half_times_its_size() {
    costs_at_most_one_and_a_half("chat/completions", large_chat(r"\n\u0041\ud83d\ude00"), false)
        .await;
}

#[tokio::test]
async fn a_large_body_of_unknown_length_costs_at_most_one_and_a_half_times_its_size() {
    costs_at_most_one_and_a_half("chat/completions", large_chat("words and words "), true).await;
}

#[tokio::test]
async fn a_large_list_of_token_ids_costs_at_most_one_and_a_half_times_its_size() {
    let input = format!("[{}]", vec!["12345"; 2_000].join(","));
    let inputs = vec![input.as_str(); LARGE / input.len() + 1].join(",");
    let body = format!(r#"{{"model":"fake-model","input":[{inputs}]}}"#);
    costs_at_most_one_and_a_half("embeddings", body, false).await;
}
