//! What `figw generate nginx` prints, in a real nginx, in front of real gateways and of instances that
//! the test plays itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod support;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use http_body_util::BodyExt;
use serde_json::{Value, json};
use support::{
    backups::Said,
    client::{self, Answer, Caller},
    fake::Fake,
    gateway::{Gateway, Plan},
    nginx::Nginx,
    played::{self, Played},
    ports::free_port,
    postgres::Postgres,
    requests::{chat, streamed_chat},
    small_server::{Reply, SmallServer},
};
use tokio::task::JoinSet;

/// A model whose answers take a tenth of a second for each piece.
const SLOW_MODEL: &str = "fault-slow-chunks-100";

/// `figw generate nginx` with these instances, each a name and the URL of its public listener.
fn generate(instances: &[(&str, &str)], more: &str, arguments: &[&str]) -> Said {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    let entry = |(name, url): &(&str, &str)| {
        format!("- {{name: {name}, url: '{url}', admin_url: 'http://127.0.0.1:9'}}\n")
    };
    let entries: String = instances.iter().map(entry).collect();
    let instances = if entries.is_empty() { "[]\n" } else { "\n" };
    fs::write(&file, format!("instances: {instances}{entries}{more}")).unwrap();
    let mut figw = Command::new(env!("CARGO_BIN_EXE_figw"));
    figw.args(["--quiet", "--config"]).arg(&file).args(["generate", "nginx", "--ipv4-only"]);
    figw.args(arguments).output().unwrap().into()
}

/// The file, which must come without a complaint.
fn generated(instances: &[(&str, &str)], more: &str, arguments: &[&str]) -> String {
    let said = generate(instances, more, arguments);
    assert_eq!(said.status, Some(0), "{said:?}");
    said.stdout
}

/// A running nginx that speaks plain HTTP in front of these instances.
fn nginx_before(instances: &[(&str, &str)], more: &str) -> (Nginx, SocketAddr) {
    let port = free_port();
    let mut nginx = Nginx::new();
    let arguments = ["--plain-http", "--access-log", "off", "--http-port", &port.to_string()];
    nginx.put("figw.conf", &generated(instances, more, &arguments));
    nginx.start(port);
    (nginx, (Ipv4Addr::LOCALHOST, port).into())
}

#[test]
fn nginx_takes_every_form_of_the_file() {
    let mut nginx = Nginx::new();
    let (certificate, key) = nginx.make_certificate();
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let (https, http) = (free_port().to_string(), free_port().to_string());
    let log = nginx.path("access.log");
    let tls = ["--certificate", certificate, "--certificate-key", key, "--https-port", &https];
    let rest = ["--http-port", &http, "--access-log", log.to_str().unwrap()];
    let names = ["--server-name", "figw.example.org", "--server-name", "*.example.org"];
    let fleet = [("gw1-blue", "http://10.0.0.1:8000"), ("gw1-green", "http://[fd00::1]:8000")];
    let encrypted = [("a", "https://localhost:8443")];
    let arguments = [&tls[..], &rest[..], &names[..]].concat();
    for (instances, extra) in [(&fleet[..], ""), (&[], ""), (&encrypted[..], "")] {
        nginx.put("figw.conf", &generated(instances, extra, &arguments));
        let said = nginx.test();
        assert_eq!(said.status, Some(0), "{said:?}");
        assert!(!said.stderr.contains("[warn]"), "{said:?}");
    }

    // The two parts of it stand in two files.
    let site = generated(&fleet, "", &[&arguments[..], &["--part", "site"]].concat());
    let blue = generated(&fleet, "", &["--color", "blue"]);
    assert!(blue.contains("10.0.0.1:8000") && !blue.contains("fd00::1"), "{blue}");
    nginx.put("figw.conf", &site);
    assert_ne!(nginx.test().status, Some(0), "the upstream is missing");
    nginx.put("figw-upstream.conf", &blue);
    let said = nginx.test();
    assert_eq!(said.status, Some(0), "{said:?}");

    let refusal = generate(&fleet[..1], "", &["--color", "green"]).refused(2);
    assert!(refusal.contains("gw1-green"), "{refusal}");
    let apart = [("a", "https://gw1:8443"), ("b", "https://gw2:8443")];
    let refusal = generate(&apart, "", &arguments[..6]).refused(2);
    assert!(refusal.contains("--server-name"), "{refusal}");
    let refusal = generate(&fleet, "", &["--server-name", "a; b"]).refused(2);
    assert!(refusal.contains("--server-name"), "{refusal}");
    nginx = Nginx::new();
    nginx.put("figw.conf", &generated(&fleet, "", &["--certificate", "/nowhere/a.pem"]));
    assert!(nginx.test().stderr.contains("/nowhere/a.pem"), "nginx itself says what is missing");
}

/// Chats one after the other, until told to stop; how many there were.
async fn chat_on(caller: Caller, stop: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::SeqCst) {
        let answer = caller.ask("chat/completions", &chat("fake-model")).await;
        assert_eq!(answer.status, 200, "{} ({})", answer.text(), answer.took.as_millis());
        done += 1;
    }
    done
}

/// Drains, ends and starts an instance, as an operator does.
async fn restart(gateway: &mut Gateway) {
    let drained = post(&format!("{}/admin/drain", gateway.admin_url())).await;
    assert_eq!(drained, 200);
    tokio::time::sleep(Duration::from_millis(300)).await;
    gateway.terminate();
    // A stream may go on for a while.
    let status = gateway.wait_for_exit(Duration::from_secs(20));
    assert!(status.success(), "{status}: {}", gateway.log());
    gateway.serve();
}

async fn post(url: &str) -> u16 {
    let url: url::Url = url.parse().unwrap();
    let address = (Ipv4Addr::LOCALHOST, url.port().unwrap()).into();
    Caller::at(address, None).send("POST", url.path(), "").await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_restarted_one_after_the_other_and_nobody_notices() {
    let fake = Fake::start();
    let postgres = Postgres::start_new();
    let database = postgres.create_database("fleet");
    let plan =
        || Plan::in_front_of(fake.api_url()).database(&database).models(["fake-model", SLOW_MODEL]);
    let mut gateways = [plan().start(), plan().start()];
    let urls = gateways.each_ref().map(Gateway::url);
    let (_nginx, address) = nginx_before(&[("a", &urls[0]), ("b", &urls[1])], "");
    let caller = Caller::at(address, Some(gateways[0].key()));

    let stop = Arc::new(AtomicBool::new(false));
    let mut chats = JoinSet::new();
    for _ in 0..8 {
        chats.spawn(chat_on(caller.clone(), Arc::clone(&stop)));
    }
    // Streams of about four seconds, which outlast the restart of the instance that they are at.
    let mut streams = JoinSet::new();
    for _ in 0..10 {
        let caller = caller.clone();
        streams.spawn(async move {
            let begun = Instant::now();
            let body = streamed_chat(SLOW_MODEL, 40);
            let mut response = caller.open("/v1/chat/completions", &body).await.unwrap();
            assert_eq!(response.status(), 200);
            let first = response.frame().await.unwrap().unwrap();
            assert!(first.data_ref().is_some_and(|data| !data.is_empty()));
            let waited = begun.elapsed();
            (waited, client::read(response, begun).await)
        });
    }
    let all_open = fake.wait_until(Duration::from_secs(20), |counts| counts.open >= 10).await;
    assert!(all_open, "{:?}", fake.counts());
    for gateway in &mut gateways {
        restart(gateway).await;
    }
    while let Some(stream) = streams.join_next().await {
        let (waited, answer) = stream.unwrap();
        let answer = answer.ok();
        assert_eq!(answer.events().last(), Some(&"[DONE]"), "whole");
        assert!(waited * 2 < answer.took, "not gathered: {waited:?} of {:?}", answer.took);
    }
    stop.store(true, Ordering::SeqCst);
    let mut done = 0;
    while let Some(chats) = chats.join_next().await {
        done += chats.unwrap();
    }
    assert!(done > 50, "there was something to notice: {done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_instance_turns_down_another_gets_and_nobody_is_left_out_for_it() {
    let (one, two) = (Played::new("one"), Played::new("two"));
    let (_nginx, address) =
        nginx_before(&[("one", one.server.url()), ("two", two.server.url())], "");
    let caller = Caller::at(address, None);

    // Drained: a body that nginx has put on disk reaches the other one whole.
    one.answers(503);
    for _ in 0..20 {
        let answer = caller.post("/v1/chat/completions", vec![b'x'; 3 << 20]).await.ok().json();
        assert_eq!((&answer["instance"], &answer["bytes"]), (&json!("two"), &json!(3 << 20)));
    }
    assert!(one.asked() > 0, "nobody knows it before");
    // A batch, too, though otherwise it is never sent a second time.
    let batch = caller.post("/resource_server/c/vllm/v1/batches", "{}").await.ok().json();
    assert_eq!(batch["instance"], "two");

    // A model in maintenance is so everywhere: the answer is figw's own, and everybody stays in.
    two.answers(503);
    for _ in 0..30 {
        let answer = caller.ask("chat/completions", &json!({})).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")));
        assert!(
            answer.json()["instance"].is_string(),
            "figw's body, not nginx's: {}",
            answer.text()
        );
    }
    one.answers(200);
    two.answers(200);
    let (before_one, before_two) = (one.asked(), two.asked());
    for _ in 0..10 {
        caller.ask("chat/completions", &json!({})).await.ok();
    }
    assert!(one.asked() > before_one && two.asked() > before_two, "both are in");

    // An error of figw's own is passed on and asked of nobody else.
    one.answers(502);
    two.answers(502);
    let before = one.asked() + two.asked();
    let answer = caller.ask("chat/completions", &json!({})).await;
    assert_eq!((answer.status, one.asked() + two.asked()), (502, before + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_have_been_begun_is_begun_again_unless_it_would_be_there_twice() {
    let (one, asked) = (Played::new("one"), Arc::new(AtomicUsize::new(0)));
    let closing = played::closing(Arc::clone(&asked));
    let instances = [("closing", closing.as_str()), ("one", one.server.url())];
    for (path, is_begun_again) in [
        ("/v1/chat/completions", true),
        ("/resource_server/c/vllm/v1/batches", false),
        ("/resource_server/c/vllm/tasks", false),
        ("/resource_server/api/streaming/data/", false),
    ] {
        // A new one, which leaves nobody out.
        let (_nginx, address) = nginx_before(&instances, "");
        let caller = Caller::at(address, None);
        let (before, closed) = (one.asked(), asked.load(Ordering::SeqCst));
        let mut answered = 0;
        for _ in 0..4 {
            match caller.post(path, "{}").await.status {
                200 => answered += 1,
                502 => {}
                other => panic!("{path}: {other}"),
            }
        }
        let lost = asked.load(Ordering::SeqCst) - closed;
        assert!(lost > 0, "{path}: the one that closes was asked");
        let expected = if is_begun_again { 4 } else { 4 - lost };
        assert_eq!((one.asked() - before, answered), (expected, expected), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_a_drained_instance_turned_down_is_submitted_once_all_the_same() {
    let (drained, asked) = (Played::new("drained"), Arc::new(AtomicUsize::new(0)));
    drained.answers(503);
    let (one, two) = (played::closing(Arc::clone(&asked)), played::closing(Arc::clone(&asked)));
    let instances =
        [("drained", drained.server.url()), ("one", one.as_str()), ("two", two.as_str())];
    let mut turned_down = 0;
    for _ in 0..6 {
        // A new one, which leaves nobody out.
        let (_nginx, address) = nginx_before(&instances, "");
        let (before, turned) = (asked.load(Ordering::SeqCst), drained.asked());
        let path = "/resource_server/c/vllm/v1/batches";
        let caller = Caller::at(address, None);
        assert_eq!(caller.post(path, "{}").await.status, 502);
        assert_eq!(asked.load(Ordering::SeqCst) - before, 1, "it was cut off, and not sent again");
        turned_down += drained.asked() - turned;
    }
    // Which one nginx begins with is a matter of chance.
    assert!(turned_down > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_gone_costs_nobody_an_answer() {
    let one = Played::new("one");
    let gone = format!("http://127.0.0.1:{}", free_port());
    let (_nginx, address) = nginx_before(&[("gone", &gone), ("one", one.server.url())], "");
    let caller = Caller::at(address, None);
    for _ in 0..20 {
        let answer = caller.ask("chat/completions", &json!({})).await.ok();
        assert!(answer.took < Duration::from_secs(1), "{:?}", answer.took);
    }
    let health = caller.get("/health").await;
    assert_eq!(health.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_is_told_by_nginx_and_a_body_has_figws_limit() {
    let one = Played::new("one");
    let limit = "server: {max_body_bytes: 64KiB}\n";
    let (_nginx, address) = nginx_before(&[("one", one.server.url())], limit);
    let caller = Caller::at(address, None).with_header("x-forwarded-for", "203.0.113.1");
    let told = caller.ask("chat/completions", &json!({})).await.ok().json();
    assert_eq!((&told["forwarded_for"], &told["proto"]), (&json!("127.0.0.1"), &json!("http")));
    assert_eq!(told["request_id"].as_str().map(str::len), Some(32), "nginx's own: {told}");
    let mine = caller.with_header("x-request-id", "mine");
    assert_eq!(mine.ask("chat/completions", &json!({})).await.json()["request_id"], "mine");
    let largest = mine.post("/v1/chat/completions", vec![b' '; 64 << 10]).await;
    assert_eq!(largest.status, 200);
    let too_large = mine.post("/v1/chat/completions", vec![b' '; (64 << 10) + 1]).await;
    assert_eq!(too_large.status, 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_from_blue_to_green_takes_the_next_request_and_leaves_the_last_alone() {
    let slow = SmallServer::start(|_| {
        thread::sleep(Duration::from_secs(2));
        Reply::json(200, &json!({"instance": "blue"}))
    });
    let green = Played::new("green");
    let fleet = [("gw1-blue", slow.url()), ("gw1-green", green.server.url())];
    let port = free_port();
    let mut nginx = Nginx::new();
    let plain = ["--plain-http", "--access-log", "off", "--http-port", &port.to_string()];
    nginx.put("figw.conf", &generated(&fleet, "", &[&plain[..], &["--part", "site"]].concat()));
    nginx.put("figw-upstream.conf", &generated(&fleet, "", &["--color", "blue"]));
    nginx.start(port);
    let caller = Caller::at((Ipv4Addr::LOCALHOST, port).into(), None);

    let begun = tokio::spawn({
        let caller = caller.clone();
        async move { caller.ask("chat/completions", &json!({})).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    nginx.put("figw-upstream.conf", &generated(&fleet, "", &["--color", "green"]));
    nginx.reload();
    let next: Answer = caller.ask("chat/completions", &json!({})).await.ok();
    assert_eq!(next.json()["instance"], "green");
    let last = begun.await.unwrap().ok();
    assert_eq!(last.json()["instance"], "blue", "finished where it was begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_speaks_tls_and_sends_plain_requests_there() {
    let one = Played::new("one");
    let (http, https) = (free_port(), free_port());
    let mut nginx = Nginx::new();
    let (certificate, key) = nginx.make_certificate();
    let log = nginx.path("access.log");
    let arguments = [
        [
            "--certificate",
            certificate.to_str().unwrap(),
            "--certificate-key",
            key.to_str().unwrap(),
        ],
        ["--https-port", &https.to_string(), "--http-port", &http.to_string()],
        ["--access-log", log.to_str().unwrap(), "--server-name", "localhost"],
    ];
    let file = generated(&[("one", one.server.url())], "", &arguments.concat());
    nginx.put("figw.conf", &file);
    nginx.start(https);

    let said = curl(&certificate, &[&format!("https://localhost:{https}/v1/models"), "--http2"]);
    let (head, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/2 200"), "{head}");
    assert!(head.contains("strict-transport-security: max-age=63072000"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["instance"], &body["proto"]), (&json!("one"), &json!("https")));

    let said = curl(&certificate, &[&format!("http://localhost:{http}/v1/models?a=b")]);
    assert!(said.starts_with("HTTP/1.1 308"), "{said}");
    assert!(said.contains(&format!("Location: https://localhost:{https}/v1/models?a=b")), "{said}");

    for old in ["-tls1", "-tls1_1"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-connect", &format!("127.0.0.1:{https}"), old]);
        openssl.args(["-cipher", "DEFAULT@SECLEVEL=0"]).stdin(std::process::Stdio::null());
        assert!(!openssl.output().unwrap().status.success(), "{old} is too old");
    }
    let logged = fs::read_to_string(&log).unwrap();
    assert!(logged.contains("\"GET /v1/models\" 200 "), "{logged}");
}

/// Head and body that curl is answered with; it trusts this certificate.
fn curl(certificate: &Path, arguments: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--include", "--noproxy", "*", "--ipv4", "--cacert"]);
    let said =
        Said::from(curl.arg(certificate).args(arguments).output().expect("curl is installed"));
    assert_eq!(said.status, Some(0), "{said:?}");
    said.stdout
}
