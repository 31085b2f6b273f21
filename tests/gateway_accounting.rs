//! What is written down of each request, who may ask for what, and how soon changes are in effect.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use support::{
    client::Caller,
    fake::{Fake, Fault},
    gateway::{CLUSTER, FRAMEWORK, Gateway, Plan},
    postgres::Postgres,
    requests::{ANSWER_TOKENS, PROMPT_TOKENS, REQUESTS, chat, request},
};

/// Within this time a change by any command must be in effect everywhere.
const PROMISE: Duration = Duration::from_secs(5);

/// The same story for both databases.
async fn every_request_leaves_one_row(plan: Plan) {
    let fake = Fake::start();
    let gateway = plan.back_end(fake.api_url()).models(["fake-model"]).start();
    let caller = Caller::of(&gateway);
    let pause = Duration::from_millis(20);
    fake.always(Some(Fault::SlowChunks(pause)));
    let mut asked = Vec::new();
    for (route, streamed) in REQUESTS {
        let body = request(route, "fake-model", streamed);
        let answer = caller.ask(route, &body).await.ok();
        asked.push((route, streamed, body.to_string().len() as u64, answer));
    }
    let rows = gateway.wait_for_usage(REQUESTS.len());
    for (row, (route, streamed, length, answer)) in rows.iter().zip(&asked) {
        assert_eq!(row.request_id, answer.header("x-request-id").unwrap());
        assert_eq!((row.route.as_str(), row.streamed), (*route, *streamed));
        assert_eq!(row.username, "researcher@example.org");
        assert_eq!((row.cluster.as_str(), row.framework.as_str()), (CLUSTER, FRAMEWORK));
        assert_eq!(row.endpoint, format!("{CLUSTER}-{FRAMEWORK}-fake-model"));
        assert_eq!(row.model, "fake-model");
        assert_eq!((row.status, row.backend_status), (200, Some(200)));
        let answered = if *route == "embeddings" { 0 } else { ANSWER_TOKENS };
        let tokens = (row.prompt_tokens, row.completion_tokens, row.tokens_estimated);
        assert_eq!(tokens, (PROMPT_TOKENS, answered, false), "{row:?}");
        assert_eq!((row.request_bytes, row.response_bytes), (*length, answer.body.len() as u64));
        assert_eq!(row.error, None);
        assert_times(row, pause, answer.took);
    }
    assert!(gateway.access().is_empty(), "a request is written down once");
}

/// The first byte came early in a stream, the end after all its pauses, and neither later than the
/// caller saw it.
fn assert_times(row: &support::rows::Usage, pause: Duration, took: Duration) {
    let first_byte = Duration::from_micros(row.first_byte_us.expect("a first byte"));
    let duration = Duration::from_micros(row.duration_us);
    assert!(first_byte <= duration && duration <= took, "{row:?} took {took:?}");
    let pauses = if row.streamed { 5 } else { 2 };
    assert!(duration >= pause * pauses, "{row:?}");
    if row.streamed {
        assert!(duration >= first_byte + pause * 3, "{row:?}");
    }
}

#[tokio::test]
async fn every_request_leaves_one_row_with_its_tokens_and_times_in_sqlite() {
    every_request_leaves_one_row(Plan::in_front_of("")).await;
}

#[tokio::test]
async fn every_request_leaves_one_row_with_its_tokens_and_times_in_postgresql() {
    let postgres = Postgres::start_new();
    let url = postgres.create_database("figw");
    every_request_leaves_one_row(Plan::in_front_of("").database(url)).await;
}

#[tokio::test]
async fn what_is_refused_or_no_inference_is_an_access_row_and_strangers_leave_none() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model"])
        .restricted_model("restricted", "some-group")
        .set("server.max_body_bytes", "64KiB")
        .start();
    let caller = Caller::of(&gateway);
    let large = "x".repeat(70_000);
    let asked = [
        (caller.get("/v1/models").await, 200, None),
        (caller.get("/resource_server/whoami").await, 200, None),
        (caller.get("/resource_server/list-endpoints").await, 200, None),
        (caller.get("/v1/models/nothing").await, 404, None),
        (caller.ask("chat/completions", &chat("nothing")).await, 404, Some("nothing")),
        (caller.ask("chat/completions", &chat("restricted")).await, 403, Some("restricted")),
        (caller.post("/v1/messages", "{}").await, 400, None),
        (caller.post("/v1/embeddings", large).await, 413, None),
    ];
    for stranger in [caller.without_key(), caller.with_key("figw-unknown")] {
        for path in ["/v1/models", "/resource_server/whoami"] {
            assert_eq!(stranger.get(path).await.status, 401);
        }
        let answer = stranger.ask("chat/completions", &chat("fake-model")).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
        assert_eq!(stranger.get("/no/such/path").await.status, 404);
    }
    let rows = gateway.wait_for_access(asked.len());
    for (row, (answer, status, model)) in rows.iter().zip(&asked) {
        assert_eq!(answer.status, *status, "{}", answer.text());
        assert_eq!(row.request_id, answer.header("x-request-id").unwrap());
        assert_eq!((row.status, row.model.as_deref()), (*status, *model), "{row:?}");
        assert_eq!(row.error.is_some(), *status != 200, "{row:?}");
        assert_eq!(row.username, "researcher@example.org");
    }
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(gateway.access().len(), asked.len(), "strangers fill no table");
    assert!(gateway.usage().is_empty());
    assert_eq!(fake.counts().opened, 0);
}

#[tokio::test]
async fn a_key_s_last_use_is_recorded() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let unused = "SELECT count(*) FROM api_keys WHERE last_used_at IS NULL";
    assert_eq!(gateway.count(unused), 1);
    Caller::of(&gateway).ask("chat/completions", &chat("fake-model")).await.ok();
    gateway.wait_for_usage(1);
    assert_eq!(gateway.count(unused), 0);
    assert!(!gateway.run(&["key", "list"]).contains("never  never"));
}

/// Asks until the status is as wanted, and fails when that takes longer than promised.
async fn becomes(caller: &Caller, model: &str, status: u16) -> String {
    let begun = Instant::now();
    loop {
        let answer = caller.ask("chat/completions", &chat(model)).await;
        if answer.status == status {
            return answer.text().to_owned();
        }
        let so_far = begun.elapsed();
        assert!(so_far < PROMISE, "after {so_far:?} still {}: {}", answer.status, answer.text());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_change_by_command_is_in_effect_on_two_instances_within_five_seconds() {
    let postgres = Postgres::start_new();
    let url = postgres.create_database("figw");
    let fake = Fake::start();
    let plan = || Plan::in_front_of(fake.api_url()).database(url.clone()).models(["fake-model"]);
    let gateways: [Gateway; 2] = [plan().start(), plan().start()];
    let callers = gateways.each_ref().map(Caller::of);
    let key = gateways[0].create_key_with(&["--name", "leaver", "--user", "leaver@example.org"]);
    let leavers = callers.each_ref().map(|caller| caller.with_key(&key));
    for leaver in &leavers {
        becomes(leaver, "fake-model", 200).await;
    }
    gateways[0].run(&["key", "revoke", "leaver"]);
    for leaver in &leavers {
        becomes(leaver, "fake-model", 401).await;
    }
    gateways[1].run(&["maintenance", "on", CLUSTER, "--notice", "Back on Tuesday."]);
    for caller in &callers {
        let text = becomes(caller, "fake-model", 503).await;
        assert!(text.contains("Back on Tuesday."), "{text}");
    }
    gateways[0].run(&["maintenance", "off", CLUSTER]);
    for caller in &callers {
        becomes(caller, "fake-model", 200).await;
        becomes(caller, "new-model", 404).await;
    }
    gateways[1].run(&[
        "endpoint",
        "add",
        "--cluster",
        CLUSTER,
        "--framework",
        FRAMEWORK,
        "--model",
        "new-model",
        "--adapter",
        "direct-api",
        "--api-url",
        &fake.api_url(),
    ]);
    for caller in &callers {
        becomes(caller, "new-model", 200).await;
    }
    gateways[0].run(&["--yes", "endpoint", "remove", &format!("{CLUSTER}-{FRAMEWORK}-new-model")]);
    for caller in &callers {
        becomes(caller, "new-model", 404).await;
    }
}

#[tokio::test]
async fn a_cluster_in_maintenance_says_when_to_come_back() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).prepare();
    gateway.run(&["maintenance", "on", CLUSTER, "--notice", "New cables."]);
    gateway.serve();
    let answer =
        Caller::of(&gateway).ask("messages", &request("messages", "fake-model", false)).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
    assert!(answer.text().contains("New cables."));
    assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    let (_, status) = gateway.get("/resource_server/status").unwrap();
    assert!(status.contains("maintenance") && status.contains("New cables."), "{status}");
}

#[tokio::test]
async fn a_key_expires_and_is_confined_to_its_models() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model", "other"]).prepare();
    let user = ["--user", "a@example.org", "--name"];
    let confined = gateway.create_key_with(&[&user[..], &["b", "--models", "other"]].concat());
    let short = gateway.create_key_with(&[&user[..], &["c", "--expires", "4s"]].concat());
    gateway.serve();
    let caller = Caller::of(&gateway);
    let confined = caller.with_key(&confined);
    assert_eq!(confined.ask("chat/completions", &chat("other")).await.status, 200);
    let answer = confined.ask("chat/completions", &chat("fake-model")).await;
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("API key"), "{}", answer.text());
    let listed = confined.get("/v1/models").await.ok().json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "{listed}");
    let text = becomes(&caller.with_key(&short), "other", 401).await;
    assert!(text.contains("expired"), "{text}");
}

#[tokio::test]
async fn groups_and_domains_decide_who_uses_and_who_sees_a_model() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(["open"])
        .restricted_model("for-the-group", "insiders")
        .model_on("far", "for-the-domain")
        .prepare();
    gateway.run(&["cluster", "set", "far", "--domains", "anl.gov"]);
    let key = |user: &str, groups: &str| {
        gateway.create_key_with(&["--name", user, "--user", user, "--groups", groups])
    };
    let keys =
        [key("a@anl.gov", "insiders"), key("b@ANL.GOV", "others"), key("c@x.gov", "insiders")];
    gateway.serve();
    let caller = Caller::of(&gateway);
    let allowed = [
        vec!["for-the-domain", "for-the-group", "open"],
        vec!["for-the-domain", "open"],
        vec!["for-the-group", "open"],
    ];
    for (key, allowed) in keys.iter().zip(allowed) {
        let caller = caller.with_key(key);
        let listed = caller.get("/v1/models").await.ok().json();
        let listed: Vec<_> =
            listed["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
        assert_eq!(listed, allowed);
        for model in ["open", "for-the-group", "for-the-domain"] {
            let status = caller.ask("chat/completions", &chat(model)).await.status;
            assert_eq!(status, if allowed.contains(&model) { 200 } else { 403 }, "{model}");
        }
    }
}
