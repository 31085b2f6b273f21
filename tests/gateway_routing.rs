//! One model on several clusters, some of which fail: what callers notice, and what they do not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{collections::HashMap, time::Duration};

use http::header::RETRY_AFTER;
use serde_json::json;
use support::{
    client::Answer,
    fake::Fault,
    federation::{Federation, MODEL},
    load::{Load, Outcome},
    requests::{chat, streamed_chat},
    rows::Usage,
};

const CHAT: &str = "chat/completions";

/// What a quarter of the load is, give or take what chance makes of a second of it.
const ITS_SHARE: f64 = 0.18;

fn good(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome.answer, Ok((200, _)))).count()
}

/// Fails unless at least 99.9 % of the requests were answered, and each has one row.
fn assert_served(what: &str, federation: &Federation, outcomes: &[Outcome]) -> Vec<Usage> {
    let good = good(outcomes);
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap();
    println!(
        "{what}: {good} of {} requests answered, the slowest after {slowest:?}",
        outcomes.len()
    );
    assert!(good * 1000 >= outcomes.len() * 999, "{good} of {}", outcomes.len());
    federation.gateway.wait_for_usage(outcomes.len())
}

fn answered_by(answer: &Answer) -> &str {
    answer.header("x-figw-endpoint").expect("an answer names its endpoint")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_four_is_dead_and_comes_back() {
    let mut federation = Federation::of(4, &[]);
    let load = Load::start(&federation.caller, MODEL, 100);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let address = federation.stop(1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(federation.is_out(1));
    federation.revive(1, address);
    let back = federation.time_until_share(1, ITS_SHARE, Duration::from_secs(30)).await;
    println!("dead: back to its share after {back:?}");
    let outcomes = load.stop().await;
    federation.assert_at_rest().await;
    for row in assert_served("dead", &federation, &outcomes) {
        assert_eq!((row.status, row.error), (200, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_four_hangs_and_comes_to_itself() {
    let federation = Federation::of(4, &[("gateway.attempt_timeout", "500ms")]);
    let load = Load::start(&federation.caller, MODEL, 100);
    tokio::time::sleep(Duration::from_secs(1)).await;
    federation.fakes[2].always(Some(Fault::HangBeforeHeaders));
    let before = federation.opened()[2];
    tokio::time::sleep(Duration::from_secs(4)).await;
    let hung = federation.opened()[2] - before;
    println!("hanging: {hung} of about 400 requests met it");
    assert!(federation.is_out(2));
    federation.fakes[2].always(None);
    let back = federation.time_until_share(2, ITS_SHARE, Duration::from_secs(30)).await;
    println!("hanging: back to its share after {back:?}");
    let outcomes = load.stop().await;
    let slowest = outcomes.iter().map(|outcome| outcome.took).max().unwrap();
    assert!(slowest < Duration::from_secs(3), "nobody waits for long: {slowest:?}");
    federation.assert_at_rest().await;
    assert_served("hanging", &federation, &outcomes);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_four_answers_500_half_of_the_time() {
    let federation = Federation::of(4, &[]);
    let every_other = [Some(Fault::Status(500)), None].into_iter().cycle().take(2_000);
    federation.fakes[0].script(every_other);
    let load = Load::start(&federation.caller, MODEL, 100);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(federation.is_out(0));
    let outcomes = load.stop().await;
    federation.assert_at_rest().await;
    let rows = assert_served("500 half of the time", &federation, &outcomes);
    let retries = federation.gateway.metric("figw_retries_total{endpoint=\"c0-m\"}");
    assert!(retries >= Some(3.0), "{retries:?}");
    let mut by_endpoint = HashMap::new();
    for row in rows {
        assert_eq!((row.status, row.backend_status), (200, Some(200)), "of the one that answered");
        *by_endpoint.entry(row.endpoint).or_insert(0_usize) += 1;
    }
    assert_eq!(by_endpoint.len(), 4, "{by_endpoint:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_faults_before_the_first_byte_are_another_target_s_chance() {
    let faults = [
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(503),
        Fault::Status(504),
        Fault::ResetBeforeHeaders,
        Fault::HangAfterHeaders,
        Fault::Html,
        Fault::ErrorFirst,
        Fault::ResetMidway,
    ];
    // Without a breaker, the broken one is asked again and again.
    let settings = [("gateway.max_fails", "0"), ("gateway.attempt_timeout", "200ms")];
    let federation = Federation::of(2, &settings);
    let mut asked = 0;
    for fault in faults {
        federation.fakes[0].always(Some(fault));
        for streamed in [false, true] {
            if (streamed && fault == Fault::ResetMidway)
                || (!streamed && fault == Fault::ErrorFirst)
            {
                continue;
            }
            let body = if streamed { streamed_chat(MODEL, 3) } else { chat(MODEL) };
            let before = federation.opened()[0];
            while federation.opened()[0] < before + 2 {
                let answer = federation.caller.ask(CHAT, &body).await.ok();
                assert_eq!(answered_by(&answer), "c1-m", "{fault:?}");
                asked += 1;
            }
        }
    }
    federation.assert_at_rest().await;
    for row in federation.gateway.wait_for_usage(asked) {
        assert_eq!((row.endpoint.as_str(), row.status), ("c1-m", 200));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_byte_is_not_sent_again() {
    let federation = Federation::of(3, &[]);
    for fake in &federation.fakes {
        fake.always(Some(Fault::ResetMidway));
    }
    let answer = federation.caller.ask(CHAT, &streamed_chat(MODEL, 5)).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.events().contains(&"[DONE]"), "{}", answer.text());
    assert_eq!(federation.opened().iter().sum::<usize>(), 1);
    federation.gateway.wait_for_usage(1);
}

#[tokio::test]
async fn a_caller_s_own_mistake_passes_through_and_counts_for_nothing() {
    let federation = Federation::of(2, &[]);
    for status in [400, 404, 413, 422] {
        federation.fakes[0].always(Some(Fault::Status(status)));
        for _ in 0..15 {
            let answer = federation.caller.ask(CHAT, &chat(MODEL)).await;
            let expected = if answered_by(&answer) == "c0-m" { status } else { 200 };
            assert_eq!(answer.status, expected);
        }
    }
    assert!(!federation.is_out(0));
    let opened = federation.opened();
    assert_eq!(opened.iter().sum::<usize>(), 60, "no request was sent twice: {opened:?}");
    assert!(opened[0] > 10, "it is not left out: {opened:?}");
}

#[tokio::test]
async fn too_many_requests_are_another_target_s_chance_and_no_failure() {
    let federation = Federation::of(2, &[]);
    federation.fakes[0].always(Some(Fault::Status(429)));
    for _ in 0..20 {
        let answer = federation.caller.ask(CHAT, &chat(MODEL)).await.ok();
        assert_eq!(answered_by(&answer), "c1-m");
    }
    assert!(federation.opened()[0] <= 1, "it is left alone for the 7 s that it asked for");
    assert!(!federation.is_out(0));
    federation.fakes[1].always(Some(Fault::Status(429)));
    let answer = federation.caller.ask(CHAT, &chat(MODEL)).await;
    assert_eq!((answer.status, answer.header(RETRY_AFTER.as_str())), (429, Some("7")));
    federation.gateway.wait_for_usage(21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_whose_caller_hangs_up_does_not_keep_the_endpoint_out() {
    let federation = Federation::of(2, &[("gateway.fail_timeout", "1s")]);
    federation.fakes[0].always(Some(Fault::Status(500)));
    while !federation.is_out(0) {
        federation.caller.ask(CHAT, &chat(MODEL)).await.ok();
    }
    federation.fakes[0].always(Some(Fault::HangBeforeHeaders));
    let before = federation.opened()[0];
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    // Whichever of these is the trial hangs, and its caller goes.
    while federation.opened()[0] == before {
        let (caller, body) = (federation.caller.clone(), chat(MODEL));
        let asked = async move { caller.try_ask(CHAT, &body).await.is_ok() };
        let _ = tokio::time::timeout(Duration::from_millis(300), asked).await;
    }
    federation.fakes[0].always(None);
    let begun = std::time::Instant::now();
    while federation.is_out(0) {
        federation.caller.ask(CHAT, &chat(MODEL)).await.ok();
        assert!(begun.elapsed() < Duration::from_secs(5), "it is kept out for ever");
    }
    println!("after a trial that nobody waited for: back after {:?}", begun.elapsed());
    federation.assert_at_rest().await;
}

#[tokio::test]
async fn nobody_retries_for_a_caller_who_has_gone() {
    let federation = Federation::of(3, &[("gateway.attempt_timeout", "500ms")]);
    for fake in &federation.fakes {
        fake.always(Some(Fault::HangBeforeHeaders));
    }
    let (caller, body) = (federation.caller.clone(), chat(MODEL));
    let asked = async move { caller.try_ask(CHAT, &body).await.is_ok() };
    assert!(tokio::time::timeout(Duration::from_millis(200), asked).await.is_err());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(federation.opened().iter().sum::<usize>(), 1);
    federation.assert_at_rest().await;
    assert_eq!(federation.gateway.wait_for_usage(1)[0].status, 499);
}

#[tokio::test]
async fn when_all_are_out_they_are_tried_all_the_same() {
    let federation = Federation::of(2, &[("gateway.fail_timeout", "1h")]);
    for fake in &federation.fakes {
        fake.always(Some(Fault::Status(500)));
    }
    for _ in 0..4 {
        assert_eq!(federation.caller.ask(CHAT, &chat(MODEL)).await.status, 502);
    }
    assert!(federation.is_out(0) && federation.is_out(1));
    for fake in &federation.fakes {
        fake.always(None);
    }
    for _ in 0..20 {
        federation.caller.ask(CHAT, &chat(MODEL)).await.ok();
    }
    assert!(!federation.is_out(0) || !federation.is_out(1));
    federation.gateway.wait_for_usage(24);
}

#[tokio::test]
async fn a_change_of_the_catalogue_leaves_what_is_known_of_an_endpoint() {
    let federation = Federation::of(2, &[("gateway.fail_timeout", "1h")]);
    federation.fakes[0].always(Some(Fault::Status(500)));
    while !federation.is_out(0) {
        federation.caller.ask(CHAT, &chat(MODEL)).await.ok();
    }
    let asked = federation.opened()[0];
    federation.gateway.run(&["endpoint", "set", "c0-m", "--tpm-user", "1000000"]);
    let seen = |f: &Federation| f.gateway.log().matches("catalogue loaded").count() > 0;
    assert!(federation.wait_until(Duration::from_secs(5), seen).await);
    for _ in 0..20 {
        federation.caller.ask(CHAT, &chat(MODEL)).await.ok();
    }
    assert_eq!(federation.opened()[0], asked, "it is still left out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn priorities_and_weights_of_a_federation_are_kept_to() {
    let mut federation = Federation::of(3, &[]);
    let file = federation.gateway.directory().join("priorities.yaml");
    let text = json!({ "version": 1, "federations": [{ "model": "best", "targets": [
        { "endpoint": "c0-m", "weight": 3 },
        { "endpoint": "c1-m" },
        { "endpoint": "c2-m", "priority": 1 },
    ]}]});
    std::fs::write(&file, text.to_string()).unwrap();
    federation.gateway.run(&["fixtures", "load", file.to_str().unwrap()]);
    let known = |f: &Federation| f.gateway.log().contains("catalogue loaded");
    assert!(federation.wait_until(Duration::from_secs(5), known).await);

    for _ in 0..200 {
        federation.caller.ask(CHAT, &chat("best")).await.ok();
    }
    let opened = federation.opened();
    assert!((120..180).contains(&opened[0]), "three of four go to the heavier one: {opened:?}");
    assert_eq!((opened[0] + opened[1], opened[2]), (200, 0));
    federation.stop(0);
    federation.stop(0);
    for _ in 0..20 {
        let answer = federation.caller.ask(CHAT, &chat("best")).await.ok();
        assert_eq!(answered_by(&answer), "c2-m");
        assert_eq!(answer.json()["model"], MODEL);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_for_a_hanging_target_leave_it_with_the_first() {
    let federation = Federation::of(2, &[("gateway.attempt_timeout", "3s")]);
    federation.fakes[0].always(Some(Fault::HangBeforeHeaders));
    federation.fakes[1].always(Some(Fault::SlowChunks(Duration::from_millis(300))));
    let ask = || {
        let caller = federation.caller.clone();
        tokio::spawn(async move { caller.ask(CHAT, &chat(MODEL)).await.ok() })
    };
    let first: Vec<_> = (0..4).map(|_| ask()).collect();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let later: Vec<_> = (0..16).map(|_| ask()).collect();
    for asked in first {
        assert_eq!(answered_by(&asked.await.unwrap()), "c1-m");
    }
    let mut slowest = Duration::ZERO;
    for asked in later {
        slowest = slowest.max(asked.await.unwrap().took);
    }
    let hung = federation.opened()[0];
    println!("{hung} of 20 met the hanging one; who came later waited {slowest:?} at most");
    assert!(hung > 4 && slowest < Duration::from_secs(3), "{hung}, {slowest:?}");
    federation.assert_at_rest().await;
    federation.gateway.wait_for_usage(20);
}

#[tokio::test]
async fn each_answer_names_its_endpoint() {
    let federation = Federation::of(2, &[]);
    let path = "/resource_server/c1/api/v1/chat/completions";
    for body in [chat(MODEL), streamed_chat(MODEL, 3)] {
        let direct = federation.caller.post(path, body.to_string()).await.ok();
        assert_eq!(answered_by(&direct), "c1-m");
        let anywhere = federation.caller.ask(CHAT, &body).await.ok();
        assert!(["c0-m", "c1-m"].contains(&answered_by(&anywhere)));
    }
    federation.fakes[1].always(Some(Fault::Status(400)));
    let refused = federation.caller.post(path, chat(MODEL).to_string()).await;
    assert_eq!((refused.status, answered_by(&refused)), (400, "c1-m"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_for_a_seat_and_too_many_are_told_when_to_come_again() {
    let settings = [("gateway.waiting_room", "2"), ("gateway.waiting_timeout", "2s")];
    let federation = Federation::with(2, &settings, |_| json!({ "max_in_flight": 1 }));
    for fake in &federation.fakes {
        fake.always(Some(Fault::HangBeforeHeaders));
    }
    let ask = || {
        let caller = federation.caller.clone();
        tokio::spawn(async move { caller.try_ask(CHAT, &chat(MODEL)).await })
    };
    let holders = [ask(), ask()];
    let both = |f: &Federation| f.opened() == [1, 1];
    assert!(federation.wait_until(Duration::from_secs(2), both).await, "one each");
    let series = "figw_waiting_room_requests{model=\"m\"}";
    let waiters = [ask(), ask()];
    let waiting = |f: &Federation| f.gateway.metric(series) == Some(2.0);
    assert!(federation.wait_until(Duration::from_secs(1), waiting).await, "two wait");

    let refused = federation.caller.ask(CHAT, &chat(MODEL)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(refused.json()["error"]["code"], "waiting_room_full");
    assert!(refused.took < Duration::from_millis(500), "at once: {:?}", refused.took);

    // One who has a seat goes, and one who waits gets it.
    for fake in &federation.fakes {
        fake.always(None);
    }
    let [first, second] = holders;
    first.abort();
    for waiter in waiters {
        let answer = waiter.await.unwrap().unwrap().ok();
        println!("waited {:?} for a seat", answer.took);
    }
    assert_eq!(federation.gateway.metric(series), Some(0.0));

    // And who waits in vain is told so.
    for fake in &federation.fakes {
        fake.always(Some(Fault::HangBeforeHeaders));
    }
    let last = ask();
    let both = |f: &Federation| f.fakes.iter().all(|fake| fake.counts().open == 1);
    assert!(federation.wait_until(Duration::from_secs(2), both).await, "both are taken");
    let refused = federation.caller.ask(CHAT, &chat(MODEL)).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(refused.json()["error"]["code"], "endpoint_busy");
    assert!(refused.took >= Duration::from_secs(2), "{:?}", refused.took);
    for holder in [second, last] {
        holder.abort();
    }
    federation.assert_at_rest().await;
}
