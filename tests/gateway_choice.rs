//! Which endpoint answers for a model that stands on several clusters, and what of it may be seen.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use serde_json::{Value, json};
use support::{client::Caller, fake::Fake, gateway::Plan, requests::chat};

/// A model on three clusters, in the order of their names: one that is closed to the caller, one
/// that figw cannot send to, and one that works.
fn catalogue(api_url: &str) -> String {
    let direct = |cluster: &str, groups: Value| {
        json!({
            "slug": format!("{cluster}-m"), "cluster": cluster, "framework": "api",
            "model": "m", "adapter": "direct-api", "settings": { "api_url": api_url },
            "access": { "groups": groups },
        })
    };
    let cluster = |name: &str, adapter: &str| {
        json!({
            "name": name, "adapter": adapter, "frameworks": ["api"],
            "routes": ["chat/completions"],
        })
    };
    let unreachable = json!({
        "slug": "b-globus-m", "cluster": "b-globus", "framework": "api", "model": "m",
        "adapter": "globus-compute",
        "settings": {
            "api_port": 8000,
            "endpoint_uuid": "00000000-0000-0000-0000-000000000001",
            "function_uuid": "00000000-0000-0000-0000-000000000002",
        },
    });
    json!({
        "version": 1,
        "clusters": [
            cluster("a-secret", "direct-api"),
            cluster("b-globus", "globus-compute"),
            cluster("c-open", "direct-api"),
        ],
        "endpoints": [
            direct("a-secret", json!(["insiders"])),
            unreachable,
            direct("c-open", json!([])),
        ],
    })
    .to_string()
}

#[tokio::test]
async fn the_first_target_that_the_caller_may_use_and_that_can_be_sent_to_answers() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["other"]).prepare();
    let file = gateway.directory().join("catalogue.yaml");
    std::fs::write(&file, catalogue(&fake.api_url())).unwrap();
    gateway.run(&["fixtures", "load", file.to_str().unwrap()]);
    gateway.serve();
    let caller = Caller::of(&gateway);

    caller.ask("chat/completions", &chat("m")).await.ok();
    let rows = gateway.wait_for_usage(1);
    assert_eq!(rows[0].cluster, "c-open");

    for path in ["/v1/models", "/v1/models/m", "/resource_server/v1/models/m"] {
        let text = caller.get(path).await.ok().text().to_owned();
        assert!(!text.contains("a-secret"), "a closed cluster is nobody's business: {text}");
    }
    let listed = caller.get("/resource_server/list-endpoints").await.ok().text().to_owned();
    assert!(!listed.contains("a-secret") && listed.contains("c-open"), "{listed}");
}
