//! The functions that figw ships, run as a worker of Globus Compute runs them: the real SDK's
//! serialiser reads what figw packs, calls the function from its source, and what it makes of the
//! result is read by figw's codec.

#![allow(clippy::panic, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
};

use figw::globus::{codec, functions};
use serde_json::{Value, json};
use support::{
    client::Caller,
    fake::{Fake, Fault},
    gateway::Plan,
    globus::{Endpoint, FakeGlobus, Function, Outcome},
};
use uuid::Uuid;

/// What to run when Python, or what it needs, is not there.
const REMEDY: &str = "run scripts/test, or: python3 -m venv .venv-compute && \
    .venv-compute/bin/pip install --require-hashes -r tests/compute/requirements.txt \
    (FIGW_TEST_COMPUTE_PYTHON names another interpreter)";

const TASK: &str = "00000000-0000-4000-8000-000000000701";

fn python(script: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = env::var_os("FIGW_TEST_COMPUTE_PYTHON")
        .map_or_else(|| root.join(".venv-compute/bin/python"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg("-B").arg(root.join("tests/compute").join(script));
    command.env_remove("OPENAI_API_KEY").env_remove("OPENAI_BASE_URL").env("NO_PROXY", "*");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs `function` with one argument: its result as a document, or the text of its exception.
fn run(
    function: &functions::Function,
    argument: &Value,
    environment: &[(&str, &str)],
) -> Result<Value, String> {
    let payload = codec::task_payload(Some(&argument.to_string()));
    let task = json!({"function": function.code(), "payload": payload});
    let mut worker = python("worker.py")
        .envs(environment.iter().copied())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot run Python: {e}; {REMEDY}"));
    let mut input = worker.stdin.take().expect("standard input");
    input.write_all(task.to_string().as_bytes()).expect("the worker reads its task");
    drop(input);
    let ended = worker.wait_with_output().expect("the worker ends");
    let log = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "the worker failed:\n{log}\n{REMEDY}");
    let outcome: Value = serde_json::from_slice(&ended.stdout).expect("the worker's outcome");
    if let Some(exception) = outcome["exception"].as_str() {
        return Err(exception.to_owned());
    }
    let mut documents = outcome["results"].as_array().expect("results").iter().map(|result| {
        let value = codec::decode(result.as_str().expect("a buffer")).expect("a value");
        serde_json::from_str::<Value>(&value.into_document()).expect("a document")
    });
    let document = documents.next().expect("a result");
    documents.for_each(|other| assert_eq!(other, document, "formats differ"));
    Ok(document)
}

/// The argument of the inference function, as the gateway makes it.
fn request(fake: &Fake, route: &str, mut params: Value) -> Value {
    params["openai_endpoint"] = route.into();
    params["api_port"] = fake.address().port().into();
    json!({"model_params": params})
}

/// The gateway's side of a streamed answer.
struct Collector {
    process: Child,
    /// Reads what was posted, for the process must never wait for it.
    reader: Option<JoinHandle<Vec<Value>>>,
    port: u16,
}

impl Collector {
    /// Starts one that answers good posts with this status.
    fn start(status: u16) -> Self {
        let mut process = python("collector.py")
            .env("STATUS", status.to_string())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot run Python: {e}; {REMEDY}"));
        let mut lines = BufReader::new(process.stdout.take().expect("standard output"));
        let mut port = String::new();
        lines.read_line(&mut port).expect("the collector's port");
        let port = port.trim().parse().expect("the collector's port");
        let parsed = |line: std::io::Result<String>| {
            serde_json::from_str(&line.expect("a line")).expect("a post")
        };
        let reader = thread::spawn(move || lines.lines().map(parsed).collect());
        Self { process, reader: Some(reader), port }
    }

    /// What was posted, to the end of the stream.
    fn posts(mut self) -> Vec<Value> {
        self.process.kill().expect("the collector can be ended");
        let reader = self.reader.take().expect("the posts are asked for once");
        reader.join().expect("posts")
    }

    /// Asks for a stream whose lines come here.
    fn ask(&self, fake: &Fake, route: &str, mut params: Value) -> Value {
        params["stream"] = true.into();
        params["streaming_server_host"] = "127.0.0.1".into();
        params["streaming_server_port"] = self.port.into();
        params["streaming_server_protocol"] = "http".into();
        params["stream_task_id"] = TASK.into();
        params["stream_task_token"] = "token".into();
        let argument = request(fake, route, params);
        let environment = [("INTERNAL_STREAMING_SECRET", "internal")];
        run(&functions::INFERENCE, &argument, &environment).expect("a summary")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn chat(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "hé ✓ 😀"}]})
}

#[test]
fn every_route_is_asked_and_its_answer_comes_back() {
    let fake = Fake::start();
    let prompt = json!({"model": "fake-model", "prompt": "a b"});
    let input = json!({"model": "fake-model", "input": ["a", "b"]});
    for (route, params, object) in [
        ("chat/completions", chat("fake-model"), "chat.completion"),
        ("completions", prompt, "text_completion"),
        ("embeddings", input.clone(), "list"),
        ("responses", json!({"model": "fake-model", "input": "a"}), "response"),
    ] {
        let argument = request(&fake, route, params.clone());
        let answer = run(&functions::INFERENCE, &argument, &[]).expect(route);
        assert_eq!(answer["object"], object, "{answer}");
        let received = fake.last_received();
        assert_eq!(received.line, format!("POST /v1/{route}"));
        let body: Value = serde_json::from_slice(&received.body).expect("JSON");
        assert_eq!(body, params, "the model's server gets the caller's fields and no others");
    }
    let mut message = chat("fake-model");
    message["max_tokens"] = 5.into();
    let answer = run(&functions::INFERENCE, &request(&fake, "messages", message), &[]);
    assert_eq!(answer.expect("an answer")["type"], "message");
    let models = run(&functions::INFERENCE, &request(&fake, "models", json!({})), &[]);
    assert_eq!(models.expect("a list")["data"][0]["id"], "fake-model");
}

#[test]
fn a_model_s_refusal_is_an_exception_with_its_status() {
    let fake = Fake::start();
    fake.always(Some(Fault::Status(429)));
    let argument = request(&fake, "chat/completions", chat("fake-model"));
    let error = run(&functions::INFERENCE, &argument, &[]).expect_err("refused");
    assert!(
        error.contains("API request failed with status code: 429\nResponse text: {"),
        "{error}"
    );
    let argument = json!({"model_params": {"openai_endpoint": "health", "api_port": 1}});
    let error = run(&functions::INFERENCE, &argument, &[]).expect_err("nobody there");
    assert!(error.contains("no model answers at port 1"), "{error}");
    let error = run(&functions::INFERENCE, &request(&fake, "chat/../admin", json!({})), &[]);
    assert!(error.expect_err("refused").contains("openai_endpoint is not a route"));
}

#[test]
fn a_stream_goes_to_the_gateway_line_by_line_and_in_order() {
    let fake = Fake::start();
    let collector = Collector::start(200);
    let mut params = chat("fake-model");
    params["max_tokens"] = 300.into();
    params["stream_options"] = json!({"include_usage": true});
    let summary = collector.ask(&fake, "chat/completions", params.clone());
    assert_eq!(summary["status"], "completed", "{summary}");
    assert_eq!(summary["task_id"], TASK);
    assert!(summary["total_tokens"].as_u64() > Some(300), "{summary}");
    assert_eq!(summary["total_chunks"], summary["chunks_sent_to_server"]);

    params["stream"] = true.into();
    let body: Value = serde_json::from_slice(&fake.last_received().body).expect("JSON");
    assert_eq!(body, params, "the model's server does not hear of the gateway");

    let posts = collector.posts();
    let (done, data) = posts.split_last().expect("posts");
    assert_eq!((&done["type"], &done["task_id"]), (&json!("done"), &json!(TASK)));
    assert!(data.len() < 100, "300 quick lines came in {} posts", data.len());
    let text: Vec<_> = data
        .iter()
        .flat_map(|post| {
            assert_eq!((&post["type"], &post["status"]), (&json!("data"), &json!(200)));
            post["data"].as_str().expect("text").lines()
        })
        .collect();
    assert_eq!(summary["total_chunks"], text.len());
    let said: String = text
        .iter()
        .filter_map(|line| {
            let chunk: Value = serde_json::from_str(line.strip_prefix("data: ")?).expect("a chunk");
            chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
        })
        .collect();
    let numbers: Vec<u32> = said.split_whitespace().map(|n| n.parse().expect("a number")).collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + 300).collect::<Vec<_>>());
}

#[test]
fn a_stream_without_a_done_line_ends_as_its_api_says() {
    let fake = Fake::start();
    let collector = Collector::start(200);
    let mut params = chat("fake-model");
    params["max_tokens"] = 5.into();
    let summary = collector.ask(&fake, "messages", params);
    assert_eq!(summary["status"], "completed", "{summary}");
    let posts = collector.posts();
    assert_eq!(posts.last().expect("a post")["type"], "done");
    assert!(posts[0]["data"].as_str().expect("text").starts_with("event: message_start\ndata: {"));
}

#[test]
fn a_broken_or_refused_stream_tells_the_gateway_why() {
    let fake = Fake::start();
    for (fault, expected) in [
        (Fault::Status(400), "API request failed with status code: 400\nResponse text: {"),
        (Fault::CutShort, "the model's server ended the answer before its end"),
        (Fault::ResetMidway, "Connection"),
    ] {
        fake.always(Some(fault));
        let collector = Collector::start(200);
        let summary = collector.ask(&fake, "chat/completions", chat("fake-model"));
        assert_eq!(summary["status"], "error", "{summary}");
        let posts = collector.posts();
        let errors: Vec<_> = posts.iter().filter(|post| post["type"] == "error").collect();
        assert_eq!(errors.len(), 1, "{posts:?}");
        assert_eq!(posts.last(), Some(errors[0]), "nothing comes after an error");
        let error = errors[0]["error"].as_str().expect("text");
        assert!(error.contains(expected), "{error}");
        assert_eq!(summary["error"], error);
    }
}

#[test]
fn a_gateway_that_refuses_the_stream_frees_the_model() {
    let fake = Fake::start();
    fake.always(Some(Fault::SlowChunks(std::time::Duration::from_millis(100))));
    let collector = Collector::start(403);
    let mut params = chat("fake-model");
    params["max_tokens"] = 1_000.into();
    let summary = collector.ask(&fake, "chat/completions", params);
    assert_eq!(summary["status"], "error", "{summary}");
    let error = summary["error"].as_str().expect("text");
    assert!(error.contains("the gateway refused the answer with status 403"), "{error}");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let seen = fake.wait_until(std::time::Duration::from_secs(5), |counts| counts.aborted == 1);
    assert!(runtime.block_on(seen), "the model was left to talk to nobody");
}

#[test]
fn a_stream_needs_the_gateway_s_address_and_secret() {
    let fake = Fake::start();
    let mut params = chat("fake-model");
    params["stream"] = true.into();
    let error =
        run(&functions::INFERENCE, &request(&fake, "chat/completions", params.clone()), &[]);
    let error = error.expect_err("refused");
    assert!(error.contains("requires the following parameters: streaming_server_host"), "{error}");
    for name in
        ["streaming_server_host", "streaming_server_port", "stream_task_id", "stream_task_token"]
    {
        params[name] = "1".into();
    }
    let error = run(&functions::INFERENCE, &request(&fake, "chat/completions", params), &[]);
    let error = error.expect_err("refused");
    assert!(error.contains("INTERNAL_STREAMING_SECRET is not set"), "{error}");
    assert_eq!(fake.received().len(), 0, "no model is asked for what cannot be delivered");
}

/// A batch of `lines` requests, and the argument that names it.
fn batch(fake: &Fake, directory: &Path, lines: usize) -> Value {
    let input = directory.join("in.jsonl");
    let line = |number: usize| {
        json!({"custom_id": format!("r-{number}"), "method": "POST", "url": "/v1/chat/completions",
            "body": {"messages": [{"role": "user", "content": format!("say {number}")}],
                "max_tokens": 2}})
    };
    let text: Vec<_> = (0..lines).map(|number| line(number).to_string() + "\n").collect();
    fs::write(&input, text.concat()).expect("the input file");
    json!({
        "model_params": {"input_file": input, "model": "fake-model", "api_port": fake.address().port(),
            "output_folder_path": directory.join("out")},
        "batch_id": "00000000-0000-4000-8000-000000000901", "username": "alice",
    })
}

fn results(outcome: &Value) -> Vec<Value> {
    let file = outcome["results_file"].as_str().expect("a results file");
    let text = fs::read_to_string(file).expect("the results");
    text.lines().map(|line| serde_json::from_str(line).expect("a result")).collect()
}

#[test]
fn a_batch_of_a_thousand_lines_is_worked_off() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().expect("a directory");
    let argument = batch(&fake, directory.path(), 1_000);
    let outcome = run(&functions::BATCH, &argument, &[]).expect("a summary");
    assert_eq!(outcome["metrics"]["num_responses"], 1_000, "{outcome}");
    assert_eq!(outcome["metrics"]["lines_processed"], 1_000);
    assert!(outcome["metrics"]["total_tokens"].as_u64() >= Some(2_000), "{outcome}");
    let file = outcome["results_file"].as_str().expect("a results file");
    let folder = directory.path().join("out/00000000-0000-4000-8000-000000000901");
    assert!(Path::new(file).starts_with(folder), "{file}");

    let results = results(&outcome);
    let mut ids: Vec<_> = results.iter().map(|r| r["custom_id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), results.len()), (1_000, 1_000));
    for result in &results {
        assert_eq!(result["error"], Value::Null);
        assert_eq!(result["response"]["status_code"], 200);
        assert_eq!(result["response"]["body"]["object"], "chat.completion");
        assert_eq!(result["response"]["body"]["model"], "fake-model");
    }
    let progress = fs::read(outcome["progress_file"].as_str().expect("a file")).expect("progress");
    let progress: Value = serde_json::from_slice(&progress).expect("JSON");
    assert_eq!(progress, outcome["metrics"]);
}

#[test]
fn a_batch_that_the_gateway_submits_finds_the_model_s_server() {
    let (globus, fake) = (FakeGlobus::start(), Fake::start());
    let (endpoint, function) = (Uuid::new_v4(), Uuid::new_v4());
    globus.endpoint(endpoint, Endpoint::ONLINE);
    globus.function(function, Function::new(|_| Outcome::Never));
    let mut model = FakeGlobus::endpoint_entry("sophia", "fake-model", endpoint, function);
    let config = &mut model["fields"]["config"];
    config["api_port"] = fake.address().port().into();
    (config["batch_endpoint_uuid"], config["batch_function_uuid"]) =
        (endpoint.to_string().into(), function.to_string().into());
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1")
        .entries([FakeGlobus::cluster_entry("sophia", &json!({})), model])
        .settings(&globus.config_with(&[], &["results: poll"]))
        .start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut body = batch(&fake, directory.path(), 3)["model_params"].clone();
    body.as_object_mut().expect("an object").remove("api_port");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let path = "/resource_server/sophia/vllm/v1/batches";
    runtime.block_on(Caller::of(&gateway).post(path, body.to_string())).ok();
    let task = globus.submitted().pop().expect("a task was submitted");
    let outcome = run(&functions::BATCH, &task.argument, &[]).expect("a summary");
    assert_eq!(outcome["metrics"]["num_responses"], 3, "{outcome}");
    assert_eq!(fake.received().len(), 3);
}

#[test]
fn a_batch_on_a_node_without_a_server_goes_where_the_operator_says() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut argument = batch(&fake, directory.path(), 2);
    argument["model_params"]["api_port"] = 1.into();
    let address = format!("http://{}/v1", fake.address());
    let outcome = run(&functions::BATCH, &argument, &[("OPENAI_BASE_URL", &address)]);
    assert_eq!(outcome.expect("a summary")["metrics"]["num_responses"], 2);
    let error = run(&functions::BATCH, &argument, &[]).expect_err("there is no vLLM here");
    assert!(error.contains("no model answers at port 1"), "{error}");
    assert!(error.contains("run_batch failed"), "{error}");
}

#[test]
fn a_batch_that_was_ended_goes_on_where_it_was() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().expect("a directory");
    let argument = batch(&fake, directory.path(), 50);
    let outcome = run(&functions::BATCH, &argument, &[]).expect("a summary");
    let file = outcome["results_file"].as_str().expect("a results file");
    let text = fs::read_to_string(file).expect("the results");
    let lines: Vec<_> = text.lines().collect();
    // Killed while it wrote its 31st result.
    fs::write(file, format!("{}\n{}", lines[..30].join("\n"), &lines[30][..40])).expect("a write");

    let outcome = run(&functions::BATCH, &argument, &[]).expect("a summary");
    assert_eq!(outcome["metrics"]["num_responses"], 50);
    assert_eq!(fake.received().len(), 70, "lines with a result were asked again");
    assert_eq!(results(&outcome).len(), 50);
}

#[test]
fn a_bad_line_of_a_batch_is_a_result_with_its_error() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().expect("a directory");
    let argument = batch(&fake, directory.path(), 1);
    let input = directory.path().join("in.jsonl");
    let chat = |id: &str, url: &str, model: &str| {
        json!({"custom_id": id, "method": "POST", "url": url, "body": chat(model)}).to_string()
    };
    let lines = [
        chat("good", "/v1/chat/completions", "fake-model"),
        "{not JSON".to_owned(),
        chat("other-model", "/v1/chat/completions", "secret-model"),
        chat("other-route", "/v1/files", "fake-model"),
        String::new(),
    ];
    fs::write(input, lines.join("\n")).expect("the input file");
    let outcome = run(&functions::BATCH, &argument, &[]).expect("a summary");
    assert_eq!(outcome["metrics"]["num_responses"], 1, "{outcome}");
    assert_eq!(outcome["metrics"]["num_failed"], 3, "{outcome}");
    for result in results(&outcome) {
        let error = result["error"]["message"].as_str().unwrap_or_default();
        match result["custom_id"].as_str().expect("an id") {
            "good" => assert_eq!(result["error"], Value::Null),
            "line-2" => assert!(error.contains("Expecting property name"), "{error}"),
            "other-model" => assert!(error.contains("for model fake-model"), "{error}"),
            "other-route" => assert!(error.contains("not a request of a batch"), "{error}"),
            other => panic!("{other}"),
        }
    }
    let missing = json!({"model_params": {"input_file": "/nowhere.jsonl", "model": "fake-model"}});
    let error = run(&functions::BATCH, &missing, &[]).expect_err("no such file");
    assert!(error.contains("FileNotFoundError"), "{error}");
}
