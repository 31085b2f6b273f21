//! The database goes away, the process is killed, or told to stop or to reload, all under load.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    collections::HashSet,
    fs,
    net::TcpStream,
    time::{Duration, Instant},
};

use support::{
    client::{self, Caller},
    fake::Fake,
    gateway::{Gateway, Plan},
    load::{Load, Outcome, assert_all_answered},
    outage::{PATIENCE, assert_each_has_one_row, becomes_ready_as, readiness},
    postgres::Postgres,
    requests::{chat, streamed_chat},
};
use tokio::time::sleep;

const OUTAGE: Duration = Duration::from_secs(20);
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_postgresql_away_for_twenty_seconds_all_are_served_and_no_row_is_lost() {
    let mut postgres = Postgres::start_new();
    let url = postgres.create_database("figw");
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).database(url).models(["fake-model"]).start();
    assert_eq!(readiness(&gateway).1["status"], "ready");
    let load = Load::start(&Caller::of(&gateway), "fake-model", 50);
    sleep(Duration::from_secs(2)).await;
    postgres.stop();
    let away_since = Instant::now();
    let body = becomes_ready_as(&gateway, "degraded").await;
    let checks = body["checks"].as_array().unwrap();
    let degraded: Vec<_> = checks.iter().filter(|check| check["state"] == "degraded").collect();
    assert!(!degraded.is_empty(), "{body}");
    for check in degraded {
        assert!(check["since"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{body}");
        assert!(check["reason"].as_str().unwrap().contains("unavailable"), "{body}");
    }
    assert!(!body.to_string().contains("unused-secret"), "a password in {body}");
    assert!(!body.to_string().contains("127.0.0.1"), "everybody may read it: {body}");
    sleep(OUTAGE.saturating_sub(away_since.elapsed())).await;
    let (status, body) = readiness(&gateway);
    assert_eq!((status, &body["status"]), (200, &"degraded".into()), "{body}");
    for name in ["database", "rows"] {
        let check = body["checks"].as_array().unwrap().iter().find(|check| check["name"] == name);
        assert_eq!(check.unwrap()["state"], "degraded", "{body}");
    }
    postgres.start();
    becomes_ready_as(&gateway, "ready").await;
    let outcomes = load.stop().await;
    assert_all_answered(&outcomes);
    assert!(outcomes.len() > 1000, "only {} requests", outcomes.len());
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap();
    assert!(slowest < Duration::from_secs(2), "the slowest took {slowest:?}");
    assert_each_has_one_row(&gateway, &outcomes);
}

/// Of all requests answered until a flush interval before the kill, each has its row after the
/// restart, and none has two.
fn assert_at_most_an_interval_is_lost(gateway: &Gateway, outcomes: &[Outcome], killed: Instant) {
    // The interval, and a moment for the sync that ends it.
    let safe = killed.checked_sub(Duration::from_millis(1200)).unwrap();
    let answered: Vec<_> =
        outcomes.iter().filter_map(|o| Some((o.at, o.answer.as_ref().ok()?))).collect();
    let kept: Vec<_> = answered.iter().filter(|(at, _)| *at < safe).collect();
    assert!(kept.len() > 100, "too few requests to tell: {}", kept.len());
    let given_up = Instant::now() + PATIENCE;
    loop {
        let rows = gateway.usage();
        let written: HashSet<_> = rows.iter().map(|row| row.request_id.as_str()).collect();
        assert_eq!(written.len(), rows.len(), "doubled rows");
        let missing = kept.iter().filter(|(_, (_, id))| !written.contains(id.as_str())).count();
        if missing == 0 {
            println!("{} answered, {} rows", answered.len(), rows.len());
            return;
        }
        assert!(Instant::now() < given_up, "{missing} of {} rows are missing", kept.len());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_loses_at_most_a_flush_interval_and_doubles_nothing() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let load = Load::start(&Caller::of(&gateway), "fake-model", 100);
    sleep(Duration::from_millis(3700)).await;
    let killed = Instant::now();
    gateway.kill();
    let outcomes = load.stop().await;
    gateway.serve();
    assert_at_most_an_interval_is_lost(&gateway, &outcomes, killed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_the_database_away_it_replays_its_spool_once() {
    let mut postgres = Postgres::start_new();
    let url = postgres.create_database("figw");
    let fake = Fake::start();
    let mut gateway =
        Plan::in_front_of(fake.api_url()).database(url).models(["fake-model"]).start();
    let load = Load::start(&Caller::of(&gateway), "fake-model", 50);
    sleep(Duration::from_secs(1)).await;
    postgres.kill();
    sleep(Duration::from_secs(4)).await;
    let killed = Instant::now();
    gateway.kill();
    let outcomes = load.stop().await;
    postgres.start();
    gateway.serve();
    assert_at_most_an_interval_is_lost(&gateway, &outcomes, killed);
    // And once more, with nothing left to replay.
    let rows = gateway.usage().len();
    gateway.kill();
    gateway.serve();
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(gateway.usage().len(), rows);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_stop_it_says_so_finishes_its_streams_and_leaves_exact_books() {
    const STREAMS: usize = 20;
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model", "fault-slow-chunks-100"])
        .set("server.drain_grace", "2s")
        .start();
    let caller = Caller::of(&gateway);
    let load = Load::start(&caller, "fake-model", 50);
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let body = streamed_chat("fault-slow-chunks-100", 50);
        let begun = Instant::now();
        let response = caller.open("/v1/chat/completions", &body).await.unwrap();
        streams.push(tokio::spawn(client::read(response, begun)));
    }
    let told = Instant::now();
    gateway.terminate();
    while readiness(&gateway).0 == 200 {
        assert!(told.elapsed() < Duration::from_secs(1), "still ready after {:?}", told.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    // A load balancer has noticed by now, well within the time of grace.
    sleep(Duration::from_millis(500)).await;
    let outcomes = load.stop().await;
    assert!(told.elapsed() < Duration::from_secs(2), "too slow a machine to tell");
    assert_all_answered(&outcomes);
    while TcpStream::connect(gateway.address()).is_ok() {
        assert!(told.elapsed() < Duration::from_secs(4), "accepting after {:?}", told.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    assert!(told.elapsed() >= Duration::from_millis(1900), "closed before the time of grace");
    assert_eq!(gateway.status()["draining"], true, "the admin listener stays until the end");
    for stream in streams {
        let answer = stream.await.unwrap().ok();
        assert_eq!(answer.events().last(), Some(&"[DONE]"));
    }
    let status = gateway.wait_for_exit(PATIENCE);
    assert!(status.success(), "{status}: {}", gateway.log());
    let rows = gateway.usage();
    assert_eq!(rows.len(), outcomes.len() + STREAMS, "books closed at the exit");
    assert!(rows.iter().all(|row| (row.status, &row.error) == (200, &None)), "{rows:?}");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fault-hang-midway"]).start();
    let body = streamed_chat("fault-hang-midway", 5);
    let _open = Caller::of(&gateway).open("/v1/chat/completions", &body).await.unwrap();
    gateway.signal("INT");
    sleep(Duration::from_millis(500)).await;
    assert!(gateway.exited().is_none(), "a stream is still open: {}", gateway.log());
    gateway.terminate();
    let status = gateway.wait_for_exit(Duration::from_secs(2));
    assert_eq!(status.code(), Some(1));
}

#[tokio::test]
async fn what_is_still_open_after_the_drain_timeout_is_cut_and_written_down() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(["fault-hang-midway"])
        .set("server.drain_timeout", "500ms")
        .start();
    let body = streamed_chat("fault-hang-midway", 5);
    let open = Caller::of(&gateway).open("/v1/chat/completions", &body).await.unwrap();
    gateway.terminate();
    assert!(client::read(open, Instant::now()).await.cut, "not an answer that ends in order");
    let status = gateway.wait_for_exit(PATIENCE);
    assert!(status.success(), "{status}: {}", gateway.log());
    let rows = gateway.usage();
    assert_eq!(rows.len(), 1);
    assert!(rows[0].error.is_some(), "{rows:?}");
}

/// Waits until the log says it.
async fn logs(gateway: &Gateway, text: &str) {
    let given_up = Instant::now() + PATIENCE;
    while !gateway.log().contains(text) {
        assert!(Instant::now() < given_up, "no '{text}' in\n{}", gateway.log());
        sleep(Duration::from_millis(20)).await;
    }
}

/// How many of twenty requests, sent as fast as can be, are over the limit.
async fn refused_of_twenty(caller: &Caller) -> usize {
    let mut refused = 0;
    for _ in 0..20 {
        let answer = caller.ask("chat/completions", &chat("fake-model")).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some());
            assert_eq!(answer.json()["error"]["type"], "requests");
            refused += 1;
        } else {
            assert_eq!(answer.status, 200);
        }
    }
    refused
}

#[tokio::test]
async fn a_reload_takes_a_good_file_and_refuses_a_bad_one() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    let file = gateway.directory().join("config.yaml");
    let original = fs::read_to_string(&file).unwrap();
    let limits = "limits:\n  requests_per_second_per_user: 2\n";

    fs::write(&file, format!("{original}{limits}  requests_per_hour: 3\n")).unwrap();
    gateway.signal("HUP");
    logs(&gateway, "reload refused").await;
    let log = gateway.log();
    assert!(log.contains("requests_per_hour") && log.contains("ERROR"), "{log}");
    assert_eq!(refused_of_twenty(&caller).await, 0, "the old settings stay");

    fs::write(&file, format!("{original}{limits}")).unwrap();
    gateway.signal("HUP");
    logs(&gateway, "configuration reloaded").await;
    assert!(refused_of_twenty(&caller).await >= 10, "the new limit is in effect");

    fs::write(&file, original).unwrap();
    gateway.signal("HUP");
    let given_up = Instant::now() + PATIENCE;
    while refused_of_twenty(&caller).await > 0 {
        assert!(Instant::now() < given_up, "the limit stays: {}", gateway.log());
    }
}
