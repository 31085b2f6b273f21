//! Batches from submission to result, through Globus Compute, by the real program.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::{Answer, Caller},
    gateway::Plan,
    globus::{Endpoint, FakeGlobus, Function, Outcome, Service, Trouble},
    postgres::Postgres,
    rabbitmq::RabbitMq,
};
use uuid::Uuid;

const CLUSTER: &str = "sophia";
const MODEL: &str = "meta/llama";
const SUBMIT: &str = "/resource_server/sophia/vllm/v1/batches";
const BATCHES: &str = "/resource_server/v1/batches";

/// A Globus whose batches wait until the test brings their endpoint online.
struct Scene {
    globus: FakeGlobus,
    endpoint: Uuid,
    function: Uuid,
    /// Arguments of calls that have ended.
    ended: Arc<Mutex<Vec<Value>>>,
}

impl Scene {
    fn new() -> Self {
        Self::with(FakeGlobus::start())
    }

    fn with(globus: FakeGlobus) -> Self {
        let (endpoint, function) = (Uuid::new_v4(), Uuid::new_v4());
        globus.endpoint(endpoint, Endpoint::OFFLINE);
        // As hard as it gets: what has been read is forgotten.
        globus.read_once(true);
        let ended: Arc<Mutex<Vec<Value>>> = Arc::default();
        let noted = Arc::clone(&ended);
        globus.function(function, Function::new(move |argument| work_off(argument, &noted)));
        Self { globus, endpoint, function, ended }
    }

    /// Lets every batch run.
    fn bring_online(&self) {
        self.globus.endpoint(self.endpoint, Endpoint::ONLINE);
    }

    fn plan(&self) -> Plan {
        self.plan_with("results: poll")
    }

    fn plan_with(&self, results: &str) -> Plan {
        let entry =
            |model| FakeGlobus::endpoint_entry(CLUSTER, model, self.endpoint, self.function);
        let with_batches = |model| {
            let mut entry = entry(model);
            entry["fields"]["config"]["batch_endpoint_uuid"] = json!(self.endpoint);
            entry["fields"]["config"]["batch_function_uuid"] = json!(self.function);
            entry
        };
        let mut restricted = with_batches("restricted");
        restricted["fields"]["allowed_globus_groups"] = json!(["insiders"]);
        let cluster = FakeGlobus::cluster_entry(CLUSTER, &json!({}));
        Plan::in_front_of("http://127.0.0.1:9/v1")
            .entries([cluster, with_batches(MODEL), entry("no-batches"), restricted])
            .settings(&self.globus.config_with(&[], &[results]))
            .set("batches.poll_interval", "100ms")
    }

    /// Waits until the service has been asked after batches this many more times.
    async fn asked_again(&self, times: usize) {
        let asked = || self.globus.count(Service::Compute, "POST /v2/batch_status");
        let enough = asked() + times;
        let given_up = Instant::now() + Duration::from_secs(20);
        while asked() < enough {
            assert!(Instant::now() < given_up, "nobody asks after batches");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// What the function on the cluster does: it fails on `/bad`, and answers as FIRST's else.
fn work_off(argument: &Value, ended: &Mutex<Vec<Value>>) -> Outcome {
    ended.lock().unwrap().push(argument.clone());
    if argument["model_params"]["input_file"] == "/bad" {
        return Outcome::Raises("FileNotFoundError: Input file not found: /bad".to_owned());
    }
    let summary = json!({
        "results_file": format!("/out/{}.jsonl", argument["batch_id"].as_str().unwrap()),
        "metrics": {"response_time": 1.5, "total_tokens": 420, "num_responses": 10},
    });
    Outcome::Returns(serde_json::to_string_pretty(&summary).unwrap().into())
}

async fn submit(caller: &Caller, input_file: &str) -> Answer {
    let body = json!({"model": MODEL, "input_file": input_file});
    caller.post(SUBMIT, body.to_string()).await
}

/// Submits a batch that is taken, and returns its id.
async fn submitted(caller: &Caller, input_file: &str) -> String {
    submit(caller, input_file).await.ok().json()["batch_id"].as_str().unwrap().to_owned()
}

async fn status(caller: &Caller, id: &str) -> String {
    let answer = caller.get(&format!("{BATCHES}/{id}")).await.ok();
    answer.json().as_str().expect("a status is a JSON string").to_owned()
}

async fn becomes(caller: &Caller, id: &str, wanted: &str) {
    let given_up = Instant::now() + Duration::from_secs(20);
    loop {
        let status = status(caller, id).await;
        if status == wanted {
            return;
        }
        assert!(Instant::now() < given_up, "{id} is {status}, not {wanted}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn listed(caller: &Caller, query: &str) -> Vec<Value> {
    let list = caller.get(&format!("{BATCHES}{query}")).await.ok().json();
    list.as_array().expect("a list is a JSON array").clone()
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str) -> Value {
    let body = answer.json();
    assert_eq!((answer.status, body["error"]["code"].as_str()), (status, Some(code)), "{body}");
    body["error"].clone()
}

#[tokio::test]
async fn a_batch_runs_from_submission_to_its_result() {
    let scene = Scene::new();
    let gateway = scene.plan().start();
    let caller = Caller::of(&gateway);
    let body =
        json!({"model": MODEL, "input_file": "/data/in é.jsonl", "output_folder_path": "/o"});
    let taken = caller.post(SUBMIT, body.to_string()).await.ok().json();
    let id = taken["batch_id"].as_str().unwrap();
    let task = scene.globus.submitted().pop().expect("a task was submitted");
    assert_eq!(
        taken,
        json!({"batch_id": id, "input_file": "/data/in é.jsonl", "output_folder_path": "/o",
            "task_ids": task.id, "status": "pending"})
    );
    assert_eq!(
        task.argument,
        json!({"model_params": {"input_file": "/data/in é.jsonl", "model": MODEL,
            "output_folder_path": "/o", "api_port": 8000}, "batch_id": id, "username": "researcher@example.org"})
    );
    assert_eq!(status(&caller, id).await, "pending");
    let early = caller.get(&format!("{BATCHES}/{id}/result")).await;
    assert_refused(&early, 400, "batch_ongoing");
    assert_refused(&submit(&caller, "/data/in é.jsonl").await, 400, "batch_ongoing");
    let bad = submitted(&caller, "/bad").await;

    scene.bring_online();
    becomes(&caller, id, "completed").await;
    let result = caller.get(&format!("{BATCHES}/{id}/result")).await.ok();
    assert_eq!(result.header("content-type"), Some("application/json"));
    assert_eq!(result.json()["results_file"], format!("/out/{id}.jsonl"));
    assert_eq!(result.json()["metrics"]["total_tokens"], 420);
    becomes(&caller, &bad, "failed").await;
    let error =
        assert_refused(&caller.get(&format!("{BATCHES}/{bad}/result")).await, 400, "batch_failed");
    assert!(error["message"].as_str().unwrap().contains("Input file not found: /bad"), "{error}");

    let all = listed(&caller, "").await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1]["id"], all[1]["batch_id"]);
    assert_eq!(all[1]["status"], "completed");
    assert!(all[1]["completed_at"].is_string() && all[1]["failed_at"].is_null(), "{all:?}");
    assert!(all[0]["failed_at"].is_string() && all[0]["in_progress_at"].is_string(), "{all:?}");
    assert_eq!(listed(&caller, "?status=completed").await, all[1..]);
    assert_eq!(listed(&caller, "?status=running").await, [Value::Null; 0]);
    let unknown = caller.get(&format!("{BATCHES}?status=done")).await;
    assert_refused(&unknown, 400, "invalid_status");
    submitted(&caller, "/data/in é.jsonl").await;
}

#[tokio::test]
async fn nobody_else_sees_a_batch() {
    let scene = Scene::new();
    let mut gateway = scene.plan().prepare();
    let key = gateway.create_key("somebody@example.org");
    gateway.serve();
    let owner = Caller::of(&gateway);
    let id = submitted(&owner, "/in").await;
    let other = owner.with_key(&key);
    for path in [format!("{BATCHES}/{id}"), format!("{BATCHES}/{id}/result")] {
        assert_refused(&other.get(&path).await, 404, "batch_not_found");
        assert_eq!(owner.without_key().get(&path).await.status, 401);
    }
    assert_refused(&owner.get(&format!("{BATCHES}/no-uuid")).await, 404, "batch_not_found");
    assert_eq!(listed(&other, "").await.len(), 0);
    submitted(&other, "/in").await;
    assert_eq!(listed(&other, "").await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_run_is_refused_before_anything_is_kept() {
    let scene = Scene::new();
    let gateway = scene.plan().set("limits.max_active_batches_per_user", "2").start();
    let caller = Caller::of(&gateway);
    let ask = async |path: &str, body: Value| caller.post(path, body.to_string()).await;
    let body = |model: &str| json!({"model": model, "input_file": "/in"});
    let nowhere = "/resource_server/nowhere/vllm/v1/batches";
    assert_refused(&ask(nowhere, body(MODEL)).await, 404, "cluster_not_found");
    assert_refused(&ask(SUBMIT, body("nothing")).await, 404, "model_not_found");
    assert_refused(&ask(SUBMIT, body("restricted")).await, 403, "permission_denied");
    assert_refused(&ask(SUBMIT, body("no-batches")).await, 400, "batch_unavailable");
    let error = assert_refused(
        &ask(SUBMIT, json!({"model": MODEL, "input_file": "/a/../b"})).await,
        400,
        "invalid_batch",
    );
    assert_eq!(error["param"], "input_file");
    assert_eq!(caller.post(SUBMIT, vec![b' '; 100_000]).await.status, 413);
    assert_eq!(caller.get(SUBMIT).await.status, 405);
    assert_eq!(caller.post(BATCHES, "{}").await.status, 405);
    gateway.run(&["maintenance", "on", CLUSTER, "--notice", "until noon"]);
    let given_up = Instant::now() + Duration::from_secs(10);
    while caller.post(SUBMIT, body("no-batches").to_string()).await.status != 503 {
        assert!(Instant::now() < given_up, "the maintenance is not noticed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(listed(&caller, "").await.len(), 0);
    assert!(scene.globus.submitted().is_empty());
    let known = "model = 'no-batches' AND status = 400 AND error LIKE '%takes no batches%'";
    let rows = format!("SELECT count(*) FROM access WHERE {known}");
    while gateway.count(&rows) == 0 {
        assert!(Instant::now() < given_up, "each request leaves its row");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn the_quota_holds_however_many_come_at_once() {
    let scene = Scene::new();
    let gateway = scene.plan().set("limits.max_active_batches_per_user", "3").start();
    let caller = Caller::of(&gateway);
    let attempts: Vec<_> = (0..12)
        .map(|n| {
            let caller = caller.clone();
            tokio::spawn(async move { submit(&caller, &format!("/{n}")).await })
        })
        .collect();
    let mut taken = 0;
    for attempt in attempts {
        let answer = attempt.await.unwrap();
        if answer.status == 200 {
            taken += 1;
        } else {
            assert_refused(&answer, 429, "quota_exceeded");
            assert!(answer.header("retry-after").is_some());
        }
    }
    assert_eq!(taken, 3);
    assert_eq!(scene.globus.submitted().len(), 3, "nothing else was submitted");
    scene.bring_online();
    for batch in listed(&caller, "").await {
        becomes(&caller, batch["id"].as_str().unwrap(), "completed").await;
    }
    submitted(&caller, "/again").await;
}

#[tokio::test]
async fn a_batch_that_the_service_does_not_take_counts_no_more() {
    let scene = Scene::new();
    let gateway = scene.plan().set("limits.max_active_batches_per_user", "1").start();
    let caller = Caller::of(&gateway);
    scene.globus.trouble(Service::Compute, Some(Trouble::Status(503)));
    let refused = submit(&caller, "/in").await;
    assert_refused(&refused, 503, "compute_unavailable");
    scene.globus.trouble(Service::Compute, None);
    let failed = listed(&caller, "?status=failed").await;
    assert!(failed[0]["error"].as_str().unwrap().contains("look into its output folder"));
    submitted(&caller, "/in").await;
}

#[tokio::test]
async fn kill_9_and_a_second_instance_lose_and_double_nothing() {
    let scene = Scene::new();
    let postgres = Postgres::start_new();
    let database = postgres.create_database("batches");
    let mut first = scene.plan().database(&database).start();
    let second = scene.plan().database(&database).start();
    let caller = Caller::of(&first);
    let there = Caller::of(&second).with_key(first.key());
    let mut ids = Vec::new();
    for n in 0..6 {
        let caller = if n % 2 == 0 { &caller } else { &there };
        ids.push(submitted(caller, &format!("/{n}")).await);
    }
    scene.asked_again(3).await;
    first.kill();
    scene.bring_online();
    for id in &ids {
        becomes(&there, id, "completed").await;
        let result = there.get(&format!("{BATCHES}/{id}/result")).await.ok().json();
        assert_eq!(result["results_file"], format!("/out/{id}.jsonl"));
    }
    // The service forgets a result with its first reading: a second one would have failed a batch.
    assert_eq!(scene.globus.results_kept(), 0);
    let mut run: Vec<_> = scene.ended.lock().unwrap().iter().map(batch_id).collect();
    run.sort_unstable();
    assert_eq!(run, ids, "each ran once");

    // The killed one comes back, and takes part again.
    scene.globus.endpoint(scene.endpoint, Endpoint::OFFLINE);
    first.serve();
    let last = submitted(&caller, "/last").await;
    drop(second);
    scene.bring_online();
    becomes(&caller, &last, "completed").await;
}

fn batch_id(argument: &Value) -> String {
    argument["batch_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn batches_are_asked_after_where_results_come_from_a_broker() {
    let broker = RabbitMq::start_new();
    let globus = FakeGlobus::start_with_broker(&broker.service_url(), broker.client_urls());
    let scene = Scene::with(globus);
    let mut gateway = scene.plan_with("results: amqp").start();
    let caller = Caller::of(&gateway);
    let before = submitted(&caller, "/before").await;
    gateway.kill();
    gateway.serve();
    let after = submitted(&caller, "/after").await;
    scene.bring_online();
    for id in [&before, &after] {
        becomes(&caller, id, "completed").await;
        let result = caller.get(&format!("{BATCHES}/{id}/result")).await.ok().json();
        assert_eq!(result["results_file"], format!("/out/{id}.jsonl"));
    }
    assert_eq!(scene.globus.results_kept(), 0);
}

#[tokio::test]
async fn a_submission_is_brought_to_its_end_though_its_caller_and_the_gateway_leave() {
    let scene = Scene::new();
    let mut gateway = scene.plan().start();
    let caller = Caller::of(&gateway);
    scene.globus.delay(Service::Compute, Duration::from_secs(3));
    let left = tokio::spawn({
        let caller = caller.clone();
        async move { caller.open(SUBMIT, &json!({"model": MODEL, "input_file": "/in"})).await.is_ok() }
    });
    let given_up = Instant::now() + Duration::from_secs(10);
    while gateway.count("SELECT count(*) FROM batches WHERE task IS NULL") == 0 {
        assert!(Instant::now() < given_up, "the row comes first");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    left.abort();
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());
    assert_eq!(gateway.count("SELECT count(*) FROM batches WHERE task IS NOT NULL"), 1);
}

#[tokio::test]
async fn batches_outlast_a_restart_and_an_outage_of_globus() {
    let scene = Scene::new();
    let mut gateway = scene.plan().start();
    let caller = Caller::of(&gateway);
    let id = submitted(&caller, "/in").await;
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());
    scene.globus.trouble(Service::Compute, Some(Trouble::Status(502)));
    scene.bring_online();
    gateway.serve();
    scene.asked_again(2).await;
    assert_eq!(status(&caller, &id).await, "pending");
    scene.globus.trouble(Service::Compute, None);
    becomes(&caller, &id, "completed").await;
}

#[tokio::test]
async fn a_batch_whose_process_died_while_submitting_is_given_up_with_a_reason() {
    let scene = Scene::new();
    let mut gateway = scene.plan().set("limits.max_active_batches_per_user", "1").start();
    let caller = Caller::of(&gateway);
    // The service takes the task, but its answer does not come before the end.
    scene.globus.delay(Service::Compute, Duration::from_secs(20));
    let cut = tokio::spawn({
        let caller = caller.clone();
        async move { caller.open(SUBMIT, &json!({"model": MODEL, "input_file": "/in"})).await.is_ok() }
    });
    let open = "SELECT count(*) FROM batches WHERE task IS NULL AND finished_at IS NULL";
    let given_up = Instant::now() + Duration::from_secs(10);
    while gateway.count(open) == 0 {
        assert!(Instant::now() < given_up, "the row comes first");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    gateway.kill();
    assert!(!cut.await.unwrap(), "the caller has no answer");
    scene.globus.delay(Service::Compute, Duration::ZERO);
    gateway.serve();
    assert_refused(&submit(&caller, "/other").await, 429, "quota_exceeded");
    // Five minutes later.
    let file = gateway.database().strip_prefix("sqlite:").unwrap();
    let database = rusqlite::Connection::open(file).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    database.execute("UPDATE batches SET submit_by = 1", []).unwrap();
    let failed = loop {
        if let Some(failed) = listed(&caller, "?status=failed").await.pop() {
            break failed;
        }
        assert!(Instant::now() < given_up, "it is not given up");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(failed["error"].as_str().unwrap().contains("before submitting it again"), "{failed}");
    submitted(&caller, "/in").await;
}
