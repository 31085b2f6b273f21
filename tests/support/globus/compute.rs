//! Globus Compute: endpoints, task groups, and what tasks are submitted with.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use http::header;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    FakeGlobus, Function, World,
    answer::Answer,
    grants, payload,
    switches::Asked,
    tasks::{self, Submission, Task},
};

/// A request for tasks may have this many bytes.
const LONGEST_SUBMIT: usize = 10 * 1024 * 1024;
/// Keys that a submit may have.
const SUBMIT_KEYS: [&str; 7] = [
    "tasks",
    "create_queue",
    "task_group_id",
    "result_serializers",
    "user_endpoint_config",
    "resource_specification",
    "user_runtime",
];

/// Endpoints, functions and tasks.
#[derive(Default)]
pub(super) struct Cluster {
    endpoints: Mutex<HashMap<Uuid, Endpoint>>,
    pub(super) functions: Mutex<HashMap<Uuid, Function>>,
    /// Whether a task group has a queue of results.
    groups: Mutex<HashMap<Uuid, bool>>,
    pub(super) tasks: Mutex<HashMap<Uuid, Task>>,
    pub(super) submissions: Mutex<Vec<Submission>>,
    reads_once: AtomicBool,
    registered: Mutex<Vec<Value>>,
}

/// An endpoint on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    pub online: bool,
    /// Nodes that it has now; nothing when its status has no details.
    pub managers: Option<u64>,
}

impl Endpoint {
    pub const ONLINE: Self = Self { online: true, managers: Some(1) };
    pub const WITHOUT_NODES: Self = Self { online: true, managers: Some(0) };
    pub const OFFLINE: Self = Self { online: false, managers: None };
}

impl Cluster {
    pub(super) fn is_online(&self, endpoint: Uuid) -> bool {
        self.endpoints.lock().unwrap().get(&endpoint).is_some_and(|endpoint| endpoint.online)
    }

    pub(super) fn has_queue(&self, group: Uuid) -> bool {
        self.groups.lock().unwrap().get(&group).copied().unwrap_or(false)
    }

    pub(super) fn reads_once(&self) -> bool {
        self.reads_once.load(Ordering::Relaxed)
    }

    /// Notes when a task ended.
    pub(super) fn has_ended(&self, id: Uuid) {
        let mut submissions = self.submissions.lock().unwrap();
        let submission = submissions.iter_mut().rev().find(|submission| submission.id == id);
        submission.expect("it was submitted").ended = Some(Instant::now());
    }

    /// Does something with a task that is still known.
    pub(super) fn task<T>(&self, id: Uuid, with: impl FnOnce(&mut Task) -> T) -> Option<T> {
        self.tasks.lock().unwrap().get_mut(&id).map(with)
    }
}

impl FakeGlobus {
    /// Sets up an endpoint, or changes it.
    pub fn endpoint(&self, id: Uuid, endpoint: Endpoint) {
        self.world.cluster.endpoints.lock().unwrap().insert(id, endpoint);
    }

    /// Whether a result is forgotten when it has been read, as the service once did.
    pub fn read_once(&self, once: bool) {
        self.world.cluster.reads_once.store(once, Ordering::Relaxed);
    }

    /// Forgets every task group, with its queue of results.
    pub fn forget_groups(&self) {
        self.world.cluster.groups.lock().unwrap().clear();
    }

    /// The documents of functions that were registered over the wire.
    pub fn registered(&self) -> Vec<Value> {
        self.world.cluster.registered.lock().unwrap().clone()
    }
}

pub(super) async fn answer(world: &Arc<World>, asked: &Asked) -> Answer {
    let route = asked.route();
    if route == "GET /v2/version" {
        return Answer::ok(&json!({"api": "1.30.0", "min_sdk_version": "1.0.0a6",
            "min_ep_version": "1.0.0a0"}));
    }
    if !world.accounts.admits(asked, grants::COMPUTE) {
        return Answer::compute_error(401, "UNAUTHORIZED", "a token for Globus Compute is needed");
    }
    let cluster = &world.cluster;
    match (route.as_str(), asked.ids().as_slice()) {
        ("GET /v2/endpoints/{id}/status", [id]) => status(cluster, *id),
        ("GET /v2/endpoints/{id}", [id]) => description(cluster, *id),
        ("POST /v3/endpoints/{id}/submit", [id]) => match read_submit(world, *id, asked) {
            Ok(submit) => accept(world, submit).await,
            Err(refusal) => refusal,
        },
        ("GET /v2/tasks/{id}", [id]) => match tasks::report(world, *id) {
            Some(report) => Answer::ok(&report),
            None => Answer::compute_error(404, "TASK_NOT_FOUND", "Unknown task id"),
        },
        ("POST /v2/batch_status", _) => batch_status(world, asked),
        ("GET /v2/taskgroup/{id}", [id]) => task_group(cluster, *id),
        ("POST /v3/functions", _) => register(cluster, asked),
        ("GET /v2/get_amqp_result_connection_url", _) => match world.broker.login() {
            Some(login) => Answer::ok(&login),
            None => Answer::compute_error(503, "UNAVAILABLE", "there is no AMQP service"),
        },
        _ => Answer::compute_error(404, "NOT_FOUND", &format!("there is no {route}")),
    }
}

fn status(cluster: &Cluster, id: Uuid) -> Answer {
    let Some(endpoint) = cluster.endpoints.lock().unwrap().get(&id).copied() else {
        return unknown_endpoint(id);
    };
    let mut status = json!({"status": if endpoint.online { "online" } else { "offline" }});
    if let Some(managers) = endpoint.managers {
        status["details"] = json!({"managers": managers, "total_workers": managers,
            "idle_workers": managers, "pending_tasks": 0, "outstanding_tasks": {}});
    }
    Answer::ok(&status)
}

fn description(cluster: &Cluster, id: Uuid) -> Answer {
    if !cluster.endpoints.lock().unwrap().contains_key(&id) {
        return unknown_endpoint(id);
    }
    Answer::ok(&json!({"uuid": id, "name": "fake-endpoint", "display_name": "A fake endpoint",
        "multi_user": false, "public": false, "hostname": "node-1", "endpoint_version": "4.19.0",
        "sdk_version": "4.19.0"}))
}

fn unknown_endpoint(id: Uuid) -> Answer {
    Answer::compute_error(
        404,
        "ENDPOINT_NOT_FOUND",
        &format!("Endpoint {id} could not be resolved"),
    )
}

/// A submit that is as it should be.
struct Submit {
    endpoint: Uuid,
    /// Function, its code, and its argument.
    calls: Vec<(Uuid, Function, Value)>,
    group: Option<Uuid>,
    create_queue: bool,
    /// Whether results in JSON come before others.
    json: bool,
}

fn read_submit(world: &World, endpoint: Uuid, asked: &Asked) -> Result<Submit, Answer> {
    let invalid = |what: &str| Answer::compute_error(422, "INVALID", what);
    for name in [header::USER_AGENT, header::CONTENT_LENGTH] {
        if asked.header(&name).is_none() {
            return Err(invalid(&format!("the header {name} is missing")));
        }
    }
    if asked.body.len() > LONGEST_SUBMIT {
        return Err(Answer::compute_error(413, "TASK_PAYLOAD_TOO_LARGE", "more than 10 MB"));
    }
    if !world.cluster.endpoints.lock().unwrap().contains_key(&endpoint) {
        return Err(unknown_endpoint(endpoint));
    }
    let Value::Object(body) = asked.json() else { return Err(invalid("not a JSON object")) };
    if let Some(key) = body.keys().find(|key| !SUBMIT_KEYS.contains(&key.as_str())) {
        return Err(invalid(&format!("{key} is no key of a submit")));
    }
    let group = match body.get("task_group_id") {
        None => None,
        Some(id) => Some(known_group(&world.cluster, id)?),
    };
    let create_queue = match body.get("create_queue") {
        None => false,
        Some(Value::Bool(create)) => *create,
        Some(_) => return Err(invalid("create_queue is no boolean")),
    };
    let first = body.get("result_serializers").map(|names| names[0].as_str().unwrap_or_default());
    if first.is_some_and(|name| !name.starts_with("globus_compute_sdk.serialize.")) {
        return Err(invalid("result_serializers is no list of import paths"));
    }
    let json = first.is_some_and(|name| name.ends_with(".JSONData"));
    let calls = read_calls(&world.cluster, &body).map_err(|what| invalid(&what))?;
    Ok(Submit { endpoint, calls, group, create_queue, json })
}

fn known_group(cluster: &Cluster, id: &Value) -> Result<Uuid, Answer> {
    id.as_str()
        .and_then(|id| Uuid::parse_str(id).ok())
        .filter(|id| cluster.groups.lock().unwrap().contains_key(id))
        .ok_or_else(|| Answer::compute_error(404, "TASK_GROUP_NOT_FOUND", "no such task group"))
}

fn read_calls(
    cluster: &Cluster,
    body: &Map<String, Value>,
) -> Result<Vec<(Uuid, Function, Value)>, String> {
    let functions = cluster.functions.lock().unwrap();
    let tasks = body.get("tasks").and_then(Value::as_object).ok_or("tasks is no object")?;
    let mut calls = Vec::new();
    for (name, payloads) in tasks {
        let id = Uuid::parse_str(name).map_err(|_| format!("{name} is no function's id"))?;
        let function = functions.get(&id).ok_or_else(|| format!("function {id} is unknown"))?;
        for payload in payloads.as_array().ok_or("a function's payloads are no list")? {
            let payload = payload.as_str().ok_or("a payload is no text")?;
            let argument = payload::arguments(payload)?.into_iter().next().unwrap_or_default();
            calls.push((id, function.clone(), argument));
        }
    }
    if calls.is_empty() { Err("there are no tasks".into()) } else { Ok(calls) }
}

async fn accept(world: &Arc<World>, submit: Submit) -> Answer {
    let group = submit.group.unwrap_or_else(Uuid::new_v4);
    let has_queue = {
        let mut groups = world.cluster.groups.lock().unwrap();
        let queue = groups.entry(group).or_default();
        *queue |= submit.create_queue;
        *queue
    };
    if has_queue {
        world.broker.declare(group).await;
    }
    let mut ids: Map<String, Value> = Map::new();
    for (function, code, argument) in submit.calls {
        let id = Uuid::new_v4();
        let endpoint = submit.endpoint;
        let submission = Submission {
            id,
            endpoint,
            function,
            group,
            argument: argument.clone(),
            accepted: Instant::now(),
            ended: None,
        };
        world.cluster.submissions.lock().unwrap().push(submission);
        let task = Task { endpoint, function, group, argument, state: "received", ended: None };
        world.cluster.tasks.lock().unwrap().insert(id, task);
        tokio::spawn(tasks::run(Arc::clone(world), id, code, submit.json));
        let of_function = ids.entry(function.to_string()).or_insert_with(|| json!([]));
        of_function.as_array_mut().expect("a list of tasks").push(id.to_string().into());
    }
    Answer::ok(&json!({"request_id": Uuid::new_v4(), "task_group_id": group,
        "endpoint_id": submit.endpoint, "tasks": ids}))
}

fn batch_status(world: &World, asked: &Asked) -> Answer {
    let body = asked.json();
    let Some(asked_for) = body["task_ids"].as_array() else {
        return Answer::compute_error(422, "INVALID", "task_ids is no list");
    };
    let mut results = Map::new();
    for name in asked_for.iter().filter_map(Value::as_str) {
        let id = Uuid::parse_str(name).ok();
        let report = id.and_then(|id| tasks::report(world, id)).unwrap_or_else(
            || json!({"task_id": name, "status": "failed", "reason": "Unknown task id"}),
        );
        results.insert(name.to_owned(), report);
    }
    Answer::ok(&json!({"response": "batch", "results": results}))
}

fn task_group(cluster: &Cluster, group: Uuid) -> Answer {
    let Some(queue) = cluster.groups.lock().unwrap().get(&group).copied() else {
        return Answer::compute_error(404, "TASK_GROUP_NOT_FOUND", "no such task group");
    };
    let tasks = cluster.tasks.lock().unwrap();
    let of_group = tasks.iter().filter(|(_, task)| task.group == group);
    let list: Vec<_> = of_group
        .map(|(id, _)| json!({"id": id, "created_at": "2026-01-01T00:00:00.000000"}))
        .collect();
    Answer::ok(&json!({"taskgroup_id": group, "create_websockets_queue": queue, "tasks": list}))
}

fn register(cluster: &Cluster, asked: &Asked) -> Answer {
    let document = asked.json();
    if !document["function_name"].is_string() || !document["function_code"].is_string() {
        let reason = "function_name or function_code is missing";
        return Answer::compute_error(422, "INVALID", reason);
    }
    let id = Uuid::new_v4();
    cluster.registered.lock().unwrap().push(document);
    Answer::ok(&json!({"function_uuid": id}))
}
