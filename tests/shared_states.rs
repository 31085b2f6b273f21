//! What Globus says of endpoints: asked by one instance, known to all.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::Commands as _;
use serde_json::json;
use support::{
    client::Caller,
    cluster_stream::{ENDPOINT, FUNCTION, MODEL, all_are, globus, plan},
    gateway::Gateway,
    globus::{Endpoint, FakeGlobus, Function, Outcome, Service, Trouble},
    redis::Redis,
    requests::chat,
};
use uuid::Uuid;

const STATUS: &str = "GET /v2/endpoints/{id}/status";
const CHAT: &str = "chat/completions";

/// Globus whose function answers after so long, with instances in front of it.
fn fleet(count: usize, delay: Duration, redis: &Redis) -> (FakeGlobus, Vec<Gateway>) {
    let globus = globus();
    globus.function(
        FUNCTION,
        Function::new(move |_| {
            let answer = Outcome::Returns(r#"{"choices": []}"#.into());
            Outcome::After(delay, Box::new(answer))
        }),
    );
    let gateways = (0..count).map(|_| plan(&globus, Some(redis)).start()).collect();
    (globus, gateways)
}

/// Asks each instance at the same time; the statuses of the answers.
async fn ask_all(gateways: &[Gateway]) -> Vec<u16> {
    let asked = gateways
        .iter()
        .map(|gateway| async { Caller::of(gateway).ask(CHAT, &chat(MODEL)).await.status });
    join_all(asked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_ask_once() {
    let redis = Redis::start_new();
    let (globus, gateways) = fleet(3, Duration::ZERO, &redis);
    all_are(&gateways, "ok");
    globus.delay(Service::Compute, Duration::from_millis(200));
    assert_eq!(ask_all(&gateways).await, [200; 3]);
    assert_eq!(globus.count(Service::Compute, STATUS), 1);
    assert_eq!(ask_all(&gateways).await, [200; 3]);
    assert_eq!(globus.count(Service::Compute, STATUS), 1);
    let keys: Vec<String> = redis.connection().keys("figw:answer-1:*").unwrap();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let asking: Vec<String> = redis.connection().keys("figw:turn-1:*").unwrap();
    assert!(asking.is_empty(), "nobody is left asking: {asking:?}");
    let life: i64 = redis.connection().pttl(&keys[0]).unwrap();
    assert!((1..=60_000).contains(&life), "{life} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_list_a_cluster_s_jobs_with_one_task() {
    let (globus, redis) = (globus(), Redis::start_new());
    let [qstat_endpoint, qstat] = [11, 12].map(Uuid::from_u128);
    globus.endpoint(qstat_endpoint, Endpoint::ONLINE);
    let told = json!({"running": [], "queued": [], "cluster_status": {"free_nodes": 4}});
    let text = told.to_string();
    let tells = Function::new(move |_| Outcome::Returns(text.clone().into()));
    globus.function(qstat, tells.taking(Duration::from_millis(500)));
    let config = json!({"qstat_endpoint_uuid": qstat_endpoint, "qstat_function_uuid": qstat});
    let gateways: Vec<_> = (0..3)
        .map(|_| {
            let cluster = FakeGlobus::cluster_entry("polaris", &config);
            let model = FakeGlobus::endpoint_entry("polaris", "m", ENDPOINT, FUNCTION);
            plan(&globus, Some(&redis)).entries([cluster, model]).start()
        })
        .collect();
    all_are(&gateways, "ok");
    let list = async |gateway| {
        let jobs = Caller::of(gateway).get("/resource_server/polaris/jobs").await.ok().json();
        assert_eq!(jobs["cluster_status"], told["cluster_status"]);
    };
    join_all(gateways.iter().map(list)).await;
    join_all(gateways.iter().map(list)).await;
    assert_eq!(globus.submitted().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_asks_for_itself() {
    let redis = Redis::not_yet_started();
    let (globus, gateways) = fleet(3, Duration::ZERO, &redis);
    all_are(&gateways, "degraded");
    assert_eq!(ask_all(&gateways).await, [200; 3]);
    assert_eq!(globus.count(Service::Compute, STATUS), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_reach_globus_takes_no_endpoint_from_the_others() {
    let redis = Redis::start_new();
    let (globus, gateways) = fleet(2, Duration::ZERO, &redis);
    all_are(&gateways, "ok");
    globus.trouble(Service::Compute, Some(Trouble::Status(500)));
    assert_eq!(ask_all(&gateways[..1]).await, [503]);
    globus.trouble(Service::Compute, None);
    assert_eq!(ask_all(&gateways[1..]).await, [200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_one_instance_starts_is_being_started_for_all() {
    let redis = Redis::start_new();
    let globus = globus();
    globus.endpoint(ENDPOINT, Endpoint::WITHOUT_NODES);
    globus.function(
        FUNCTION,
        Function::new(|_| {
            let answer = Outcome::Returns(r#"{"choices": []}"#.into());
            Outcome::After(Duration::from_secs(6), Box::new(answer))
        }),
    );
    let gateways: Vec<_> = (0..2)
        .map(|_| plan(&globus, Some(&redis)).set("gateway.waiting_timeout", "1s").start())
        .collect();
    all_are(&gateways, "ok");
    let first = tokio::spawn({
        let caller = Caller::of(&gateways[0]);
        async move { caller.ask(CHAT, &chat(MODEL)).await }
    });
    while globus.submitted().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let other = Caller::of(&gateways[1]);
    let second = other.ask(CHAT, &chat(MODEL)).await;
    assert_eq!(second.status, 503, "{}", second.text());
    assert_eq!(second.json()["error"]["code"], "endpoint_starting");
    assert_eq!(globus.submitted().len(), 1, "one start is enough");
    first.await.unwrap().ok();
    // Its result is news for the other one, too.
    let begun = Instant::now();
    while other.ask(CHAT, &chat(MODEL)).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(5), "still said to be starting");
    }
    assert_eq!(globus.submitted().len(), 2);
    assert_eq!(globus.count(Service::Compute, STATUS), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_has_written_to_redis_is_not_believed() {
    let redis = Redis::start_new();
    let (globus, gateways) = fleet(2, Duration::ZERO, &redis);
    all_are(&gateways, "ok");
    assert_eq!(ask_all(&gateways[..1]).await, [200]);
    let mut connection = redis.connection();
    let keys: Vec<String> = connection.keys("figw:answer-1:*").unwrap();
    let value: String = connection.get(&keys[0]).unwrap();
    assert!(value.contains(r#"\"online\":true"#), "{value}");
    let () = connection.set(&keys[0], value.replace("true", "false")).unwrap();
    assert_eq!(ask_all(&gateways[1..]).await, [200]);
    assert_eq!(globus.count(Service::Compute, STATUS), 2);
}
