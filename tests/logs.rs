//! What `serve` writes into its log: each request once, with its id; whole lines, whatever happens to the
//! file; and never a secret or a prompt.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::Caller,
    fake::Fake,
    gateway::{ADMIN_TOKEN, BACKEND_KEY, CLUSTER, FRAMEWORK, Gateway, Plan},
    globus::{
        APPLICATION_SECRET, COMPUTE_CLIENT_SECRET, FakeGlobus, Function, Outcome, STREAMING_SECRET,
        model_refusal,
    },
    observed::{COMPUTE_ENDPOINT, Observed, REDIS_PASSWORD},
    requests::{chat, streamed_chat},
    small_server::{Reply, SmallServer},
};
use tokio::{task::JoinSet, time::sleep};
use uuid::{Uuid, uuid};

const CHAT: &str = "chat/completions";
const MODEL: &str = "fake-model";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Stands in every prompt.
const PROMPT: &str = "pRoMpT-mArKeR";
/// Stands in every answer of a back end that quotes.
const ANSWER: &str = "aNsWeR-mArKeR";

fn json_lines(text: &str) -> Vec<Value> {
    let parsed = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("torn: {line}"));
    text.lines().map(parsed).collect()
}

fn access_lines(lines: &[Value]) -> Vec<&Value> {
    lines.iter().filter(|line| line["event.dataset"] == "figw.access").collect()
}

/// All of the log: the file, and before it those that were moved aside.
fn whole_log(path: &Path) -> String {
    let older = (1..1_000).map(|number| PathBuf::from(format!("{}.{number}", path.display())));
    let mut files: Vec<_> = older.take_while(|file| file.exists()).collect();
    files.reverse();
    files.push(path.to_owned());
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[tokio::test]
async fn every_request_has_one_line_with_elastic_s_names() {
    let fake = Fake::start();
    let plan = Plan::in_front_of(fake.api_url()).models([MODEL, "fault-status-500"]);
    let mut gateway = plan.set("logging.format", "json").start();
    let caller =
        Caller::of(&gateway).with_header("traceparent", &format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let whole = caller.ask(CHAT, &chat(MODEL)).await.ok();
    let streamed = caller.ask(CHAT, &streamed_chat(MODEL, 7)).await.ok();
    let failed = caller.ask(CHAT, &chat("fault-status-500")).await;
    let unknown = caller.ask(CHAT, &chat("nothing")).await;
    let listed = caller.get("/v1/models?x=secret").await.ok();
    let stranger = caller.with_key("figw_wrong").ask(CHAT, &chat(MODEL)).await;
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());

    let lines = json_lines(&gateway.log());
    let requests = access_lines(&lines);
    let line_of = |answer: &support::client::Answer| {
        let id = answer.header("x-request-id").unwrap();
        let own: Vec<_> = requests.iter().filter(|line| line["http.request.id"] == id).collect();
        assert_eq!(own.len(), 1, "{id}: {own:?}");
        assert_eq!(own[0]["http.response.status_code"], answer.status);
        assert_eq!(own[0]["trace.id"], TRACE);
        own[0]
    };
    let line = line_of(&whole);
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("url.path", json!("/v1/chat/completions")),
        ("user.name", json!("researcher@example.org")),
        ("gen_ai.request.model", json!(MODEL)),
        ("figw.endpoint", json!("local-vllm-fake-model")),
        ("figw.streamed", json!(false)),
        ("gen_ai.usage.output_tokens", json!(5)),
        ("client.ip", json!("127.0.0.1")),
        ("event.outcome", json!("success")),
        ("service.version", json!(env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert!(line["event.duration"].as_u64().unwrap() > 1_000, "nanoseconds: {line}");
    let body = u64::try_from(whole.body.len()).unwrap();
    assert_eq!(line["http.response.body.bytes"], body);
    assert_eq!(line_of(&streamed)["gen_ai.usage.output_tokens"], 7);
    assert_eq!(line_of(&failed)["event.outcome"], "failure");
    assert!(line_of(&failed)["error.message"].is_string());
    assert!(line_of(&unknown)["figw.endpoint"].is_null());
    assert_eq!(line_of(&listed)["url.path"], "/v1/models");
    assert!(line_of(&stranger)["user.name"].is_null());
    assert_eq!(requests.len(), 6);
    assert_eq!(
        lines.iter().filter(|line| line["message"] == "stopped").count(),
        1,
        "the last line"
    );
}

#[tokio::test]
async fn what_happens_to_a_request_is_logged_with_its_id() {
    let fake = Fake::start();
    let models = ["fault-reset-before-headers", "fault-cut-short"];
    let gateway = Plan::in_front_of(fake.api_url()).models(models).start();
    let caller = Caller::of(&gateway);
    let whole = caller.ask(CHAT, &chat(models[0])).await;
    let stream = caller.ask(CHAT, &streamed_chat(models[1], 3)).await;
    let log = gateway.log();
    for (answer, text) in [(whole, "the back end failed"), (stream, "figw::access")] {
        let id = format!("request_id={}", answer.header("x-request-id").unwrap());
        let is_there = log.lines().any(|line| line.contains(text) && line.contains(&id));
        assert!(is_there, "{text} of {id}:\n{log}");
    }
}

#[tokio::test]
async fn who_wants_fewer_lines_gets_fewer() {
    let fake = Fake::start();
    for (requests, level, expected) in
        [("all", "info", 2), ("errors", "info", 1), ("off", "info", 0), ("all", "warn", 0)]
    {
        let plan = Plan::in_front_of(fake.api_url()).models([MODEL]);
        let plan = plan.set("logging.requests", requests).set("logging.level", level);
        let gateway = plan.start();
        let caller = Caller::of(&gateway);
        caller.ask(CHAT, &chat(MODEL)).await.ok();
        caller.ask(CHAT, &chat("nothing")).await;
        let log = gateway.log();
        assert_eq!(log.matches("figw::access").count(), expected, "{requests}, {level}:\n{log}");
    }
}

/// A gateway that writes JSON into small files.
fn with_small_files(fake: &Fake, keep: u32) -> (Gateway, PathBuf) {
    let gateway = Plan::in_front_of(fake.api_url())
        .models([MODEL])
        .set("logging.format", "json")
        .set("logging.max_bytes", "16KiB")
        .set("logging.keep", &keep.to_string())
        .set("logging.file", "figw.log")
        .prepare();
    let path = gateway.directory().join("figw.log");
    (gateway, path)
}

/// So many requests, twenty at a time.
async fn ask_often(caller: &Caller, count: usize) {
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let caller = caller.clone();
        asking.spawn(async move {
            for _ in 0..count / 20 {
                caller.ask(CHAT, &chat(MODEL)).await.ok();
            }
        });
    }
    asking.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_is_torn_or_lost_while_files_turn_and_processes_follow_each_other() {
    let fake = Fake::start();
    let (mut gateway, path) = with_small_files(&fake, 500);
    gateway.serve();
    let caller = Caller::of(&gateway);
    ask_often(&caller, 200).await;
    let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o640);
    let asking = {
        let caller = caller.clone();
        tokio::spawn(async move { ask_often(&caller, 400).await })
    };
    sleep(Duration::from_millis(200)).await;
    let mut old = gateway.take_over();
    asking.await.unwrap();
    assert!(old.wait().unwrap().success());
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());
    gateway.serve();
    ask_often(&caller, 100).await;
    gateway.terminate();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());

    let lines = json_lines(&whole_log(&path));
    let ids: std::collections::BTreeSet<_> = access_lines(&lines)
        .iter()
        .map(|line| line["http.request.id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((access_lines(&lines).len(), ids.len()), (700, 700));
    assert!(lines.iter().filter(|line| line["message"] == "serving").count() == 3);
    let files = fs::read_dir(gateway.directory()).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter(|file| file.to_string_lossy().contains("figw.log")).collect();
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        assert!(fs::metadata(&file).unwrap().len() <= 16 << 10, "{}", file.display());
    }
}

#[tokio::test]
async fn only_so_many_old_files_are_kept() {
    let fake = Fake::start();
    let (mut gateway, path) = with_small_files(&fake, 2);
    gateway.serve();
    ask_often(&Caller::of(&gateway), 200).await;
    sleep(Duration::from_millis(200)).await;
    let there = |number: u32| gateway.directory().join(format!("figw.log.{number}")).exists();
    assert!(path.exists() && there(1) && there(2) && !there(3));
}

#[tokio::test]
async fn logrotate_may_move_the_file_while_figw_writes() {
    let fake = Fake::start();
    let (mut gateway, path) = with_small_files(&fake, 500);
    gateway.set_variable("FIGW_LOGGING__MAX_BYTES", "100MiB");
    gateway.serve();
    let rules = gateway.directory().join("logrotate.conf");
    let config = format!(
        "\"{}\" {{\n rotate 9\n nocreate\n nocompress\n su {} {}\n}}\n",
        path.display(),
        user(),
        user()
    );
    fs::write(&rules, config).unwrap();
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o644)).unwrap();
    let caller = Caller::of(&gateway);
    for _ in 0..3 {
        ask_often(&caller, 40).await;
        sleep(Duration::from_millis(150)).await;
        let state = gateway.directory().join("state.logrotate");
        let mut logrotate = Command::new("logrotate");
        logrotate.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let done = logrotate.arg("--force").arg("--state").arg(state).arg(&rules).status();
        assert!(done.expect("logrotate is installed").success());
    }
    ask_often(&caller, 40).await;
    sleep(Duration::from_millis(150)).await;
    let lines = json_lines(&whole_log(&path));
    assert_eq!(access_lines(&lines).len(), 160);
}

fn user() -> String {
    let id = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&id.stdout).trim().to_owned()
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_lines_and_nothing_else() {
    let fake = Fake::start();
    let plan = Plan::in_front_of(fake.api_url()).models([MODEL]);
    let gateway = plan.set("logging.file", "/dev/full").start();
    ask_often(&Caller::of(&gateway), 100).await;
    sleep(Duration::from_millis(200)).await;
    assert!(gateway.metric("figw_log_lines_lost_total") >= Some(100.0));
    let said = gateway.log();
    assert_eq!(said.matches("takes no lines").count(), 1, "once, on standard error: {said}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nobody() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let _reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    let plan = Plan::in_front_of(fake.api_url()).models([MODEL]);
    let plan = plan.set("logging.file", pipe.to_str().unwrap()).set("logging.level", "trace");
    let mut gateway = plan.start();
    let begun = Instant::now();
    ask_often(&Caller::of(&gateway), 600).await;
    println!("600 requests took {:?}", begun.elapsed());
    assert_eq!(gateway.get("/ready").unwrap().0, 200);
    gateway.terminate();
    let begun = Instant::now();
    assert!(gateway.wait_for_exit(Duration::from_secs(20)).success());
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_collects_standard_output_gets_the_log_there() {
    let fake = Fake::start();
    let plan = Plan::in_front_of(fake.api_url()).models([MODEL]).set("logging.format", "json");
    let gateway = plan.set("logging.file", "/dev/stdout").prepare();
    let mut process = gateway
        .command()
        .arg("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = Instant::now() + Duration::from_secs(30);
    while gateway.get("/ready").is_none_or(|(status, _)| status != 200) {
        assert!(Instant::now() < ready, "it does not become ready");
        sleep(Duration::from_millis(50)).await;
    }
    Caller::of(&gateway).ask(CHAT, &chat(MODEL)).await.ok();
    let pid = rustix::process::Pid::from_child(&process);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(process.wait().unwrap().success());
    let output = process.wait_with_output().unwrap();
    let lines = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(access_lines(&lines).len(), 1, "{lines:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(Path::new("/dev/stdout").is_symlink(), "it is not rotated");
}

#[test]
fn a_file_that_cannot_be_written_is_named_at_the_start() {
    let plan = Plan::in_front_of("http://127.0.0.1:9/v1").models([MODEL]);
    let gateway = plan.set("logging.file", "/no/such/directory/figw.log").prepare();
    let output = gateway.command().arg("serve").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("logging.file: cannot write to /no/such/directory/figw.log"), "{said}");
}

/// A back end that puts what it was asked into whatever it answers.
fn quoting() -> SmallServer {
    SmallServer::start(|ask| {
        let asked = String::from_utf8_lossy(&ask.body);
        let quoted = format!("{ANSWER} {asked}");
        let of = |name: &str| asked.contains(&format!("\"{name}\""));
        let (status, kind, body) = if of("quote-400") {
            (400, "application/json", json!({"error": {"message": quoted}}).to_string())
        } else if of("quote-500") {
            (500, "application/json", json!({"error": {"message": quoted}}).to_string())
        } else if of("quote-html") {
            (200, "text/html", quoted)
        } else if of("quote-broken") {
            (200, "application/json", quoted)
        } else if of("quote-stream") {
            let event = json!({"error": {"message": quoted}});
            (200, "text/event-stream", format!("data: {event}\n\n"))
        } else {
            let message = json!({"role": "assistant", "content": quoted});
            let choices = json!([{"index": 0, "message": message, "finish_reason": "stop"}]);
            (
                200,
                "application/json",
                json!({"object": "chat.completion", "choices": choices}).to_string(),
            )
        };
        Reply { status, headers: vec![("content-type", kind.to_owned())], body }
    })
}

const QUOTING: [&str; 6] =
    ["quote-good", "quote-400", "quote-500", "quote-html", "quote-broken", "quote-stream"];

fn quoting_entries(server: &SmallServer) -> Vec<Value> {
    let entry = |model: &&str| {
        json!({"model": "resource_server_async.endpoint", "fields": {
            "cluster": CLUSTER, "framework": FRAMEWORK, "model": model,
            "endpoint_adapter": "resource_server_async.endpoints.direct_api.DirectAPIEndpoint",
            "config": {"api_url": format!("{}/v1", server.url()), "api_key_env_name": "FAKE_BACKEND_KEY"},
        }})
    };
    QUOTING.iter().map(entry).collect()
}

/// A model on a cluster that fails in the words of what it was asked.
const QUOTING_REMOTE: &str = "remote-quotes";
const QUOTING_FUNCTION: Uuid = uuid!("00000000-0000-4000-8000-000000000612");

/// Fails as the caller's `user` says.
fn quoting_function() -> Function {
    Function::new(|argument| {
        let asked = format!("{ANSWER} {argument}");
        if asked.contains("refuse-it") {
            model_refusal(422, &asked)
        } else if asked.contains("break-it") {
            model_refusal(500, &asked)
        } else {
            Outcome::Raises(format!("KeyError: {asked}"))
        }
    })
}

async fn provoke_function(observed: &Observed, caller: &Caller) {
    observed.globus.function(QUOTING_FUNCTION, quoting_function());
    for (how, status) in [("refuse-it", 422), ("break-it", 502), ("raise-it", 502)] {
        let mut chat = with_prompt(QUOTING_REMOTE);
        chat["user"] = how.into();
        assert_eq!(caller.ask(CHAT, &chat).await.status, status, "{how}");
    }
}

fn with_prompt(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": format!("say {PROMPT}")}]})
}

async fn provoke(observed: &Observed) {
    let caller = Caller::of(&observed.gateway);
    for model in QUOTING {
        caller.ask(CHAT, &with_prompt(model)).await;
        let mut streamed = with_prompt(model);
        streamed["stream"] = true.into();
        caller.ask(CHAT, &streamed).await;
    }
    caller.ask(CHAT, &with_prompt("remote")).await.ok();
    provoke_function(observed, &caller).await;
    let mut invalid = with_prompt(MODEL);
    invalid["temperature"] = PROMPT.into();
    caller.ask(CHAT, &invalid).await;
    invalid["messages"] = json!([{"role": PROMPT, "content": PROMPT}]);
    caller.ask(CHAT, &invalid).await;
    caller
        .post("/v1/chat/completions", format!("{{\"model\": \"m\", \"messages\": [{PROMPT}"))
        .await;
    caller.post("/v1/chat/completions", PROMPT).await;
    caller.post("/v1/batches", PROMPT).await;
    caller.post("/resource_server/api/streaming/data/", PROMPT).await;
    caller.with_key("mAdE-uP-tOkEn").ask(CHAT, &with_prompt(MODEL)).await;
    observed.traffic().await;
    observed.gateway.wait_until_idle(Duration::from_secs(10));
    // Rows, with all their parameters, go to the database once a second.
    sleep(Duration::from_secs(2)).await;
}

async fn holds_no_secret(format: &str, to_file: bool) {
    let server = quoting();
    let mut settings = vec![("logging.format", format), ("server.admin_token", ADMIN_TOKEN)];
    if to_file {
        settings.push(("logging.file", "figw.log"));
    }
    settings.push(("logging.max_bytes", "1GiB"));
    settings.push(("logging.prompts", "full"));
    let variables = [("RUST_LOG", "trace")];
    let mut entries = quoting_entries(&server);
    entries.push(FakeGlobus::endpoint_entry(
        "sophia",
        QUOTING_REMOTE,
        COMPUTE_ENDPOINT,
        QUOTING_FUNCTION,
    ));
    let mut observed = Observed::start_with(&settings, entries, &variables);
    provoke(&observed).await;
    observed.gateway.terminate();
    assert!(observed.gateway.wait_for_exit(Duration::from_secs(30)).success());
    let mut log = observed.gateway.log();
    if to_file {
        log.push_str(&fs::read_to_string(observed.gateway.directory().join("figw.log")).unwrap());
    }
    assert!(log.contains("TRACE") || log.contains("\"trace\""), "it was asked for everything");
    assert!(log.contains("figw::access") && log.len() > 10_000);
    let key = observed.gateway.key().to_owned();
    for secret in [
        PROMPT,
        ANSWER,
        &key,
        ADMIN_TOKEN,
        BACKEND_KEY,
        REDIS_PASSWORD,
        "unused-secret",
        APPLICATION_SECRET,
        COMPUTE_CLIENT_SECRET,
        STREAMING_SECRET,
        "mAdE-uP-tOkEn",
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_prompt_is_in_a_log_for_people() {
    holds_no_secret("text", false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_and_no_prompt_is_in_a_log_file_for_collectors() {
    holds_no_secret("json", true).await;
}
