//! What functions on clusters post, and what others might, over HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use figw::{
    backends::globus_compute::streams::{End, Inbox, Piece, StreamHub, StreamTicket},
    http::{
        server::{self, Limits, Listener, Stop},
        streaming,
    },
    outbound,
    workers::Workers,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

const SECRET: &str = "the secret that all functions share";

/// The routes on a listener of their own, with a client.
#[derive(Clone)]
struct Gateway {
    hub: StreamHub,
    url: String,
    client: reqwest::Client,
}

impl Gateway {
    fn start() -> Self {
        let listener = server::bind("127.0.0.1:0".parse().unwrap(), "server.listen").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let hub = StreamHub::new(&SECRET.into(), &url.parse().unwrap()).unwrap();
        let limits = Limits {
            max_connections: 1000,
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(10),
        };
        let routes = streaming::routes(Some(hub.clone()));
        let workers = Some(Arc::new(Workers::start(2).unwrap()));
        let listener =
            Listener { socket: listener, routes, limits, tls: None, proxies: Arc::default() };
        tokio::spawn(listener.serve(Stop::default(), workers));
        Self { hub, url, client: outbound::client(Duration::from_secs(30)).unwrap() }
    }

    /// Posts as a function would, but for what is given.
    async fn post(&self, kind: &str, secret: &str, token: &str, body: Vec<u8>) -> (u16, Value) {
        let url = format!("{}/resource_server/api/streaming/{kind}/", self.url);
        let mut post = self.client.post(url).body(body);
        for (name, value) in [("x-internal-secret", secret), ("x-stream-task-token", token)] {
            if !value.is_empty() {
                post = post.header(name, value);
            }
        }
        let answer = post.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }
}

/// One stream, with what its function knows.
struct Stream {
    gateway: Gateway,
    ticket: StreamTicket,
}

impl Stream {
    fn open_on(gateway: &Gateway) -> (Self, Inbox) {
        let (ticket, inbox) = gateway.hub.open().unwrap();
        (Self { gateway: gateway.clone(), ticket }, inbox)
    }

    fn token(&self) -> &str {
        self.ticket.token.expose_secret()
    }

    fn body(&self, mut body: Value) -> Vec<u8> {
        body["task_id"] = self.ticket.task.to_string().into();
        body.to_string().into_bytes()
    }

    async fn post(&self, kind: &str, body: Value) -> (u16, Value) {
        self.gateway.post(kind, SECRET, self.token(), self.body(body)).await
    }

    async fn says(&self, lines: &str) {
        let answer = self.post("data", json!({"type": "data", "data": lines})).await;
        assert_eq!(answer, (200, json!({"status": "received"})));
    }

    async fn is_done(&self) {
        let task_id = self.ticket.task.to_string();
        let answer = self.post("done", json!({"type": "done"})).await;
        assert_eq!(answer, (200, json!({"status": "ok", "task_id": task_id})));
    }
}

async fn next(inbox: &mut Inbox) -> Piece {
    std::future::poll_fn(|cx| inbox.poll_piece(cx)).await
}

async fn all(mut inbox: Inbox) -> (String, End) {
    let mut text = String::new();
    loop {
        match next(&mut inbox).await {
            Piece::Events(events) => text.push_str(std::str::from_utf8(&events).unwrap()),
            Piece::End(end) => return (text, end),
        }
    }
}

/// A post that must be refused, and with which status.
async fn hostile_post(stream: &Stream, other: &Stream, ended: &Stream, turn: usize) -> (u16, u16) {
    let evil = || json!({"type": "data", "data": "data: evil", "error": "evil"});
    let body = stream.body(evil());
    let kind = ["data", "error", "done"][turn % 3];
    let (secret, token) = (SECRET, stream.token());
    let foreign = other.token();
    let (expected, (status, answer)) = match turn % 10 {
        0 => (401, stream.gateway.post(kind, "", token, body).await),
        1 => (401, stream.gateway.post(kind, "wrong", token, body).await),
        2 => (401, stream.gateway.post(kind, secret, "", body).await),
        3 => (403, stream.gateway.post(kind, secret, "wrong", body).await),
        4 => (403, stream.gateway.post(kind, secret, foreign, body).await),
        5 => (400, stream.gateway.post(kind, secret, token, b"{\"task_id\": ".to_vec()).await),
        6 => (
            400,
            stream.gateway.post(kind, secret, token, b"{\"data\": \"data: evil\"}".to_vec()).await,
        ),
        // Replayed when its stream has ended.
        7 => (403, ended.post(kind, evil()).await),
        8 => {
            let unknown = json!({"task_id": Uuid::new_v4().to_string(), "data": "data: evil"});
            let body = unknown.to_string().into_bytes();
            (403, stream.gateway.post(kind, secret, token, body).await)
        }
        _ => {
            // Whoever shows the right secret and token may still not send a megabyte.
            let size = if turn % 100 == 9 { 1_000_000 } else { 150_001 };
            let mut long = body;
            long.resize(size, b' ');
            (413, stream.gateway.post(kind, secret, token, long).await)
        }
    };
    assert!(answer["error"].is_string(), "{answer}");
    (expected, status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_hostile_posts_are_refused_and_touch_no_stream() {
    const STREAMS: usize = 20;
    const POSTS: usize = 10_000;
    let gateway = Gateway::start();
    let (ended, inbox) = Stream::open_on(&gateway);
    ended.says("data: 1").await;
    ended.is_done().await;
    assert_eq!(all(inbox).await, ("data: 1\n\n".to_owned(), End::Done));

    let (streams, inboxes): (Vec<_>, Vec<_>) =
        (0..STREAMS).map(|_| Stream::open_on(&gateway)).unzip();
    let (streams, ended) = (Arc::new(streams), Arc::new(ended));
    let mut attackers = JoinSet::new();
    for first in 0..STREAMS {
        let (streams, ended) = (Arc::clone(&streams), Arc::clone(&ended));
        attackers.spawn(async move {
            let mut refused = BTreeMap::new();
            for turn in (first..POSTS).step_by(STREAMS) {
                let turn = turn / STREAMS;
                let other = &streams[(first + 1) % STREAMS];
                let (expected, status) = hostile_post(&streams[first], other, &ended, turn).await;
                assert_eq!(status, expected, "turn {turn}");
                *refused.entry(status).or_insert(0) += 1;
                if turn.is_multiple_of(50) {
                    streams[first].says(&format!("data: {turn}")).await;
                }
            }
            streams[first].is_done().await;
            refused
        });
    }
    let mut refused = BTreeMap::new();
    while let Some(counted) = attackers.join_next().await {
        for (status, count) in counted.unwrap() {
            *refused.entry(status).or_insert(0) += count;
        }
    }
    println!("refused: {refused:?}");
    assert_eq!(refused.values().sum::<usize>(), POSTS);
    let said: Vec<_> =
        (0..POSTS / STREAMS).step_by(50).map(|turn| format!("data: {turn}\n\n")).collect();
    for inbox in inboxes {
        assert_eq!(all(inbox).await, (said.concat(), End::Done));
    }
}

#[tokio::test]
async fn a_body_without_a_length_is_measured_as_it_comes() {
    let gateway = Gateway::start();
    let (stream, inbox) = Stream::open_on(&gateway);
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let token = stream.token().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        write!(
            tcp,
            "POST /resource_server/api/streaming/done HTTP/1.1\r\nhost: x\r\n\
             x-internal-secret: {SECRET}\r\nx-stream-task-token: {token}\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        for _ in 0..16 {
            write!(tcp, "400\r\n{}\r\n", " ".repeat(1024)).unwrap();
        }
        write!(tcp, "0\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    stream.is_done().await;
    assert_eq!(all(inbox).await, (String::new(), End::Done));
}

#[tokio::test]
async fn without_a_secret_the_routes_say_what_is_missing() {
    let listener = server::bind("127.0.0.1:0".parse().unwrap(), "server.listen").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limits = Limits {
        max_connections: 10,
        header_timeout: Duration::from_secs(10),
        keep_alive: Duration::from_secs(10),
    };
    let routes = streaming::routes(None);
    let listener =
        Listener { socket: listener, routes, limits, tls: None, proxies: Arc::default() };
    tokio::spawn(listener.serve(Stop::default(), None));
    let client = outbound::client(Duration::from_secs(10)).unwrap();
    let url = format!("{url}/resource_server/api/streaming/data/");
    let answer = client.post(&url).body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.text().await.unwrap().contains("globus_compute.streaming_public_url"));
    assert_eq!(client.get(&url).send().await.unwrap().status(), 405);
}

/// A debug build on a busy machine is given more time.
const MEDIAN: Duration =
    if cfg!(debug_assertions) { Duration::from_millis(10) } else { Duration::from_millis(1) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_is_with_its_reader_in_a_millisecond_among_two_hundred_streams() {
    const STREAMS: usize = 200;
    const POSTS: u32 = 20;
    let gateway = Gateway::start();
    let begun = Instant::now();
    let mut readers = JoinSet::new();
    let mut functions = JoinSet::new();
    for number in 0..STREAMS {
        let (stream, mut inbox) = Stream::open_on(&gateway);
        readers.spawn(async move {
            let mut delays = Vec::new();
            while let Piece::Events(events) = next(&mut inbox).await {
                let sent = std::str::from_utf8(&events).unwrap().trim_start_matches("data: ");
                let sent = Duration::from_nanos(sent.trim_end().parse().unwrap());
                delays.push(begun.elapsed().saturating_sub(sent));
            }
            delays
        });
        functions.spawn(async move {
            // FIRST's function posts twice a second.
            tokio::time::sleep(Duration::from_micros(2500) * u32::try_from(number).unwrap()).await;
            for _ in 0..POSTS {
                tokio::time::sleep(Duration::from_millis(200)).await;
                stream.says(&format!("data: {}", begun.elapsed().as_nanos())).await;
            }
            stream.is_done().await;
        });
    }
    while let Some(function) = functions.join_next().await {
        function.unwrap();
    }
    let mut delays = Vec::new();
    while let Some(read) = readers.join_next().await {
        delays.extend(read.unwrap());
    }
    assert_eq!(delays.len(), STREAMS * POSTS as usize);
    delays.sort_unstable();
    let (median, p99) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
    println!("from post to reader: median {median:?}, p99 {p99:?}");
    assert!(median <= MEDIAN, "median {median:?}, p99 {p99:?}");
}
