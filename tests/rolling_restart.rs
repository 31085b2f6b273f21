//! `figw rolling-restart` on a fleet of real gateways, and everything that stops it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    client::Caller,
    fake::Fake,
    fleet::{Fleet, NAMES},
    gateway::Plan,
    load::{Load, assert_all_answered},
};

/// Three gateways that share nothing but their back end.
fn fleet() -> (Fleet, Fake) {
    let fake = Fake::start();
    let gateways = NAMES.map(|_| {
        Plan::in_front_of(fake.api_url())
            .models(["fake-model", "fault-slow-chunks-100"])
            .set("server.drain_grace", "200ms")
            .start()
    });
    (Fleet::of(gateways), fake)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_restarted_and_its_neighbours_serve_on() {
    let (fleet, _fake) = fleet();
    let before = fleet.started();
    let plan = fleet.roll(&["--dry-run"]);
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(NAMES.iter().all(|name| plan.contains(&format!("restart-{name}"))), "{plan}");
    assert_eq!(fleet.started(), before, "a plan does nothing");

    let output = fleet.command(&["--output", "json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["instances"], serde_json::json!(NAMES));
    assert_eq!(events.last().unwrap()["type"], "finished");
    let steps: Vec<_> = events.iter().filter(|event| event["instance"] == "two").collect();
    let steps: Vec<_> = steps.iter().filter_map(|event| event["step"].as_str()).collect();
    let mut distinct = steps.clone();
    distinct.dedup();
    assert_eq!(distinct, ["check", "drain", "wait", "restart", "ready", "watch"]);
    for (old, new) in before.iter().zip(fleet.started()) {
        assert_ne!(*old, new);
    }
    fleet.all_serve();

    let only = fleet.roll(&["--only", "three"]);
    assert_eq!(only.status.code(), Some(0), "{}", String::from_utf8_lossy(&only.stderr));
    assert_eq!(fleet.roll(&["--only", "four"]).status.code(), Some(2));
    assert_eq!(fleet.roll(&["--resume"]).status.code(), Some(2), "nothing had stopped");
}

#[test]
fn the_first_failure_stops_everything_and_resume_finishes() {
    let (fleet, _fake) = fleet();
    let proper = fs::read_to_string(fleet.script("two")).unwrap();
    let before = fleet.started();
    fleet.restart_with("two", "echo 'no such unit' >&2; exit 5");
    fleet.stops(&[], &["two", "restarting", "no such unit", "exit status: 5", "--resume"]);
    let now = fleet.started();
    assert!(now[0] != before[0] && now[1] == before[1] && now[2] == before[2]);
    // Its own process takes requests again.
    fleet.all_serve();
    let events = fleet.command(&["--only", "two", "--output", "json"]).output().unwrap();
    let text = String::from_utf8(events.stdout).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["instance"]), (&"stopped".into(), &"two".into()), "{text}");
    assert_eq!(
        (&last["step"], &last["state"]),
        (&"restart".into(), &"it takes requests again".into())
    );
    assert!(last["reason"].as_str().unwrap().contains("no such unit"), "{text}");

    // Its last words count, however many there are.
    fleet.restart_with(
        "two",
        "head -c 300000 /dev/zero | tr '\\0' x >&2 || exit 9; echo 'the end' >&2; exit 5",
    );
    fleet.stops(&["--only", "two"], &["exit status: 5", "the end", "it takes requests again"]);

    fleet.restart_with("two", "sleep 60");
    fleet.configure(&["restart_timeout: 300ms"]);
    fleet.stops(&["--only", "two"], &["two", "has not ended after 300ms"]);
    fleet.restart_with("two", "true");
    fleet.configure(&["ready_timeout: 500ms"]);
    fleet.stops(&["--only", "two"], &["two", "the old process still runs", "500ms", "again"]);
    fleet.all_serve();

    fleet.restart_with("two", &proper);
    fleet.configure(&[]);
    let resumed = fleet.roll(&["--resume"]);
    let said = String::from_utf8_lossy(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(0), "{said}");
    assert!(!said.contains("one: "), "{said}");
    assert_eq!(fleet.started()[0], now[0]);
    fleet.all_serve();
}

#[test]
fn one_that_does_not_come_back_or_does_not_stay_is_named() {
    let (fleet, _fake) = fleet();
    let proper = fs::read_to_string(fleet.script("one")).unwrap();
    fleet.restart_with(
        "one",
        "kill $(cat DIR/pid); sleep 1"
            .replace("DIR", fleet.gateways[0].directory().to_str().unwrap())
            .as_str(),
    );
    fleet.configure(&["ready_timeout: 1s"]);
    fleet.stops(&[], &["one", "waiting until it is ready", "onnection refused"]);
    fleet.stops(&["--only", "two"], &["two", "one does not answer"]);
    let start = format!(
        "{}\n",
        proper.lines().filter(|line| !line.contains("old")).collect::<Vec<_>>().join("\n")
    );
    let started = Command::new("bash").arg("-c").arg(start).stderr(Stdio::null()).status().unwrap();
    assert!(started.success());
    let given_up = Instant::now() + Duration::from_secs(20);
    while fleet.gateways[0].get("/ready").is_none_or(|(status, _)| status != 200) {
        assert!(Instant::now() < given_up);
        thread::sleep(Duration::from_millis(50));
    }

    // It becomes unready while it is watched.
    let drain = format!(
        "{proper}\n(sleep 1.5; curl -sS -X POST {}/admin/drain >/dev/null) &\n",
        fleet.gateways[0].admin_url()
    );
    fleet.restart_with("one", &drain);
    fleet.configure(&["stabilise: 4s"]);
    fleet.stops(&["--only", "one"], &["one", "watching", "no longer ready"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_waited_for_and_an_interruption_takes_the_drain_back() {
    let (fleet, _fake) = fleet();
    let before = fleet.started();
    let caller = Caller::of(&fleet.gateways[0]);
    let slow = tokio::spawn(async move {
        let body = support::requests::streamed_chat("fault-slow-chunks-100", 60);
        let opened = caller.open("/v1/chat/completions", &body).await.unwrap();
        support::client::read(opened, Instant::now()).await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.configure(&["drain_timeout: 1s"]);
    fleet.stops(&[], &["one", "1 requests are still in flight after 1s", "takes requests again"]);
    fleet.all_serve();

    fleet.configure(&[]);
    let mut running = fleet.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
    let given_up = Instant::now() + Duration::from_secs(10);
    while fleet.gateways[0].status()["draining"] == false {
        assert!(Instant::now() < given_up);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fleet.roll(&[]).status.code(), Some(75), "one at a time");
    Command::new("kill").arg(running.id().to_string()).status().unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    fleet.all_serve();
    assert_eq!(fleet.started(), before);
    let answer = slow.await.unwrap();
    assert!(!answer.cut && answer.status == 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_instance_sends_callers_elsewhere_after_its_grace() {
    let (fleet, _fake) = fleet();
    let gateway = &fleet.gateways[0];
    let load = Load::start(&Caller::of(gateway), "fake-model", 20);
    let post = |what: &str| {
        let url = format!("{}/admin/{what}", gateway.admin_url());
        let sent = Command::new("curl").args(["-sS", "-X", "POST", &url]).output().unwrap();
        assert!(sent.status.success());
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_all_answered(&load.stop().await);
    post("drain");
    let caller = Caller::of(gateway);
    let early = caller.ask("chat/completions", &support::requests::chat("fake-model")).await;
    assert_eq!(early.status, 200, "within the grace");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = caller.ask("chat/completions", &support::requests::chat("fake-model")).await;
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")));
    assert_eq!(late.json()["error"]["code"], "draining");
    post("undrain");
    caller.ask("chat/completions", &support::requests::chat("fake-model")).await.ok();
}
