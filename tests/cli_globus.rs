//! An operator registers a Globus endpoint: figw asks a small Globus of this test's own.
#![allow(
    missing_docs,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking"
)]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
};

use figw::globus::functions;
use serde_json::{Value, json};
use tempfile::TempDir;

const ONLINE: &str = "00000000-0000-4000-8000-000000000801";
const OFFLINE: &str = "00000000-0000-4000-8000-000000000802";
const UNKNOWN: &str = "00000000-0000-4000-8000-000000000803";
const FUNCTION: &str = "00000000-0000-4000-8000-000000000601";

/// What was asked: the first line, and the body.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// Globus Auth and Globus Compute at one address.
struct Globus {
    url: String,
    asked: Asked,
}

impl Globus {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Asked::default();
        let record = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &record);
            }
        });
        Self { url, asked }
    }

    fn asked(&self, line: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(first, _)| first == line).map(|(_, body)| body.clone()).collect()
    }
}

fn answer(mut stream: TcpStream, asked: &Asked) {
    let mut bytes = Vec::new();
    let (head, length) = loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).unwrap();
        bytes.extend_from_slice(&piece[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes.drain(..end + 4).collect()).unwrap().to_lowercase();
            let length = head.split_once("content-length: ");
            let length = length.map_or("0", |(_, rest)| rest.split("\r\n").next().unwrap());
            break (head.clone(), length.parse::<usize>().unwrap());
        }
        if read == 0 {
            return;
        }
    };
    let mut rest = vec![0; length - bytes.len().min(length)];
    stream.read_exact(&mut rest).unwrap();
    bytes.extend(rest);
    let line = head.split(" http/").next().unwrap().to_owned();
    let authorized = head.contains("authorization: bearer compute-token");
    let (status, body) = match line.as_str() {
        "post /v2/oauth2/token" => (
            200,
            json!({"access_token": "compute-token",
            "expires_in": 172_800, "resource_server": "funcx_service"}),
        ),
        _ if !authorized => (401, json!({"code": "UNAUTHORIZED"})),
        "post /v3/functions" => (200, json!({"function_uuid": FUNCTION})),
        line if line.contains(UNKNOWN) => (404, json!({"reason": "Endpoint not known"})),
        line if line.ends_with("/status") => {
            let online = if line.contains(OFFLINE) { "offline" } else { "online" };
            (200, json!({"status": online, "details": {"managers": 0}}))
        }
        _ => (200, json!({"uuid": "x", "name": "sophia", "display_name": null})),
    };
    asked.lock().unwrap().push((line, String::from_utf8(bytes).unwrap()));
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close");
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
}

struct Operator {
    home: TempDir,
}

impl Operator {
    fn new(globus: Option<&Globus>) -> Self {
        Self::with_account(globus, "client_id: gateway, client_secret: s3cret")
    }

    fn with_account(globus: Option<&Globus>, account: &str) -> Self {
        let home = TempDir::new().unwrap();
        let mut config = format!("database: {{url: \"sqlite:{}/db\"}}\n", home.path().display());
        if let Some(Globus { url, .. }) = globus {
            let auth = format!("auth: {{globus: {{auth_url: \"{url}\"}}}}\n");
            let compute = format!("globus_compute: {{{account}, url: \"{url}\"}}\n");
            config = [config, auth, compute].concat();
        }
        std::fs::write(home.path().join("config.yaml"), config).unwrap();
        let operator = Self { home };
        operator.succeeds("migrate");
        operator.succeeds("cluster add --name sophia --adapter globus-compute --frameworks vllm");
        operator
    }

    fn run(&self, line: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command.current_dir(self.home.path()).env_remove("FIGW_CONFIG").env("NO_PROXY", "*");
        command.args(["-c", "config.yaml"]).args(line.split(' ')).output().unwrap()
    }

    fn succeeds(&self, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The message of a command that must fail with that status.
    fn fails(&self, status: i32, line: &str) -> String {
        let output = self.run(line);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{line}: {errors}");
        assert!(!errors.contains("s3cret"), "{errors}");
        errors
    }

    fn endpoints(&self) -> Value {
        serde_json::from_str(&self.succeeds("--output json endpoint list")).unwrap()
    }
}

fn register(endpoint: &str, rest: &str) -> String {
    format!(
        "endpoint register --cluster sophia --framework vllm --model m --api-port 8000 \
         --endpoint-uuid {endpoint} {rest}"
    )
    .trim_end()
    .to_owned()
}

#[test]
fn an_endpoint_that_is_online_is_registered_with_figw_s_functions() {
    let globus = Globus::start();
    let operator = Operator::new(Some(&globus));
    operator.succeeds(&register(
        ONLINE,
        &format!("--register-functions --batch-endpoint-uuid {ONLINE}"),
    ));
    let settings = &operator.endpoints()[0]["settings"];
    assert_eq!(settings["function_uuid"], FUNCTION);
    assert_eq!(settings["batch_function_uuid"], FUNCTION);

    let registered = globus.asked("post /v3/functions");
    let read = |body: &String| serde_json::from_str::<Value>(body).unwrap();
    let [inference, batch] = registered.iter().map(read).collect::<Vec<_>>().try_into().unwrap();
    for (body, function) in [(inference, functions::INFERENCE), (batch, functions::BATCH)] {
        assert_eq!(body["function_name"], function.name);
        assert_eq!(body["function_code"], function.code());
        assert_eq!(body["meta"]["serde_identifier"], "st");
    }
    let token = globus.asked("post /v2/oauth2/token").concat();
    assert!(token.contains("grant_type=client_credentials"), "{token}");
}

#[test]
fn an_endpoint_that_is_offline_or_unknown_is_not_written_down() {
    let globus = Globus::start();
    let operator = Operator::new(Some(&globus));
    let with_function = format!("--function-uuid {FUNCTION}");
    let error = operator.fails(1, &register(OFFLINE, &with_function));
    assert!(error.contains(&format!("compute endpoint {OFFLINE} (sophia) is offline")), "{error}");
    let error = operator.fails(1, &register(UNKNOWN, "--register-functions"));
    assert!(error.contains("does not exist: Globus Compute refused with status 404"), "{error}");
    assert_eq!(operator.endpoints(), json!([]));
    assert!(globus.asked("post /v3/functions").is_empty(), "a function was left behind");

    operator.succeeds(&register(OFFLINE, &format!("{with_function} --no-check")));
    let error = operator.fails(1, &register(ONLINE, "--register-functions"));
    assert!(error.contains("there is an endpoint `sophia-vllm-m` already"), "{error}");
    assert!(globus.asked("post /v3/functions").is_empty(), "a function was left behind");
}

#[test]
fn an_endpoint_s_own_service_account_is_found_however_its_id_is_written() {
    let globus = Globus::start();
    let bare = ONLINE.replace('-', "");
    let own =
        format!("credentials_overrides: {{\"{bare}\": {{client_id: own, client_secret: s3cret}}}}");
    let operator = Operator::with_account(Some(&globus), &own);
    let error = operator.fails(2, &register(OFFLINE, "--register-functions"));
    assert!(error.contains("globus_compute.client_id and client_secret are not set"), "{error}");
    operator.succeeds(&register(ONLINE, "--register-functions"));
}

#[test]
fn without_a_service_account_the_check_must_be_waived() {
    let operator = Operator::new(None);
    let with_function = format!("--function-uuid {FUNCTION}");
    let error = operator.fails(2, &register(ONLINE, &with_function));
    assert!(error.contains("globus_compute.client_id and client_secret are not set"), "{error}");
    let error = operator.fails(2, &register(ONLINE, "--register-functions --no-check"));
    assert!(error.contains("globus_compute.client_id and client_secret are not set"), "{error}");
    operator.succeeds(&register(ONLINE, &format!("{with_function} --no-check")));
    let error = operator.fails(
        2,
        "endpoint add --cluster sophia --adapter echo --framework vllm --model e --register-functions",
    );
    assert!(error.contains("--register-functions is a setting of globus-compute"), "{error}");
}

#[test]
fn the_configuration_of_an_endpoint_allows_what_the_catalogue_has() {
    let operator = Operator::new(None);
    operator.succeeds(&register(ONLINE, &format!("--function-uuid {FUNCTION} --no-check")));
    let yaml = operator.succeeds(
        "generate globus-endpoint --scheduler pbs --for sophia-vllm-m --queue by-gpu --account tpc \
         --scheduler-option -j --walltime 24h --max-blocks 2 --worker-init module",
    );
    let config: serde_yaml::Value = serde_yaml::from_str(&yaml).unwrap();
    assert_eq!(config["allowed_functions"][0], FUNCTION);
    let provider = &config["engine"]["provider"];
    assert_eq!(provider["walltime"], "24:00:00");
    assert_eq!(provider["scheduler_options"], "#PBS -j");
    let error = operator.fails(2, "generate globus-endpoint --scheduler local --queue q");
    assert!(error.contains("a queue or partition is for PBS and Slurm"), "{error}");
}
