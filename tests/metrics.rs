//! What `/metrics` tells: all that the manual lists and nothing else, however callers behave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use figw::telemetry::metrics::{ALL, Kind, Metric, Presence};
use support::{
    client::Caller,
    fake::Fake,
    gateway::{Gateway, Plan},
    observed::{Observed, promtool, series},
    requests::{chat, request, streamed_chat},
};
use tokio::time::sleep;

const CHAT: &str = "chat/completions";

/// The metric that a sample belongs to.
fn metric_of(sample: &str) -> Option<&'static Metric> {
    let is_of = |metric: &&Metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| sample.strip_suffix(suffix) == Some(metric.name)),
        _ => sample == metric.name,
    };
    ALL.iter().find(is_of)
}

/// The table's names among the samples; a sample that the table does not know is an error.
fn known_names(metrics: &str) -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    for (sample, labels) in series(metrics) {
        let metric = metric_of(&sample).unwrap_or_else(|| panic!("{sample} is not in the table"));
        let found: Vec<_> = labels.iter().map(|label| label.split('=').next().unwrap()).collect();
        let expected: Vec<_> = metric.labels.iter().map(|label| label.name).collect();
        assert_eq!(found, expected, "{sample}");
        assert!(metrics.contains(&format!("# TYPE {} {}\n", metric.name, metric.word())));
        assert!(metrics.contains(&format!("# HELP {} ", metric.name)));
        names.insert(metric.name);
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_at_work_has_every_metric_of_the_table_and_no_other() {
    let observed = Observed::start(&[]);
    observed.traffic().await;
    let replica = observed.replica();
    observed.wait_for(&format!("figw_replica_lag_seconds{{database=\"{replica}\"}}")).await;
    observed.wait_for("figw_globus_amqp_connected").await;
    observed.wait_for("figw_state_free_bytes").await;
    let metrics = observed.gateway.metrics();
    let found = known_names(&metrics);
    let missing: Vec<_> = ALL
        .iter()
        .filter(|metric| !found.contains(metric.name))
        .filter(|metric| metric.presence != Presence::With("server.tls"))
        .map(|metric| metric.name)
        .collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    assert_eq!(promtool(&["check", "metrics"], &metrics), "");

    let manual = fs::read_to_string("man/figw-metrics.7").unwrap().replace('\\', "");
    for metric in ALL {
        assert!(manual.contains(metric.name), "{} is not in the manual", metric.name);
    }
}

#[tokio::test]
async fn what_nothing_has_happened_to_yet_is_there_with_0() {
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).start();
    let metrics = gateway.metrics();
    let found = known_names(&metrics);
    for metric in ALL.iter().filter(|metric| metric.presence == Presence::Always) {
        assert!(found.contains(metric.name), "{} is missing", metric.name);
    }
    assert_eq!(gateway.metric("figw_rows_dropped_total"), Some(0.0));
    assert_eq!(gateway.metric("figw_ready"), Some(1.0));
    assert!(gateway.metric("process_resident_memory_bytes") > Some(1e6));
    assert!(gateway.metric("process_open_fds") > Some(3.0));
    assert!(gateway.metric("figw_state_size_bytes") > gateway.metric("figw_state_free_bytes"));
    let build = format!("figw_build_info{{version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(metrics.contains(&build), "{metrics}");
}

#[tokio::test]
async fn a_request_is_counted_once_with_its_times_and_tokens() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    caller.ask(CHAT, &chat("fake-model")).await.ok();
    caller.ask(CHAT, &streamed_chat("fake-model", 20)).await.ok();
    gateway.wait_until_idle(Duration::from_secs(5));
    let labels = "endpoint=\"local-vllm-fake-model\",gen_ai_request_model=\"fake-model\",\
                  gen_ai_operation_name=\"chat\"";
    let value = |name: &str, more: &str| gateway.metric(&format!("{name}{{{labels}{more}}}"));
    assert_eq!(value("figw_requests_total", ",status=\"2xx\""), Some(2.0));
    assert_eq!(value("gen_ai_server_request_duration_seconds_count", ""), Some(2.0));
    assert_eq!(value("gen_ai_server_time_to_first_token_seconds_count", ""), Some(2.0));
    assert_eq!(value("gen_ai_server_time_per_output_token_seconds_count", ""), Some(1.0));
    let tokens = value("gen_ai_client_token_usage_sum", ",gen_ai_token_type=\"output\"");
    assert_eq!(tokens, Some(25.0));
    assert_eq!(
        gateway.metric("figw_gateway_overhead_seconds_count{gen_ai_operation_name=\"chat\"}"),
        Some(2.0)
    );
}

#[tokio::test]
async fn the_gateway_s_own_time_is_not_the_back_end_s() {
    let fake = Fake::start();
    let model = "fault-slow-chunks-400";
    let gateway = Plan::in_front_of(fake.api_url()).models([model, "fake-model"]).start();
    let caller = Caller::of(&gateway);
    let answer = caller.ask(CHAT, &streamed_chat(model, 1)).await.ok();
    assert!(answer.took >= Duration::from_millis(400), "{:?}", answer.took);
    let sum = "figw_gateway_overhead_seconds_sum{gen_ai_operation_name=\"chat\"}";
    let overhead = gateway.metric(sum).unwrap();
    assert!(overhead > 0.0 && overhead < 0.1, "{overhead} s of {:?}", answer.took);
}

#[tokio::test]
async fn nothing_that_callers_make_up_becomes_a_series() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let misbehave = async |round: usize| {
        let caller = Caller::of(&gateway);
        caller.ask(CHAT, &chat("fake-model")).await.ok();
        caller.ask(CHAT, &chat(&format!("made-up-{round}"))).await;
        caller.with_key(&format!("figw_{round}")).ask(CHAT, &chat("fake-model")).await;
        caller.get(&format!("/made/up/{round}")).await;
        caller.send(&format!("METHOD{round}"), "/v1/chat/completions", "").await;
        caller.send(&format!("METHOD{round}"), "/health", "").await;
        caller.post(&format!("/resource_server/made-up-{round}/x/v1/{CHAT}"), "{}").await;
        caller.post(&format!("/resource_server/api/streaming/{round}/"), "{}").await;
        let caller = caller.with_header("x-request-id", &format!("id-{round}"));
        caller.post("/v1/embeddings", format!("not JSON {round}")).await;
        let body = request("embeddings", "fake-model", false);
        let caller = caller.with_key(&gateway.create_key(&format!("user-{round}@example.org")));
        caller.ask("embeddings", &body).await;
    };
    misbehave(0).await;
    // The new key is known everywhere after a moment.
    sleep(Duration::from_secs(2)).await;
    misbehave(0).await;
    let before = series(&gateway.metrics());
    for round in 1..15 {
        misbehave(round).await;
    }
    let after = series(&gateway.metrics());
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
}

fn add_endpoint(gateway: &Gateway, fake: &Fake, model: &str) {
    let api_url = fake.api_url();
    gateway.run(&[
        "endpoint",
        "add",
        "--cluster",
        "local",
        "--framework",
        "vllm",
        "--model",
        model,
        "--api-url",
        &api_url,
    ]);
}

async fn answers(caller: &Caller, model: &str, status: u16) {
    let given_up = Instant::now() + Duration::from_secs(10);
    while caller.ask(CHAT, &chat(model)).await.status != status {
        assert!(Instant::now() < given_up, "{model} is not answered {status}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_leaves_the_catalogue_leaves_the_metrics() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    caller.ask(CHAT, &chat("fake-model")).await.ok();
    let before = series(&gateway.metrics());
    for round in 0..3 {
        add_endpoint(&gateway, &fake, &format!("m{round}"));
        answers(&caller, &format!("m{round}"), 200).await;
        gateway.run(&["--yes", "endpoint", "remove", &format!("local-vllm-m{round}")]);
    }
    answers(&caller, "m2", 404).await;
    let given_up = Instant::now() + Duration::from_secs(40);
    while gateway.metrics().contains("local-vllm-m") {
        assert!(Instant::now() < given_up, "{}", gateway.metrics());
        sleep(Duration::from_millis(500)).await;
    }
    let left = series(&gateway.metrics());
    let new: Vec<_> = left.difference(&before).collect();
    assert!(new.iter().all(|(name, _)| name == "figw_refusals_total"), "{new:?}");

    // It comes back, and is counted from 0 on.
    add_endpoint(&gateway, &fake, "m0");
    answers(&caller, "m0", 200).await;
    let counted = "figw_requests_total{endpoint=\"local-vllm-m0\",gen_ai_request_model=\"m0\",\
                   gen_ai_operation_name=\"chat\",status=\"2xx\"}";
    assert_eq!(gateway.metric(counted), Some(1.0));
}

#[tokio::test]
async fn metrics_can_be_turned_off() {
    let fake = Fake::start();
    let plan = Plan::in_front_of(fake.api_url()).models(["fake-model"]);
    let gateway = plan.set("telemetry.metrics", "false").start();
    Caller::of(&gateway).ask(CHAT, &chat("fake-model")).await.ok();
    assert!(gateway.metrics().contains("telemetry.metrics is false"), "{}", gateway.metrics());
}
