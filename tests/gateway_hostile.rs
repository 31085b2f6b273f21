//! Callers who mean harm, or know no better: each gets a clear error or a closed connection, memory
//! stays flat, and the others notice nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{
    client::{Caller, drain},
    fake::Fake,
    gateway::{Gateway, Plan},
    load::{Load, assert_all_answered},
    requests::{REQUESTS, request},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// What may be added to memory while harm is tried, in KiB.
const FLAT_KIB: u64 = 12 * 1024;

/// A gateway with somebody else's requests under way.
struct Scene {
    gateway: Gateway,
    caller: Caller,
    neighbour: Load,
    before_kib: u64,
    _fake: Fake,
}

impl Scene {
    async fn set() -> Self {
        let fake = Fake::start();
        let gateway = Plan::in_front_of(fake.api_url())
            .models(["fake-model"])
            .set("server.header_timeout", "1s")
            .set("server.body_timeout", "1s")
            .start();
        let caller = Caller::of(&gateway);
        // Everything that is made on first use is made.
        for (route, streamed) in REQUESTS {
            caller.ask(route, &request(route, "fake-model", streamed)).await.ok();
        }
        let neighbour = Load::start(&caller, "fake-model", 20);
        sleep(Duration::from_millis(500)).await;
        let before_kib = gateway.resident_kib();
        Self { gateway, caller, neighbour, before_kib, _fake: fake }
    }

    /// Fails when anybody else was harmed, or memory grew by more than this.
    async fn ends_unharmed(self, growth_kib: u64) {
        let outcomes = self.neighbour.stop().await;
        assert_all_answered(&outcomes);
        let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap();
        assert!(slowest < Duration::from_secs(2), "a neighbour waited for {slowest:?}");
        let grown = self.gateway.peak_resident_kib().saturating_sub(self.before_kib);
        assert!(grown <= growth_kib, "memory grew by {grown} KiB");
        assert!(!self.gateway.log().contains("panicked"), "{}", self.gateway.log());
    }

    /// What comes back for these bytes until the connection closes; it must close.
    async fn answer_to(&self, bytes: &[u8]) -> String {
        let mut tcp = TcpStream::connect(self.gateway.address()).await.unwrap();
        // figw may close before all is written.
        let _ = timeout(PATIENCE, tcp.write_all(bytes)).await.expect("figw reads or closes");
        until_closed(&mut tcp).await
    }
}

/// Everything that comes until the connection closes; it must.
async fn until_closed(tcp: &mut TcpStream) -> String {
    let begun = Instant::now();
    let answer = drain(tcp, PATIENCE).await;
    assert!(begun.elapsed() < PATIENCE, "the connection stays open");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Either nothing at all, or an error of the caller.
#[track_caller]
fn assert_refused(answer: &str) {
    let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
    assert!(refused, "neither an error nor a closed connection: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_come_a_byte_at_a_time() {
    let scene = Scene::set().await;
    let mut lorises = JoinSet::new();
    for _ in 0..200 {
        let address = scene.gateway.address();
        lorises.spawn(async move {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            let begun = Instant::now();
            let _ = tcp.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nhost: f\r\nx: ").await;
            let mut buffer = [0; 1024];
            loop {
                let closed = timeout(Duration::from_millis(100), tcp.read(&mut buffer)).await;
                if matches!(closed, Ok(Ok(0) | Err(_))) || tcp.write_all(b"a").await.is_err() {
                    return begun.elapsed();
                }
                assert!(begun.elapsed() < PATIENCE, "a slow head is waited for");
            }
        });
    }
    while let Some(held) = lorises.join_next().await {
        assert!(held.unwrap() < Duration::from_secs(4));
    }
    scene.ends_unharmed(FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_and_bodies_that_never_come() {
    let scene = Scene::set().await;
    let mut silent = TcpStream::connect(scene.gateway.address()).await.unwrap();
    assert_eq!(until_closed(&mut silent).await, "");
    let key = scene.gateway.key();
    let head = |length: &str| {
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: f\r\nauthorization: Bearer {key}\r\n\
             connection: close\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let waited = scene.answer_to(head("1000").as_bytes()).await;
    assert!(waited.starts_with("HTTP/1.1 408"), "{waited}");
    let absurd = scene.answer_to(head("99999999999999").as_bytes()).await;
    assert!(absurd.starts_with("HTTP/1.1 413"), "{absurd}");
    for wrong in [
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "0x10",
        "1, 2",
        "99999999999999999999999999",
    ] {
        assert_refused(&scene.answer_to(head(wrong).as_bytes()).await);
    }
    scene.ends_unharmed(FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_said_to_be_too_large_is_refused_unread() {
    let scene = Scene::set().await;
    let head = scene.caller.raw_post("/v1/chat/completions", b"");
    let head = String::from_utf8(head).unwrap();
    let large = head.replace("content-length: 0", "content-length: 105906176");
    let mut tcp = scene.caller.send_raw(large.as_bytes()).await;
    let mut answer = [0; 12];
    timeout(PATIENCE, tcp.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    // Who sends it all the same is cut off.
    let piece = vec![b'x'; 1024 * 1024];
    let sending = async {
        for _ in 0..101 {
            if tcp.write_all(&piece).await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(timeout(PATIENCE, sending).await.expect("figw reads or closes"), "it was all read");
    scene.ends_unharmed(FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_unknown_length_is_read_to_the_limit_and_no_further() {
    let scene = Scene::set().await;
    let piece = Bytes::from(vec![b' '; 1024 * 1024]);
    let caller = scene.caller.clone();
    let path = "/v1/chat/completions";
    // What is refused before the body is wanted costs nothing, whatever its length.
    let stranger = caller.without_key();
    let sending = timeout(PATIENCE, stranger.try_post_chunked(path, vec![piece.clone(); 101]));
    if let Ok(answer) = sending.await.expect("an end") {
        assert_eq!(answer.status, 401);
    }
    let grown = scene.gateway.peak_resident_kib().saturating_sub(scene.before_kib);
    assert!(grown <= FLAT_KIB, "a stranger made memory grow by {grown} KiB");
    let sending = timeout(3 * PATIENCE, caller.try_post_chunked(path, vec![piece; 101]));
    if let Ok(answer) = sending.await.expect("an end") {
        assert_eq!(answer.status, 413, "{}", answer.text());
    }
    scene.ends_unharmed(100 * 1024 + FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_too_large() {
    let scene = Scene::set().await;
    let headers = |count: usize| "x-a: b\r\n".repeat(count);
    let (many, few) = (headers(20_000), headers(200));
    let long = format!("x: {}\r\n", "a".repeat(1_000_000));
    let path = "a".repeat(1_000_000);
    for head in [
        format!("GET /health HTTP/1.1\r\nhost: f\r\n{many}\r\n"),
        format!("GET /health HTTP/1.1\r\nhost: f\r\n{few}\r\n"),
        format!("GET /health HTTP/1.1\r\nhost: f\r\n{long}\r\n"),
        format!("GET /{path} HTTP/1.1\r\nhost: f\r\n\r\n"),
    ] {
        assert_refused(&scene.answer_to(head.as_bytes()).await);
    }
    scene.ends_unharmed(FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_no_json_or_far_too_deep() {
    let scene = Scene::set().await;
    let bomb = |open: &str, close: &str| {
        let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
        format!(r#"{{"model":"fake-model","messages":[],"input":"a","prompt":"a","x":{nested}}}"#)
    };
    let bodies: Vec<Vec<u8>> = vec![
        b"{\"model\":\"fake-model\xff\",\"input\":\"a\"}".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
        "[".repeat(10_000).into_bytes(),
        "{\"a\":".repeat(10_000).into_bytes(),
        bomb("[", "]").into_bytes(),
        bomb("{\"a\":", "}").into_bytes(),
        b"\0\0\0\0".to_vec(),
        b"{\"model\":\"fake-model\",\"model\":\"other\"}".to_vec(),
        Vec::new(),
    ];
    for (route, _) in REQUESTS {
        for body in &bodies {
            let answer = scene.caller.post(&format!("/v1/{route}"), body.clone()).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
            assert_eq!(answer.status, 400, "{route} {shown}: {}", answer.text());
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.len() < 500 && !message.is_empty(), "{message}");
        }
    }
    scene.ends_unharmed(FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_say_their_length_twice() {
    let scene = Scene::set().await;
    let key = scene.gateway.key();
    let body = request("embeddings", "fake-model", false).to_string();
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let (coding, length) =
        ("transfer-encoding: chunked", format!("content-length: {}", body.len()));
    let framings = [
        (format!("{coding}\r\n{length}"), true),
        (format!("{length}\r\n{coding}"), true),
        (format!("{length}\r\ncontent-length: 1"), false),
        ("transfer-encoding: chunked, identity".to_owned(), false),
        ("transfer-encoding: gzip".to_owned(), false),
    ];
    for (framing, may_be_served) in framings {
        // What hides behind the request must not be taken for another.
        let smuggled = "GET /v1/models HTTP/1.1\r\nhost: f\r\n\r\n";
        let request = format!(
            "POST /v1/embeddings HTTP/1.1\r\nhost: f\r\nauthorization: Bearer {key}\r\n\
             {framing}\r\n\r\n{chunked}{smuggled}"
        );
        let answer = scene.answer_to(request.as_bytes()).await;
        // RFC 9112, section 6.1: the chunks count, provided that the connection is then closed.
        if !(may_be_served && answer.starts_with("HTTP/1.1 200")) {
            assert_refused(&answer);
        }
        assert!(answer.matches("HTTP/1.1 ").count() <= 1, "{framing}: {answer}");
    }
    scene.ends_unharmed(FLAT_KIB).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http_at_all() {
    let scene = Scene::set().await;
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for bytes in [
        b"GET /health\r\n\r\n".as_slice(),
        b"GET /\r\n",
        b"\0\0\0\0\0\0\r\n\r\n",
        b"GET /health HTTP/9.9\r\n\r\n",
        b"GET /health HTTP/1.1\nhost f\n\n",
        tls,
        http2,
    ] {
        assert_refused(&scene.answer_to(bytes).await);
    }
    let piped = b"GET /health HTTP/1.1\r\nhost: f\r\n\r\n\x01\x02garbage\r\n\r\n";
    let answer = scene.answer_to(piped).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "the good request is answered: {answer}");
    let rest: Vec<_> = answer.matches("HTTP/1.1 ").collect();
    assert!(rest.len() == 1 || answer.contains("HTTP/1.1 400"), "{answer}");
    scene.ends_unharmed(FLAT_KIB).await;
}
