//! What runs on a Globus cluster, as its qstat function tells it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    client::Caller,
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Outcome, Service, Trouble},
};
use uuid::Uuid;

const QSTAT_ENDPOINT: Uuid = Uuid::from_u128(1);
const QSTAT: Uuid = Uuid::from_u128(2);
const WITH_NODES: Uuid = Uuid::from_u128(3);
const WITHOUT_NODES: Uuid = Uuid::from_u128(4);
const INFERENCE: Uuid = Uuid::from_u128(5);
const JOBS: &str = "/resource_server/sophia/jobs";

fn job(models: &str, status: &str) -> Value {
    json!({
        "Models": models, "Framework": "vllm", "Cluster": "sophia", "Model Status": status,
        "Job ID": "17.sophia", "Walltime": "01:02:03",
    })
}

/// What FIRST's function returns: a text that holds JSON.
fn told() -> Value {
    json!({
        "running": [job("good,secret", "running"), job("lost", "running"), job("secret", "running")],
        "queued": [job("lost", "queued")],
        "others": [],
        "private-batch-running": [job("good", "running")],
        "private-batch-queued": [],
        "cluster_status": { "free_nodes": 4 },
    })
}

/// A Globus whose qstat function counts its calls, and a gateway before it.
fn cluster(delay: Duration) -> (FakeGlobus, Gateway, Arc<AtomicUsize>) {
    let globus = FakeGlobus::start();
    globus.endpoint(QSTAT_ENDPOINT, Endpoint::ONLINE);
    globus.endpoint(WITH_NODES, Endpoint::ONLINE);
    globus.endpoint(WITHOUT_NODES, Endpoint::WITHOUT_NODES);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let qstat = Function::new(move |argument| {
        assert_eq!(*argument, Value::Null, "it takes no argument");
        counted.fetch_add(1, Ordering::SeqCst);
        Outcome::Returns(serde_json::to_string_pretty(&told()).unwrap().into())
    });
    globus.function(QSTAT, qstat.taking(delay));
    let config = json!({ "qstat_endpoint_uuid": QSTAT_ENDPOINT, "qstat_function_uuid": QSTAT });
    let mut secret = FakeGlobus::endpoint_entry("sophia", "secret", WITH_NODES, INFERENCE);
    secret["fields"]["allowed_globus_groups"] = json!(["insiders"]);
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1")
        .entries([
            FakeGlobus::cluster_entry("sophia", &config),
            FakeGlobus::endpoint_entry("sophia", "good", WITH_NODES, INFERENCE),
            FakeGlobus::endpoint_entry("sophia", "lost", WITHOUT_NODES, INFERENCE),
            secret,
        ])
        .settings(&globus.config_with(&[], &["results: poll"]))
        .start();
    (globus, gateway, calls)
}

#[tokio::test]
async fn callers_see_their_models_and_which_have_lost_their_nodes() {
    let (globus, gateway, calls) = cluster(Duration::from_millis(300));
    let caller = Caller::of(&gateway);
    let asking = (0..50).map(|_| {
        let caller = caller.clone();
        tokio::spawn(async move { caller.get(JOBS).await.ok().json() })
    });
    let expected = json!({
        "running": [job("good", "running"), job("lost", "disconnected")],
        "queued": [job("lost", "queued")],
        "stopped": [], "others": [],
        "private_batch_running": [job("good", "running")],
        "private_batch_queued": [],
        "cluster_status": { "free_nodes": 4 },
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap(), expected);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1, "fifty callers, one question");
    assert_eq!(globus.count(Service::Compute, "POST /v3/endpoints/{id}/submit"), 1);
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_end_the_question() {
    let (_globus, gateway, calls) = cluster(Duration::from_secs(1));
    let caller = Caller::of(&gateway);
    let hurried = tokio::time::timeout(Duration::from_millis(300), caller.get(JOBS)).await;
    assert!(hurried.is_err());
    assert_eq!(caller.get(JOBS).await.ok().json()["running"][0]["Models"], "good");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_the_clusters_business() {
    let (globus, gateway, _) = cluster(Duration::ZERO);
    let caller = Caller::of(&gateway);
    globus.function(QSTAT, Function::new(|_| Outcome::Raises("qstat: /home/x/bin".to_owned())));
    let answer = caller.get(JOBS).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(!answer.text().contains("/home"), "{}", answer.text());
    globus.function(QSTAT, Function::new(|_| Outcome::Returns(told())));
    assert_eq!(caller.get(JOBS).await.status, 502, "a failure is kept for ten seconds");
}

#[tokio::test]
async fn globus_being_away_is_a_matter_of_trying_again() {
    let (globus, gateway, _) = cluster(Duration::ZERO);
    globus.trouble(Service::Compute, Some(Trouble::Refused));
    let answer = Caller::of(&gateway).get(JOBS).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn under_maintenance_everything_is_stopped() {
    let (_globus, mut gateway, calls) = cluster(Duration::ZERO);
    gateway.kill();
    gateway.run(&["maintenance", "on", "sophia", "--notice", "new cables"]);
    gateway.serve();
    let seen = Caller::of(&gateway).get(JOBS).await.ok().json();
    let stopped =
        |model: &str| json!({ "Models": model, "Framework": "vllm", "Cluster": "sophia" });
    assert_eq!(seen["stopped"], json!([stopped("good"), stopped("lost")]));
    assert_eq!(seen["running"], json!([]));
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}
