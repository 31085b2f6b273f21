//! Metis: what its manifest says is live takes requests, the rest does not, and nobody sees its
//! addresses and ids. Also what clusters without a scheduler tell of their jobs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    client::Caller,
    fake::Fake,
    gateway::{BACKEND_KEY, Gateway, Plan},
    requests::chat,
    status_page::StatusPage,
};

fn manifest(api_url: &str) -> Value {
    let model = |model: &str, status: &str| {
        json!({
            "status": status, "model": model, "experts": [format!("{model}-tuned")],
            "description": "a model", "model_version": "1.2", "model_key": "hidden-key",
            "endpoint_id": "hidden-id", "url": format!("{api_url}/"),
        })
    };
    json!({
        "hidden-1": model("gpt-oss-120b", "Live"),
        "hidden-2": model("llama", "Stopped"),
        "hidden-3": model("closed", "Live"),
        "hidden-4": model("loading", "Starting"),
    })
}

fn endpoint(model: &str, settings: &Value, groups: &[&str]) -> Value {
    json!({
        "cluster": "metis", "framework": "api", "model": model, "adapter": "metis",
        "settings": settings, "access": { "groups": groups },
    })
}

fn cluster(name: &str, adapter: &str, settings: &Value) -> Value {
    json!({
        "name": name, "adapter": adapter, "frameworks": ["api"], "routes": ["chat/completions"],
        "settings": settings,
    })
}

fn other_endpoint(cluster: &str, model: &str, adapter: &str, settings: &Value) -> Value {
    json!({
        "cluster": cluster, "framework": "api", "model": model, "adapter": adapter,
        "settings": settings,
    })
}

/// A gateway with these clusters and endpoints.
fn serving(api_url: &str, clusters: &[Value], endpoints: &[Value]) -> Gateway {
    let mut gateway = Plan::in_front_of(api_url).models(["other"]).prepare();
    let file = gateway.directory().join("catalogue.yaml");
    let catalogue = json!({ "version": 1, "clusters": clusters, "endpoints": endpoints });
    std::fs::write(&file, catalogue.to_string()).unwrap();
    gateway.run(&["fixtures", "load", file.to_str().unwrap()]);
    gateway.serve();
    gateway
}

/// The same with Metis alone, whose manifest is at `page`.
fn with_metis(api_url: &str, page: &StatusPage) -> Gateway {
    let key = json!({ "api_key": { "env": "FAKE_BACKEND_KEY" } });
    let endpoints = [
        endpoint("gpt-oss-120b", &key, &[]),
        endpoint("llama", &key, &[]),
        endpoint("llama-tuned", &key, &[]),
        endpoint("loading", &key, &[]),
        endpoint("unlisted", &key, &[]),
        endpoint("closed", &key, &["insiders"]),
    ];
    serving(api_url, &[cluster("metis", "metis", &json!({ "status_url": page.url() }))], &endpoints)
}

#[tokio::test]
async fn live_models_answer_at_the_address_in_the_manifest() {
    let fake = Fake::start();
    let page = StatusPage::start(Some(manifest(&fake.api_url())));
    let gateway = with_metis(&fake.api_url(), &page);
    let caller = Caller::of(&gateway);

    for _ in 0..10 {
        caller.ask("chat/completions", &chat("gpt-oss-120b")).await.ok();
    }
    let received = fake.last_received();
    assert_eq!(received.headers["authorization"], format!("Bearer {BACKEND_KEY}"));
    let mut request = chat("gpt-oss-120b");
    request["stream"] = true.into();
    let streamed =
        caller.post("/resource_server/metis/api/v1/chat/completions", request.to_string()).await;
    assert_eq!(streamed.ok().events().last(), Some(&"[DONE]"));
    assert_eq!(page.asked(), 1, "the manifest is kept");
    let row = &gateway.wait_for_usage(11)[0];
    assert_eq!((row.cluster.as_str(), row.status), ("metis", 200));
}

#[tokio::test]
async fn other_models_say_that_they_are_not_live() {
    let fake = Fake::start();
    let page = StatusPage::start(Some(manifest(&fake.api_url())));
    let gateway = with_metis(&fake.api_url(), &page);
    let caller = Caller::of(&gateway);
    for (model, status) in
        [("llama", "Stopped"), ("loading", "Starting"), ("unlisted", "not listed")]
    {
        let answer = caller.ask("chat/completions", &chat(model)).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "model_not_live");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(model) && message.contains(status), "{message}");
    }
    assert_eq!(fake.counts().opened, 0);
}

#[tokio::test]
async fn the_manifest_is_shown_without_its_addresses_and_ids() {
    let fake = Fake::start();
    let page = StatusPage::start(Some(manifest(&fake.api_url())));
    let gateway = with_metis(&fake.api_url(), &page);
    let answer = Caller::of(&gateway).get("/resource_server/metis/jobs").await.ok();
    assert!(
        !answer.text().contains("hidden") && !answer.text().contains("http"),
        "{}",
        answer.text()
    );
    let job = |models: &str, status: &str, name: &str| {
        json!({
            "Models": models, "Framework": "api", "Cluster": "metis", "Model Status": status,
            "Description": format!("{name} - a model"), "Model Version": "1.2",
        })
    };
    assert_eq!(
        answer.json(),
        json!({
            "running": [job("gpt-oss-120b", "running", "gpt-oss-120b")],
            "queued": [job("loading", "starting", "loading")],
            "stopped": [job("llama,llama-tuned", "stopped", "llama")],
            "others": [], "private_batch_running": [], "private_batch_queued": [],
            "cluster_status": {
                "cluster": "metis", "total_models": 4, "live_models": 2, "stopped_models": 1,
            },
        })
    );
    let insider = gateway.create_key_with(&[
        "--name",
        "i",
        "--user",
        "i@example.org",
        "--groups",
        "insiders",
    ]);
    let insider = Caller::of(&gateway).with_key(&insider);
    let given_up = Instant::now() + Duration::from_secs(10);
    // A running gateway learns of a new key within a second or so.
    let seen = loop {
        let seen = insider.get("/resource_server/metis/jobs").await;
        if seen.status != 401 || Instant::now() > given_up {
            break seen.ok().json();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(seen["running"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn without_a_manifest_nothing_is_sent() {
    let fake = Fake::start();
    let page = StatusPage::start(None);
    let gateway = with_metis(&fake.api_url(), &page);
    let caller = Caller::of(&gateway);
    for _ in 0..3 {
        let answer = caller.ask("chat/completions", &chat("gpt-oss-120b")).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(!answer.text().contains("http"), "{}", answer.text());
        let jobs = caller.get("/resource_server/metis/jobs").await;
        assert_eq!((jobs.status, jobs.header("retry-after")), (503, Some("10")));
    }
    assert_eq!(page.asked(), 1, "a failure is kept, too");
    assert_eq!(fake.counts().opened, 0);
}

#[tokio::test]
async fn clusters_without_a_scheduler_tell_what_they_serve() {
    let fake = Fake::start();
    let told = StatusPage::start(Some(json!({
        "running": [
            { "Models": "m", "Framework": "api", "Cluster": "told", "Model Status": "starting" },
            { "Models": "nobody's", "Framework": "api", "Cluster": "told" },
        ],
        "cluster_status": { "free_nodes": 2 },
    })));
    let direct = json!({ "api_url": fake.api_url() });
    let globus = json!({
        "api_port": 8000,
        "endpoint_uuid": "00000000-0000-0000-0000-000000000001",
        "function_uuid": "00000000-0000-0000-0000-000000000002",
    });
    let mut closed = cluster("closed", "echo", &json!({}));
    closed["access"] = json!({ "groups": ["insiders"] });
    let gateway = serving(
        &fake.api_url(),
        &[
            cluster("plain", "direct-api", &json!({})),
            cluster("told", "direct-api", &json!({ "status_url": told.url() })),
            cluster("echo", "echo", &json!({})),
            cluster("silent", "globus-compute", &json!({})),
            cluster("blind", "metis", &json!({})),
            closed,
        ],
        &[
            other_endpoint("plain", "b", "direct-api", &direct),
            other_endpoint("plain", "a", "direct-api", &direct),
            other_endpoint("told", "m", "direct-api", &direct),
            other_endpoint("echo", "e", "echo", &json!({})),
            other_endpoint("silent", "g", "globus-compute", &globus),
        ],
    );
    let caller = Caller::of(&gateway);
    let jobs = async |cluster: &str| {
        caller.get(&format!("/resource_server/{cluster}/jobs")).await.ok().json()
    };
    let running = |cluster: &str, model: &str| {
        json!({
            "Models": model, "Framework": "api", "Cluster": cluster, "Model Status": "running",
        })
    };
    assert_eq!(
        jobs("plain").await["running"],
        json!([running("plain", "a"), running("plain", "b")])
    );
    assert_eq!(jobs("echo").await["running"], json!([running("echo", "e")]));
    let seen = jobs("told").await;
    assert_eq!(seen["running"][0]["Model Status"], "starting");
    assert_eq!(
        (&seen["running"][1], &seen["cluster_status"]["free_nodes"]),
        (&Value::Null, &json!(2))
    );

    for (cluster, status, code) in [
        ("nowhere", 404, "cluster_not_found"),
        ("closed", 403, "permission_denied"),
        ("silent", 404, "jobs_not_offered"),
        ("blind", 503, "cluster_misconfigured"),
    ] {
        let answer = caller.get(&format!("/resource_server/{cluster}/jobs")).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &json!(code)));
    }
    let anonymous = caller.without_key().get("/resource_server/plain/jobs").await;
    assert_eq!(anonymous.status, 401);

    gateway.run(&["maintenance", "on", "plain", "--notice", "until noon"]);
    let stopped = |model: &str| json!({ "Models": model, "Framework": "api", "Cluster": "plain" });
    let expected = json!([stopped("a"), stopped("b")]);
    let given_up = Instant::now() + Duration::from_secs(10);
    while jobs("plain").await["stopped"] != expected {
        assert!(Instant::now() < given_up, "{}", jobs("plain").await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(jobs("plain").await["running"], json!([]));
}
