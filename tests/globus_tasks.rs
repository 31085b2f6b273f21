//! Tasks that are submitted now and asked for later.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{
    client::{Answer, Caller},
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Outcome, Service},
};
use uuid::Uuid;

const ENDPOINT: Uuid = Uuid::from_u128(1);
const FUNCTION: Uuid = Uuid::from_u128(2);
const PROCESS: &str = "/resource_server/sophia/sam3service/process";
const TASKS: &str = "/resource_server/sophia/sam3service/tasks";

fn request() -> Value {
    json!({
        "inference_type": "single-image", "data_uri": "file:///x.png",
        "single_image_prompt": "cats",
    })
}

/// A gateway before a Globus with FIRST's SAM3 service, which forgets results once they are read.
fn service(globus: &FakeGlobus) -> Plan {
    globus.endpoint(ENDPOINT, Endpoint::ONLINE);
    globus.read_once(true);
    let mut cluster = FakeGlobus::cluster_entry("sophia", &json!({}));
    cluster["fields"]["frameworks"] = json!(["vllm", "sam3service"]);
    let mut endpoint = FakeGlobus::endpoint_entry("sophia", "sam3", ENDPOINT, FUNCTION);
    endpoint["fields"]["framework"] = "sam3service".into();
    Plan::in_front_of("http://127.0.0.1:9/v1")
        .entries([cluster, endpoint])
        .settings(&globus.config_with(&[], &["results: poll"]))
}

async fn submit(caller: &Caller, path: &str) -> String {
    let answer = caller.post(path, request().to_string()).await.ok().json();
    answer["task_id"].as_str().unwrap().to_owned()
}

/// Asks as told until the task is at its end.
async fn result(caller: &Caller, id: &str) -> Answer {
    let given_up = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = caller.get(&format!("{TASKS}/{id}")).await;
        if answer.status != 202 {
            return answer;
        }
        assert_eq!(answer.header("retry-after"), Some("2"));
        let pending = json!({ "status": "task_accepted_and_pending", "task_id": id });
        assert_eq!(answer.json(), pending);
        assert!(Instant::now() < given_up, "the task does not end");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_result_is_read_once_and_had_as_often_as_wanted() {
    let globus = FakeGlobus::start();
    let masks = json!({ "masks": [1, 2], "label": "Katze \u{1f408}" });
    let returned = masks.clone();
    let function = Function::new(move |_| Outcome::Returns(returned.to_string().into()));
    globus.function(FUNCTION, function.taking(Duration::from_secs(1)).pickled());
    let mut gateway = service(&globus).start();
    let caller = Caller::of(&gateway);

    let ids = [submit(&caller, PROCESS).await, submit(&caller, TASKS).await];
    for id in &ids {
        let expected = json!({ "result": masks, "task_id": id });
        assert_eq!(result(&caller, id).await.ok().json(), expected);
        assert_eq!(caller.get(&format!("{TASKS}/{id}")).await.ok().json(), expected);
    }
    assert!(globus.submitted().iter().all(|task| task.argument == request()));
    assert_eq!(globus.results_kept(), 0);

    gateway.kill();
    gateway.serve();
    let kept = Caller::of(&gateway).get(&format!("{TASKS}/{}", ids[0])).await;
    assert_eq!(kept.ok().json()["result"], masks, "also after a crash");
}

#[tokio::test]
async fn a_task_is_its_owners_business_alone() {
    let globus = FakeGlobus::start();
    globus.function(FUNCTION, Function::new(|_| Outcome::Never));
    let mut gateway = service(&globus).prepare();
    let stranger = gateway.create_key("stranger@example.org");
    gateway.serve();
    let caller = Caller::of(&gateway);
    let id = submit(&caller, PROCESS).await;
    assert_eq!(caller.get(&format!("{TASKS}/{id}")).await.status, 202);
    for (who, path, status) in [
        (caller.with_key(&stranger), format!("{TASKS}/{id}"), 404),
        (caller.without_key(), format!("{TASKS}/{id}"), 401),
        (caller.clone(), format!("{TASKS}/{}", Uuid::new_v4()), 404),
        (caller.clone(), format!("{TASKS}/nonsense"), 404),
        (caller.clone(), format!("/resource_server/sophia/vllm/tasks/{id}"), 404),
    ] {
        assert_eq!(who.get(&path).await.status, status, "{path}");
    }
}

/// Two instances, two callers' worth of polling: the service is asked by one at a time.
#[tokio::test]
async fn of_two_instances_only_one_reads_a_result() {
    let globus = FakeGlobus::start();
    globus.function(
        FUNCTION,
        Function::new(|_| Outcome::Returns(json!({"ok": true}))).taking(Duration::from_secs(1)),
    );
    globus.delay(Service::Compute, Duration::from_millis(100));
    let one = service(&globus).start();
    let other = another_instance(&one, &globus);
    let (first, second) = (Caller::of(&one), Caller::of(&other).with_key(one.key()));
    let id = submit(&first, PROCESS).await;
    let asking = (0..20).map(|i| {
        let caller = if i % 2 == 0 { first.clone() } else { second.clone() };
        let id = id.clone();
        tokio::spawn(async move { result(&caller, &id).await.ok().json() })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap()["result"], json!({"ok": true}));
    }
}

fn another_instance(one: &Gateway, globus: &FakeGlobus) -> Gateway {
    Plan::in_front_of("http://127.0.0.1:9/v1")
        .database(one.database())
        .settings(&globus.config_with(&[], &["results: poll"]))
        .start()
}

#[tokio::test]
async fn a_result_that_is_being_read_is_stored_before_the_gateway_ends() {
    let globus = FakeGlobus::start();
    globus.function(FUNCTION, Function::new(|_| Outcome::Returns(json!({"ok": true}))));
    let mut gateway = service(&globus).start();
    let caller = Caller::of(&gateway);
    let id = submit(&caller, PROCESS).await;
    globus.wait_until_ended(1).await;
    globus.delay(Service::Compute, Duration::from_secs(3));
    let left = tokio::spawn({
        let (caller, path) = (caller.clone(), format!("{TASKS}/{id}"));
        async move { caller.get(&path).await }
    });
    let given_up = Instant::now() + Duration::from_secs(10);
    while globus.count(Service::Compute, "POST /v2/batch_status") == 0 {
        assert!(Instant::now() < given_up, "nobody asks after the task");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    left.abort();
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());
    assert_eq!(globus.results_kept(), 0, "the service has forgotten it");
    assert_eq!(gateway.count("SELECT count(*) FROM tasks WHERE result IS NOT NULL"), 1);
}

#[tokio::test]
async fn each_choice_of_weights_goes_to_its_own_worker() {
    let globus = FakeGlobus::start();
    globus.function(FUNCTION, Function::new(|_| Outcome::Returns(json!({"ok": true}))));
    let gateway = service(&globus).start();
    let caller = Caller::of(&gateway);
    let asking = ["/w/a", "/w/a", "/w/b"].map(|weights| {
        let mut body = request();
        body["weights_dir_override"] = weights.into();
        caller.post(PROCESS, body.to_string())
    });
    let (plain, [a, again, b]) = tokio::join!(submit(&caller, PROCESS), async {
        let answers = futures_util::future::join_all(asking).await;
        <[Answer; 3]>::try_from(answers).expect("three answers")
    });
    for answer in [a, again, b] {
        let id = answer.ok().json()["task_id"].as_str().unwrap().to_owned();
        result(&caller, &id).await.ok();
    }
    result(&caller, &plain).await.ok();
    let mut configs = Vec::new();
    for asked in globus.asked(Service::Compute) {
        if asked.route() == "POST /v3/endpoints/{id}/submit" {
            let body: Value = serde_json::from_slice(&asked.body).unwrap();
            let tasks = body["tasks"][FUNCTION.to_string()].as_array().unwrap().len();
            configs.extend(vec![body["user_endpoint_config"]["sam3_weights_dir"].clone(); tasks]);
        }
    }
    configs.sort_by_key(Value::to_string);
    assert_eq!(configs, [json!("/w/a"), json!("/w/a"), json!("/w/b"), Value::Null]);
    assert!(globus.submitted().iter().all(|task| task.argument == request()));
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let globus = FakeGlobus::start();
    globus.function(FUNCTION, Function::new(|_| Outcome::Raises("ValueError: no cat".to_owned())));
    let gateway = service(&globus).start();
    let caller = Caller::of(&gateway);
    let failed = result(&caller, &submit(&caller, PROCESS).await).await;
    assert_eq!((failed.status, &failed.json()["error"]["code"]), (502, &json!("task_failed")));
    assert!(failed.text().contains("ValueError: no cat"), "{}", failed.text());
    assert!(!failed.text().contains("worker.py"), "{}", failed.text());

    for (path, body, status) in [
        (PROCESS, json!([]), 400),
        (PROCESS, json!({ "inference_type": "movie", "data_uri": "x" }), 400),
        ("/resource_server/sophia/vllm/tasks", json!({ "model": "m" }), 404),
        ("/resource_server/nowhere/x/tasks", json!({}), 404),
    ] {
        let answer = caller.post(path, body.to_string()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    }
    assert_eq!(caller.get(PROCESS).await.status, 405);
    assert_eq!(globus.submitted().len(), 1);
}

#[tokio::test]
async fn many_who_poll_ask_the_service_once() {
    let globus = FakeGlobus::start();
    globus.function(FUNCTION, Function::new(|_| Outcome::Never));
    let gateway = service(&globus).start();
    let caller = Caller::of(&gateway);
    let ids = futures_util::future::join_all((0..40).map(|_| submit(&caller, PROCESS))).await;
    let questions = || globus.count(Service::Compute, "POST /v2/batch_status");
    let (before, begun) = (questions(), Instant::now());
    for id in ids.iter().chain(&ids) {
        assert_eq!(caller.get(&format!("{TASKS}/{id}")).await.status, 202);
    }
    let (asked, elapsed) = (questions() - before, begun.elapsed());
    let allowed = 1 + usize::try_from(elapsed.as_secs()).unwrap() / 2;
    assert!(asked <= allowed, "{asked} questions in {elapsed:?}");
}

#[tokio::test]
async fn doctor_says_whose_secret_is_wrong() {
    let globus = FakeGlobus::start();
    let doctor = |plan: Plan| {
        let doctor =
            plan.prepare().command().args(["doctor", "--only", "globus"]).output().unwrap();
        (doctor.status.code(), String::from_utf8(doctor.stdout).unwrap())
    };
    let (_, said) = doctor(service(&globus));
    assert!(said.contains("pass  globus.compute"), "{said}");
    let (status, said) = doctor(service(&globus).set("globus_compute.client_secret", "mistaken"));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("correct globus_compute.client_id and client_secret"), "{said}");
    assert!(!said.contains("mistaken"), "{said}");
}

#[tokio::test]
async fn an_endpoint_that_is_offline_takes_no_task() {
    let globus = FakeGlobus::start();
    let gateway = service(&globus).start();
    globus.endpoint(ENDPOINT, Endpoint::OFFLINE);
    let answer = Caller::of(&gateway).post(PROCESS, request().to_string()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
    assert_eq!(globus.submitted().len(), 0);
}
