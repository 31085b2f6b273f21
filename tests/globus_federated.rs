//! A model on several clusters behind Globus Compute: which one is asked, and who waits for what.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{
    client::Caller,
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Outcome},
    requests::chat,
};
use uuid::{Uuid, uuid};

const CHAT: &str = "chat/completions";
const MODEL: &str = "meta-llama/Meta-Llama-3.1-8B-Instruct";
const FUNCTION: Uuid = uuid!("00000000-0000-4000-8000-000000000601");
const SOPHIA: Uuid = uuid!("00000000-0000-4000-8000-000000000501");
const POLARIS: Uuid = uuid!("00000000-0000-4000-8000-000000000502");

/// A gateway in front of these clusters, each with an endpoint in this state.
fn serve(
    clusters: &[(&str, Uuid, Endpoint)],
    function: Function,
    settings: &[(&str, &str)],
) -> (FakeGlobus, Gateway, Caller) {
    let globus = FakeGlobus::start();
    globus.function(FUNCTION, function);
    let mut plan = Plan::in_front_of("http://127.0.0.1:9/v1")
        .settings(&globus.config_with(&[], &["results: poll"]));
    for (name, id, state) in clusters {
        globus.endpoint(*id, *state);
        plan = plan.entries([
            FakeGlobus::cluster_entry(name, &json!({})),
            FakeGlobus::endpoint_entry(name, MODEL, *id, FUNCTION),
        ]);
    }
    let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
    let gateway = plan.start();
    let caller = Caller::of(&gateway);
    (globus, gateway, caller)
}

/// Answers after so long.
fn slow(seconds: u64) -> Function {
    Function::new(move |_| {
        let answer = Outcome::Returns(r#"{"choices": []}"#.into());
        Outcome::After(Duration::from_secs(seconds), Box::new(answer))
    })
}

#[tokio::test]
async fn the_cluster_where_the_model_runs_is_asked() {
    for other in [Endpoint::OFFLINE, Endpoint::WITHOUT_NODES] {
        let clusters = [("polaris", POLARIS, other), ("sophia", SOPHIA, Endpoint::ONLINE)];
        let settings = [("gateway.probe_interval", "500ms")];
        let function = Function::inference(Duration::ZERO);
        let (globus, gateway, caller) = serve(&clusters, function, &settings);
        // It takes a first request, or a probe, to learn which one that is.
        caller.ask(CHAT, &chat(MODEL)).await.ok();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let known = globus.submitted().len();
        for _ in 0..10 {
            caller.ask(CHAT, &chat(MODEL)).await.ok();
        }
        for task in &globus.submitted()[known..] {
            assert_eq!(task.endpoint, SOPHIA, "the other one is {other:?}");
        }
        gateway.wait_for_usage(11);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_waits_for_a_model_that_is_being_started() {
    let clusters = [("sophia", SOPHIA, Endpoint::WITHOUT_NODES)];
    let (globus, gateway, caller) = serve(&clusters, slow(3), &[]);
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { caller.ask(CHAT, &chat(MODEL)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    globus.endpoint(SOPHIA, Endpoint::ONLINE);
    let second = caller.ask(CHAT, &chat(MODEL)).await.ok();
    first.await.unwrap().ok();
    println!("started by another's request, it answered after {:?}", second.took);
    assert_eq!(globus.submitted().len(), 2);
    gateway.wait_for_usage(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_vain_for_a_model_is_told_when_to_come_again() {
    let clusters = [("sophia", SOPHIA, Endpoint::WITHOUT_NODES)];
    let settings = [("gateway.waiting_timeout", "1s")];
    let (globus, gateway, caller) = serve(&clusters, slow(5), &settings);
    let first = tokio::spawn({
        let caller = caller.clone();
        async move { caller.ask(CHAT, &chat(MODEL)).await }
    });
    while globus.submitted().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let second = caller.ask(CHAT, &chat(MODEL)).await;
    assert_eq!((second.status, second.header("retry-after")), (503, Some("60")));
    assert_eq!(second.json()["error"]["code"], "endpoint_starting");
    assert!(second.took >= Duration::from_secs(1), "{:?}", second.took);
    first.await.unwrap().ok();
    assert_eq!(globus.submitted().len(), 1);
    let statuses: Vec<_> = gateway.wait_for_usage(2).iter().map(|row| row.status).collect();
    assert_eq!(statuses, [200, 503]);
}
