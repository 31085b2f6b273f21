//! Limits that three gateways keep to together, through a real Redis that comes and goes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    client::{Answer, Caller},
    gateway::Gateway,
    sharing::{ENDPOINT, Fleet, MODEL, Race},
};
use tokio::time::sleep;

const CHAT: &str = "chat/completions";

/// The racing callers that the issue asks for.
const CALLERS: usize = 1_000;

/// Requests per second of the one user, and the size of a lease of that.
const RATE: u64 = 100;
const LEASE: u64 = RATE / 20;

/// A request that may take 10 tokens and takes 8.
fn small_chat() -> Value {
    json!({
        "model": MODEL, "max_tokens": 5,
        "messages": [{"role": "user", "content": "three short words"}],
    })
}

async fn chat(caller: Caller) -> Answer {
    caller.ask(CHAT, &small_chat()).await
}

async fn list(caller: Caller) -> Answer {
    caller.get("/v1/models").await
}

/// When a request was let through, as precisely as is known: between these two moments, in
/// microseconds.
type Admission = (i64, i64);

/// Every request that was answered with 200, of all gateways, by their own rows.
fn admissions(gateways: &mut [Gateway]) -> Vec<Admission> {
    let mut all = Vec::new();
    for gateway in gateways {
        // Ending it writes its last rows.
        gateway.terminate();
        assert!(gateway.wait_for_exit(Duration::from_secs(30)).success(), "{}", gateway.log());
        let path = gateway.database().strip_prefix("sqlite:").expect("SQLite");
        let database = rusqlite::Connection::open(path).unwrap();
        let query = "SELECT started_at, started_at + duration_us FROM access WHERE status = 200";
        let mut rows = database.prepare(query).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        all.extend(rows.map(Result::unwrap));
    }
    all.sort_unstable();
    all
}

/// The most that were surely let through within one second, of windows that begin between `from` and
/// `to`, in microseconds.
fn most_in_a_second(admissions: &[Admission], from: i64, to: i64) -> usize {
    let starts = admissions.iter().map(|(start, _)| *start).filter(|at| (from..to).contains(at));
    let within = |start: i64| {
        let end = start + 1_000_000;
        admissions.iter().filter(|(begun, done)| *begun >= start && *done < end).count()
    };
    starts.map(within).max().unwrap_or_default()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

#[track_caller]
fn assert_at_most(what: &str, count: usize, limit: u64) {
    assert!(count as u64 <= limit, "{what}: {count} in a second, {limit} allowed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_racing_callers_never_exceed_the_requests_of_a_second() {
    let mut fleet =
        Fleet::of(3, &[], &[("limits.requests_per_second_per_user", &RATE.to_string())]);
    let begun = now();
    let race = Race::start(&fleet.callers, CALLERS, Duration::from_millis(700), list);
    sleep(Duration::from_secs(6)).await;
    let lasted = now() - begun;
    let (answered, refused) = race.stop().await;

    let ended = now();
    let all = admissions(&mut fleet.gateways);
    assert_eq!(all.len() as u64, answered);
    assert!(refused > answered, "the limit was not reached: {answered} answered, {refused} not");
    assert_at_most("shared", most_in_a_second(&all, begun, ended), RATE + LEASE);
    let seconds = u64::try_from(lasted / 1_000_000).unwrap();
    assert!(answered >= seconds * RATE * 8 / 10, "{answered} in {seconds} s: too few");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_requests_of_a_second_outlast_redis_and_hold_again_when_it_is_back() {
    let mut fleet =
        Fleet::of(3, &[], &[("limits.requests_per_second_per_user", &RATE.to_string())]);
    let begun = now();
    let race = Race::start(&fleet.callers, CALLERS, Duration::from_millis(700), list);
    sleep(Duration::from_secs(3)).await;
    let killed = now();
    fleet.redis.stop();
    let before = race.answered.load(std::sync::atomic::Ordering::Relaxed);
    sleep(Duration::from_secs(3)).await;
    let meanwhile = race.answered.load(std::sync::atomic::Ordering::Relaxed) - before;
    assert_eq!(fleet.alone(), 3);
    fleet.redis.start();
    let back = now();
    sleep(Duration::from_secs(4)).await;
    assert_eq!(fleet.alone(), 0);
    race.stop().await;

    let ended = now();
    let alone = fleet.sum(
        r#"figw_limiter_decisions_total{limit="requests_per_second",decision="admitted_alone"}"#,
    );
    assert!(alone > 0.0, "it is counted what was decided without Redis");
    assert!(meanwhile >= RATE, "the service did not go on: {meanwhile} in three seconds");
    let all = admissions(&mut fleet.gateways);
    assert_at_most("before", most_in_a_second(&all, begun, killed - 1_000_000), RATE + LEASE);
    assert_at_most("after", most_in_a_second(&all, back + 1_000_000, ended), RATE + LEASE);
    // What each last knew of the others was a lease old at most, of each of them.
    assert_at_most("all the time", most_in_a_second(&all, begun, ended), RATE + 3 * LEASE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_racing_callers_never_exceed_the_tokens_of_a_minute() {
    let limit = 8_000;
    for switch in ["--tpm-model", "--tpm-user"] {
        let fleet = Fleet::of(3, &[switch, &limit.to_string()], &[]);
        let race = Race::start(&fleet.callers, CALLERS, Duration::from_millis(900), chat);
        sleep(Duration::from_secs(8)).await;
        let (answered, refused) = race.stop().await;
        assert!(refused > 0, "the limit was not reached with {answered}");
        wait_for_rows(&fleet, answered).await;
        let used = fleet.tokens_used();
        assert!(used <= limit, "{used}");
        assert!(used >= limit * 9 / 10, "{used}: too few");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tokens_of_a_minute_outlast_redis_and_hold_again_when_it_is_back() {
    let limit = 16_000;
    let lease = limit / 20;
    let mut fleet = Fleet::of(3, &["--tpm-model", &limit.to_string()], &[]);
    let begun = std::time::Instant::now();
    let race = Race::start(&fleet.callers, CALLERS, Duration::from_secs(3), chat);
    sleep(Duration::from_secs(2)).await;
    fleet.redis.stop();
    let before = race.answered.load(std::sync::atomic::Ordering::Relaxed);
    sleep(Duration::from_secs(2)).await;
    let meanwhile = race.answered.load(std::sync::atomic::Ordering::Relaxed) - before;
    fleet.redis.start();
    let took = fleet.wait_until_shared(Duration::from_secs(10));
    assert!(took < Duration::from_secs(1), "{took:?}");
    // What is left can be had by one of them, down to the last leases.
    let (answered, _) = race.stop().await;
    let rest = Race::start(&fleet.callers[..1], 50, Duration::from_millis(10), chat);
    sleep(Duration::from_secs(12)).await;
    let (rest, refused) = rest.stop().await;

    assert!(meanwhile > 0, "the service did not go on");
    assert!(refused > 0, "the limit was not reached: {answered}, then {rest}");
    wait_for_rows(&fleet, answered + rest).await;
    assert!(begun.elapsed() < Duration::from_secs(55), "all of it within one minute");
    let used = fleet.tokens_used();
    assert!(used <= limit + lease, "{used}");
    assert!(used >= limit * 9 / 10, "{used}: too few");
}

/// Waits until the gateways have written down as many answers.
async fn wait_for_rows(fleet: &Fleet, answered: u64) {
    let written = || {
        let rows = fleet.gateways.iter().flat_map(Gateway::usage);
        rows.filter(|row| row.status == 200).count() as u64
    };
    for _ in 0..100 {
        if written() >= answered {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(written(), answered);
}

#[tokio::test]
async fn what_one_holds_and_does_not_use_others_can_have() {
    let fleet = Fleet::of(2, &["--tpm-user", "1000"], &[]);
    // Reserves 517 and uses 8; a lease is 50.
    let answer = fleet.callers[0].ask(CHAT, &support::requests::chat(MODEL)).await.ok();
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("483"));
    sleep(Duration::from_millis(1_500)).await;
    let large = json!({
        "model": MODEL, "max_tokens": 980,
        "messages": [{"role": "user", "content": "three short words"}],
    });
    let answer = fleet.callers[1].ask(CHAT, &large).await.ok();
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("7"));
    let refused = fleet.callers[0].ask(CHAT, &small_chat()).await;
    assert_eq!(refused.status, 429, "{}", refused.text());
}

#[tokio::test]
async fn an_instance_that_ends_takes_nothing_with_it() {
    let mut fleet = Fleet::of(2, &["--tpm-user", "1000"], &[]);
    fleet.callers[0].ask(CHAT, &small_chat()).await.ok();
    fleet.gateways[0].terminate();
    assert!(fleet.gateways[0].wait_for_exit(Duration::from_secs(20)).success());
    let large = json!({
        "model": MODEL, "max_tokens": 987,
        "messages": [{"role": "user", "content": "three short words"}],
    });
    let answer = fleet.callers[1].ask(CHAT, &large).await.ok();
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("0"), "8 and 992 of 1000");
}

#[tokio::test]
async fn what_is_emptied_is_filled_again_within_a_second() {
    let fleet = Fleet::of(3, &["--tpm-user", "60"], &[]);
    for caller in &fleet.callers {
        caller.ask(CHAT, &small_chat()).await.ok();
        caller.ask(CHAT, &small_chat()).await.ok();
    }
    let () = redis::cmd("FLUSHALL").query(&mut fleet.redis.connection()).unwrap();
    sleep(Duration::from_secs(1)).await;
    fleet.wait_until_shared(Duration::from_secs(1));
    let mut answered = 0;
    for caller in fleet.callers.iter().chain(&fleet.callers) {
        answered += u32::from(caller.ask(CHAT, &small_chat()).await.status == 200);
    }
    assert_eq!(answered, 1, "48 of 60 were used, and a request takes 10");
}

#[tokio::test]
async fn redis_holds_no_more_than_a_minute_of_it() {
    let fleet = Fleet::of(
        1,
        &["--tpm-user", "1000", "--tpm-model", "1000"],
        &[("limits.requests_per_second_per_user", "100")],
    );
    fleet.callers[0].ask(CHAT, &small_chat()).await.ok();
    sleep(Duration::from_millis(200)).await;
    let mut connection = fleet.redis.connection();
    let keys: Vec<String> = redis::cmd("KEYS").arg("figw:limits:*").query(&mut connection).unwrap();
    assert!(keys.iter().any(|key| key.contains(ENDPOINT)), "{keys:?}");
    for key in keys {
        let life: i64 = redis::cmd("PTTL").arg(&key).query(&mut connection).unwrap();
        let most = if key.ends_with("instances") { 600_000 } else { 61_000 };
        assert!((1..=most).contains(&life), "{key}: {life} ms");
    }
}
