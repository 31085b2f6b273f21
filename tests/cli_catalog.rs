//! An operator fills the catalogue by hand and from files, through the program itself.
#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking"
)]

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    thread,
};

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// An operator with a fresh, migrated SQLite database.
struct Operator {
    home: TempDir,
}

impl Operator {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let database = home.path().join("figw.db");
        let config = format!("database: {{url: \"sqlite:{}\"}}\n", database.display());
        std::fs::write(home.path().join("config.yaml"), config).unwrap();
        let operator = Self { home };
        operator.succeeds(&["migrate"]);
        operator
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::from_std(self.process(args));
        command.write_stdin("");
        command
    }

    /// As [`Self::command`], with streams that a test can set.
    fn process(&self, args: &[&str]) -> std::process::Command {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_figw"));
        process.current_dir(self.home.path()).env_remove("FIGW_CONFIG");
        process.stdin(std::process::Stdio::null());
        process.args(["-c", "config.yaml"]).args(args);
        process
    }

    /// Runs a command that must work and returns its standard output.
    fn succeeds(&self, args: &[&str]) -> String {
        let output = self.command(args).assert().success().get_output().stdout.clone();
        String::from_utf8(output).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<_> = ["--output", "json"].iter().chain(args).copied().collect();
        serde_json::from_str(&self.succeeds(&args)).unwrap()
    }

    /// Runs a command that must end with `status` and returns its standard error.
    fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.command(args).assert().code(status).get_output().stderr.clone();
        String::from_utf8(output).unwrap()
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn has_cluster(&self) {
        self.succeeds(&[
            "cluster",
            "add",
            "lab",
            "--adapter",
            "direct-api",
            "--frameworks",
            "vllm,api",
        ]);
    }

    fn has_endpoint(&self, model: &str, url: &str) {
        self.has_cluster();
        self.succeeds(&[
            "endpoint",
            "register",
            "--cluster",
            "lab",
            "--framework",
            "vllm",
            "--model",
            model,
            "--api-url",
            url,
        ]);
    }
}

fn fixture(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(name).display().to_string()
}

#[test]
fn a_cluster_is_added_shown_changed_and_removed() {
    let operator = Operator::new();
    operator.succeeds(&[
        "cluster",
        "add",
        "lab",
        "--adapter",
        "direct-api",
        "--frameworks",
        "vllm",
        "--groups",
        "a,b",
    ]);
    let cluster = operator.json(&["cluster", "show", "lab"]);
    assert_eq!(cluster["routes"].as_array().unwrap().len(), 5);
    assert_eq!(cluster["access"]["groups"], serde_json::json!(["a", "b"]));

    operator.succeeds(&["cluster", "set", "lab", "--groups", "", "--routes", "chat/completions"]);
    let cluster = operator.json(&["cluster", "show", "lab"]);
    assert_eq!(cluster["routes"], serde_json::json!(["chat/completions"]));
    assert_eq!(cluster["access"], Value::Null);
    assert!(operator.succeeds(&["cluster", "list"]).contains("lab   direct-api  vllm"));

    let again =
        operator.fails(1, &["cluster", "add", "lab", "--adapter", "echo", "--frameworks", "x"]);
    assert!(again.contains("there is a cluster `lab` already"), "{again}");
    assert!(operator.fails(1, &["cluster", "show", "lob"]).contains("did you mean `lab`?"));

    let unconfirmed = operator.fails(2, &["cluster", "remove", "lab"]);
    assert!(unconfirmed.contains("give --yes"), "{unconfirmed}");
    operator.succeeds(&["cluster", "remove", "lab", "--yes"]);
    assert_eq!(operator.json(&["cluster", "list"]), serde_json::json!([]));
}

#[test]
fn without_a_terminal_a_missing_value_names_its_flag() {
    let operator = Operator::new();
    operator.has_cluster();
    for (args, flag) in [
        (vec!["cluster", "add", "x"], "--adapter"),
        (vec!["cluster", "add", "x", "--adapter", "echo"], "--frameworks"),
        (vec!["endpoint", "register"], "--cluster"),
        (vec!["endpoint", "add", "--cluster", "lab", "--framework", "vllm"], "--model"),
        (
            vec!["endpoint", "add", "--cluster", "lab", "--framework", "vllm", "--model", "m"],
            "--api-url",
        ),
        (vec!["federation", "add", "m"], "--target"),
        (vec!["key", "create", "--name", "x"], "--user"),
    ] {
        let error = operator.fails(2, &args);
        assert!(error.contains(&format!("{flag} is missing")), "{args:?}: {error}");
    }
}

#[test]
fn an_endpoint_gets_its_slug_keeps_what_is_not_set_and_guards_what_needs_it() {
    let operator = Operator::new();
    operator.has_endpoint("meta-llama/Meta-Llama-3.1-70B", "https://h/v1");
    let slug = "lab-vllm-meta-llamameta-llama-31-70b";

    operator.succeeds(&["endpoint", "set", slug, "--api-key-env", "LAB_KEY", "--tpm-user", "100"]);
    operator.succeeds(&["endpoint", "set", slug, "--enabled", "false"]);
    let endpoint = operator.json(&["endpoint", "show", slug]);
    assert_eq!(endpoint["settings"]["api_url"], "https://h/v1");
    assert_eq!(endpoint["settings"]["api_key"]["env"], "LAB_KEY");
    assert_eq!((&endpoint["tpm_user"], &endpoint["enabled"]), (&100.into(), &false.into()));

    let wrong = operator.fails(2, &["endpoint", "set", slug, "--delay", "1s"]);
    assert!(wrong.contains("--delay is a setting of echo"), "{wrong}");
    let url = operator.fails(1, &["endpoint", "set", slug, "--api-url", "nonsense"]);
    assert!(url.contains("`nonsense` is not a URL"), "{url}");

    operator.succeeds(&["federation", "add", "llama", "--target", &format!("{slug},weight=2")]);
    let federation = operator.json(&["federation", "show", "llama"]);
    assert_eq!(federation["targets"][0]["weight"], 2);
    let needed = operator.fails(1, &["endpoint", "remove", slug, "--yes"]);
    assert!(needed.contains("still used by federation `llama`"), "{needed}");
    let needed = operator.fails(1, &["cluster", "remove", "lab", "--yes"]);
    assert!(needed.contains(&format!("still used by endpoint `{slug}`")), "{needed}");

    operator.succeeds(&["federation", "remove", "llama", "--yes"]);
    operator.succeeds(&["endpoint", "remove", slug, "--yes"]);
    operator.succeeds(&["cluster", "remove", "lab", "--yes"]);
}

/// Answers one HTTP request with `status` and `body`, and hands the request back.
fn answer_once(status: &str, body: &str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        // The smallest request ends with the only `]` and `}` that are followed by nothing.
        while !String::from_utf8_lossy(&request).trim_end().ends_with('}') {
            let mut chunk = [0; 4096];
            let read = stream.read(&mut chunk).unwrap();
            assert_ne!(read, 0, "the client closed before its request was whole");
            request.extend_from_slice(&chunk[..read]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, server)
}

#[test]
fn testing_an_endpoint_sends_one_real_request_with_its_key() {
    let operator = Operator::new();
    let (url, server) = answer_once("200 OK", r#"{"model": "m-2", "choices": []}"#);
    operator.has_endpoint("m", &url);
    operator.succeeds(&["endpoint", "set", "lab-vllm-m", "--api-key-env", "LAB_KEY"]);

    let output = operator
        .command(&["--output", "json", "endpoint", "test", "lab-vllm-m"])
        .env("LAB_KEY", "hush")
        .assert()
        .success();
    let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!((&report["status"], &report["model"]), (&200.into(), &"m-2".into()));
    let request = server.join().unwrap();
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.to_lowercase().contains("authorization: bearer hush\r\n"), "{request}");

    let (url, server) = answer_once("503 Service Unavailable", r#"{"error": "asleep"}"#);
    operator.succeeds(&["endpoint", "set", "lab-vllm-m", "--api-url", &url, "--api-key-env", ""]);
    let output = operator.command(&["endpoint", "test", "lab-vllm-m"]).assert().code(1);
    let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(text.contains("failed, status 503"), "{text}");
    server.join().unwrap();
}

#[test]
fn a_back_end_that_repeats_its_key_does_not_bring_it_into_a_report() {
    let operator = Operator::new();
    let body = format!("{{\"error\": \"{}AUTH=Bearer hush-hush\"}}", "x".repeat(275));
    let (url, server) = answer_once("500 Internal Server Error", &body);
    operator.has_endpoint("m", &url);
    operator.succeeds(&["endpoint", "set", "lab-vllm-m", "--api-key-env", "LAB_KEY"]);
    let output = operator
        .command(&["endpoint", "test", "lab-vllm-m"])
        .env("LAB_KEY", "hush-hush")
        .assert()
        .code(1);
    let said = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
    assert!(said.contains("AUTH=") && !said.contains("hush"), "{said}");
    server.join().unwrap();
}

#[test]
fn an_echo_endpoint_needs_no_settings_and_answers_its_own_test() {
    let operator = Operator::new();
    operator.succeeds(&["cluster", "add", "dev", "--adapter", "echo", "--frameworks", "api"]);
    operator.succeeds(&[
        "endpoint",
        "add",
        "--cluster",
        "dev",
        "--framework",
        "api",
        "--model",
        "e",
    ]);
    let report = operator.json(&["endpoint", "test", "dev-api-e"]);
    assert_eq!((&report["ok"], &report["adapter"]), (&true.into(), &"echo".into()));
}

#[test]
fn a_flag_that_the_clusters_adapter_does_not_take_is_named_before_what_is_missing() {
    let operator = Operator::new();
    operator.succeeds(&[
        "cluster",
        "add",
        "sophia",
        "--adapter",
        "globus-compute",
        "--frameworks",
        "vllm",
    ]);
    for more in [&[][..], &["--framework", "vllm", "--model", "m"]] {
        let args: Vec<_> = ["endpoint", "add", "--cluster", "sophia", "--api-url", "http://h/v1"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let error = operator.fails(2, &args);
        let expected = "--api-url does not fit cluster `sophia`, whose adapter is globus-compute";
        assert!(error.contains(expected), "{error}");
    }
    let args = "endpoint add --cluster sophia --framework vllm --model m --adapter direct-api";
    let args: Vec<_> = args.split(' ').chain(["--delay", "1s"]).collect();
    let error = operator.fails(2, &args);
    assert!(error.contains("--delay is a setting of echo"), "{error}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_but_a_full_disk_is() {
    let operator = Operator::new();
    for args in [&["cluster", "list"][..], &["--output", "json", "config", "show"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = operator.process(args).stdout(writer).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{args:?}");

        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = operator.process(args).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[test]
fn maintenance_is_switched_on_with_a_notice_and_off_again() {
    let operator = Operator::new();
    operator.has_cluster();
    operator.succeeds(&["maintenance", "on", "lab", "--notice", "Moving racks."]);
    let on = operator.json(&["maintenance", "status", "lab"]);
    assert_eq!((&on["maintenance"], &on["notice"]), (&true.into(), &"Moving racks.".into()));
    operator.succeeds(&["maintenance", "off", "lab"]);
    assert_eq!(operator.json(&["maintenance", "status"])[0]["maintenance"], false);
    operator.fails(1, &["maintenance", "on", "nowhere"]);
}

#[test]
fn firsts_files_load_once_and_the_dump_loads_back() {
    let operator = Operator::new();
    let files = [
        "first_endpoints.json",
        "first_clusters.json",
        "first_older_endpoints.json",
        "first_older_federation.json",
    ]
    .map(fixture);
    let load: Vec<_> =
        ["fixtures", "load"].into_iter().chain(files.iter().map(String::as_str)).collect();

    let first = operator.json(&load);
    assert_eq!((&first["created"], &first["unchanged"]), (&12.into(), &0.into()), "{first}");
    let second = operator.json(&load);
    assert_eq!((&second["created"], &second["unchanged"]), (&0.into(), &12.into()), "{second}");

    let dump = operator.succeeds(&["fixtures", "dump"]);
    assert_eq!(dump, operator.succeeds(&["fixtures", "dump"]));
    let dump = operator.file("dump.yaml", &dump);
    assert_eq!(operator.json(&["fixtures", "load", &dump])["unchanged"], 12);

    let other = Operator::new();
    assert_eq!(other.json(&["fixtures", "load", &dump])["created"], 12);
}

#[test]
fn a_mistake_in_one_file_loads_nothing_of_any() {
    let operator = Operator::new();
    let bad = operator.file(
        "bad.json",
        r#"[{"model": "resource_server_async.endpoint", "pk": 4,
        "fields": {"cluster": "sophia", "framework": "vllm"}}]"#,
    );
    for command in ["load", "check"] {
        let error =
            operator.fails(1, &["fixtures", command, &fixture("first_clusters.json"), &bad]);
        assert!(error.contains("bad.json[0] (pk 4): model: is missing"), "{error}");
        assert!(error.contains("endpoint_adapter: is missing"), "{error}");
        assert_eq!(error.contains("nothing was loaded"), command == "load", "{error}");
    }
    assert_eq!(operator.json(&["cluster", "list"]), serde_json::json!([]));
    operator.fails(1, &["fixtures", "load", "nowhere.json"]);
}

#[test]
fn a_check_says_what_it_could_not_follow() {
    let operator = Operator::new();
    let cluster =
        "clusters: [{name: lab, adapter: echo, frameworks: [api], routes: [chat/completions]}]\n";
    let endpoint =
        "endpoints: [{slug: e, cluster: lab, framework: api, model: m, adapter: echo}]\n";
    let whole = operator.file("whole.yaml", &format!("version: 1\n{cluster}{endpoint}"));
    let said = operator.succeeds(&["fixtures", "check", &whole]);
    assert_eq!(said, "2 objects, no mistakes found\n");

    let part = operator.file("part.yaml", &format!("version: 1\n{endpoint}"));
    let said = operator.succeeds(&["fixtures", "check", &part]);
    let expected = "1 object, no mistakes found; 1 reference to something outside these files was \
                    not checked\n";
    assert_eq!(said, expected);
    assert_eq!(operator.json(&["fixtures", "check", &part])["unchecked"], 1);
}

#[test]
fn a_key_is_shown_once_listed_without_its_text_and_revoked_by_name() {
    let operator = Operator::new();
    let created = operator.json(&[
        "key",
        "create",
        "--name",
        "notebook",
        "--user",
        "ada@anl.gov",
        "--groups",
        "a,b",
        "--expires",
        "90d",
        "--models",
        "m",
    ]);
    let text = created["key"].as_str().unwrap();
    assert!(text.starts_with("figw_") && text.len() == 48, "{text}");
    let plain = operator.succeeds(&["key", "create", "--name", "other", "--user", "x"]);
    assert_eq!((plain.lines().count(), plain.trim().len()), (1, 48));

    let list = operator.json(&["key", "list"]);
    for moment in ["created_at", "expires_at"] {
        assert_eq!(list[0][moment], created[moment], "{moment}");
    }
    assert_eq!((&list[0]["state"], &list[0]["id"]), (&"active".into(), &created["id"]));
    assert!(!list.to_string().contains(text));
    assert!(!operator.succeeds(&["key", "list"]).contains(text));

    assert!(operator.succeeds(&["key", "revoke", "notebook"]).contains("is revoked"));
    assert!(operator.succeeds(&["key", "revoke", "notebook"]).contains("was revoked already"));
    assert_eq!(operator.json(&["key", "list"])[0]["state"], "revoked");
    operator.fails(1, &["key", "revoke", "nothing"]);
    operator.fails(2, &["key", "create", "--name", "x", "--user", "y", "--expires", "soon"]);
    let said = operator.fails(2, &["key", "create", "--name", "x", "--user", "y\nz"]);
    assert!(said.contains("--user has a line break"), "{said}");
}
