//! The real program in a directory of its own, with its configuration, catalogue and a key.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ports::free_port;

/// How long figw may take to become ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The cluster and framework that the endpoints belong to.
pub const CLUSTER: &str = "local";
pub const FRAMEWORK: &str = "vllm";
/// What figw sends to the back end as its bearer token.
pub const BACKEND_KEY: &str = "the-back-end-key";

/// What is sent to admin listeners: those that want a token are to want this one.
pub const ADMIN_TOKEN: &str = "the-admin-token";

/// What the gateway is to start with.
pub struct Plan {
    api_url: String,
    database: Option<String>,
    models: Vec<(String, String, Vec<String>)>,
    settings: String,
    entries: Vec<Value>,
    variables: Vec<(String, String)>,
}

impl Plan {
    /// A gateway with SQLite in front of the back end at `api_url` (`http://…/v1`), for which there is
    /// room enough whatever the machine's disk has free.
    pub fn in_front_of(api_url: impl Into<String>) -> Self {
        let plan = Self {
            api_url: api_url.into(),
            database: None,
            models: Vec::new(),
            settings: String::new(),
            entries: Vec::new(),
            variables: Vec::new(),
        };
        plan.set("health.disk_free_warning", "64KiB").set("health.disk_free_critical", "32KiB")
    }

    /// With this address of the back end instead.
    #[must_use]
    pub fn back_end(self, api_url: impl Into<String>) -> Self {
        Self { api_url: api_url.into(), ..self }
    }

    /// With this value for one key, such as `gateway.idle_timeout`, whatever the file says.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        let variable = format!("FIGW_{}", key.replace('.', "__").to_uppercase());
        self.variables.push((variable, value.to_owned()));
        self
    }

    /// With this database instead of SQLite.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.database = Some(url.into());
        self
    }

    /// With an endpoint for each of these models, open to everybody.
    #[must_use]
    pub fn models<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let open = names.into_iter().map(|name| (CLUSTER.to_owned(), name.to_owned(), Vec::new()));
        self.models.extend(open);
        self
    }

    /// With an endpoint for this model that only members of `group` may use.
    #[must_use]
    pub fn restricted_model(mut self, name: &str, group: &str) -> Self {
        self.models.push((CLUSTER.into(), name.into(), vec![group.into()]));
        self
    }

    /// With an endpoint for this model on another cluster.
    #[must_use]
    pub fn model_on(mut self, cluster: &str, name: &str) -> Self {
        self.models.push((cluster.into(), name.into(), Vec::new()));
        self
    }

    /// With these further entries in the catalogue, in FIRST's own format.
    #[must_use]
    pub fn entries(mut self, entries: impl IntoIterator<Item = Value>) -> Self {
        self.entries.extend(entries);
        self
    }

    /// With these lines of YAML appended to the configuration: whole sections other than
    /// `server` and `database`. `GATEWAY_URL` in them becomes the address of the public listener.
    #[must_use]
    pub fn settings(mut self, yaml: &str) -> Self {
        self.settings.push_str(yaml);
        self
    }

    /// Sets everything up, without serving.
    pub fn prepare(self) -> Gateway {
        let directory = TempDir::new().expect("a temporary directory");
        let (port, admin_port) = (free_port(), free_port());
        let database = self
            .database
            .unwrap_or_else(|| format!("sqlite:{}", directory.path().join("figw.db").display()));
        let config = format!(
            "server:\n  listen: \"127.0.0.1:{port}\"\n  admin_listen: \"127.0.0.1:{admin_port}\"\n  \
             state_dir: \"{}\"\n  drain_grace: 100ms\ndatabase:\n  url: \"{database}\"\n{}",
            directory.path().join("state").display(),
            self.settings.replace("GATEWAY_URL", &format!("http://127.0.0.1:{port}")),
        );
        fs::write(directory.path().join("config.yaml"), config).expect("config.yaml written");
        let mut fixtures = fixtures(&self.api_url, &self.models);
        fixtures.extend(self.entries);
        let fixtures = Value::Array(fixtures);
        let fixtures_file = directory.path().join("fixtures.json");
        fs::write(&fixtures_file, fixtures.to_string()).expect("fixtures.json written");
        let mut gateway = Gateway {
            directory,
            port,
            admin_port,
            database,
            variables: self.variables,
            key: String::new(),
            child: None,
            status: None,
        };
        gateway.run(&["--yes", "migrate"]);
        gateway.run(&["fixtures", "load", fixtures_file.to_str().expect("a path in UTF-8")]);
        gateway.key = gateway.create_key("researcher@example.org");
        gateway
    }

    /// Sets everything up and serves.
    pub fn start(self) -> Gateway {
        let mut gateway = self.prepare();
        gateway.serve();
        gateway
    }
}

/// The catalogue in FIRST's own format.
fn fixtures(api_url: &str, models: &[(String, String, Vec<String>)]) -> Vec<Value> {
    let mut clusters: Vec<&str> = models.iter().map(|(cluster, ..)| cluster.as_str()).collect();
    clusters.sort_unstable();
    clusters.dedup();
    let routes = ["chat/completions", "completions", "embeddings", "responses", "messages"];
    let clusters = clusters.into_iter().map(|cluster| {
        json!({"model": "resource_server_async.cluster", "fields": {
            "cluster_name": cluster,
            "cluster_adapter":
                "resource_server_async.clusters.direct_api.DirectAPICluster",
            "frameworks": [FRAMEWORK],
            "openai_endpoints": routes,
            "config": {},
        }})
    });
    let endpoints = models.iter().map(|(cluster, model, groups)| {
        json!({"model": "resource_server_async.endpoint", "fields": {
            "cluster": cluster,
            "framework": FRAMEWORK,
            "model": model,
            "endpoint_adapter": "resource_server_async.endpoints.direct_api.DirectAPIEndpoint",
            "allowed_globus_groups": groups,
            "config": {"api_url": api_url, "api_key_env_name": "FAKE_BACKEND_KEY"},
        }})
    });
    clusters.chain(endpoints).collect()
}

/// A gateway; killed when dropped, with its log shown if the test has failed.
pub struct Gateway {
    directory: TempDir,
    port: u16,
    admin_port: u16,
    database: String,
    variables: Vec<(String, String)>,
    key: String,
    child: Option<Child>,
    status: Option<ExitStatus>,
}

impl Gateway {
    /// Starts `figw serve` and waits until it is ready.
    pub fn serve(&mut self) {
        self.serve_until(|gateway| gateway.get("/ready").is_some_and(|(status, _)| status == 200));
    }

    /// Starts `figw serve` and waits until its admin listener says that it is ready: for a public
    /// one that does not speak plain HTTP.
    pub fn serve_unseen(&mut self) {
        self.serve_until(|gateway| {
            let status = http_get(gateway.admin_port, "/admin/status");
            status.is_some_and(|(_, body)| body.contains("\"ready\":true"))
        });
    }

    /// Starts another process that takes the place of the one that serves, which is returned.
    pub fn take_over(&mut self) -> Child {
        let before = self.started_at();
        let old = self.child.take().expect("figw serves");
        self.serve_until_with(&["serve", "--take-over"], |gateway| {
            gateway.started_at().is_some_and(|now| Some(now) != before)
        });
        old
    }

    /// When the process that answers at the admin listener was started.
    fn started_at(&self) -> Option<String> {
        let (_, body) = http_get(self.admin_port, "/admin/status")?;
        let status: Value = serde_json::from_str(&body).ok()?;
        Some(status["started_at"].as_str()?.to_owned())
    }

    fn serve_until(&mut self, is_ready: impl Fn(&Self) -> bool) {
        self.serve_until_with(&["serve"], is_ready);
    }

    fn serve_until_with(&mut self, arguments: &[&str], is_ready: impl Fn(&Self) -> bool) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("a log file for figw");
        let child = self
            .command()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file, twice"))
            .stderr(log)
            .spawn()
            .expect("figw starts");
        self.child = Some(child);
        self.status = None;
        let given_up = Instant::now() + START_LIMIT;
        while !is_ready(self) {
            if let Some(status) = self.exited() {
                panic!("figw serve ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < given_up, "figw serve is not ready:\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// figw with this gateway's configuration; give it a subcommand.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command
            .arg("--config")
            .arg(self.directory.path().join("config.yaml"))
            .current_dir(self.directory.path())
            .env("FAKE_BACKEND_KEY", BACKEND_KEY)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Sets a variable for every command from now on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Runs a subcommand, which must succeed, and returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            self.command().args(arguments).stdin(Stdio::null()).output().expect("figw runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        assert!(status.success(), "figw {arguments:?}: {status}\n{stdout}{stderr}");
        stdout.into_owned()
    }

    /// Makes another key, without groups.
    pub fn create_key(&self, user: &str) -> String {
        self.create_key_with(&["--name", "test", "--user", user])
    }

    /// Makes another key with these arguments.
    pub fn create_key_with(&self, arguments: &[&str]) -> String {
        let made = self.run(&[&["--output", "json", "key", "create"][..], arguments].concat());
        let made: Value = serde_json::from_str(&made).expect("key create answers JSON");
        made["key"].as_str().expect("key create gives the key").to_owned()
    }

    /// The key of `researcher@example.org`.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The public listener: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the public listener is.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The URL of its database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Status and body of a GET on the public listener, or nothing when nobody answers.
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.port, path)
    }

    /// What `/admin/status` says.
    pub fn status(&self) -> Value {
        let (_, body) = http_get(self.admin_port, "/admin/status").expect("an answer");
        serde_json::from_str(&body).expect("a status in JSON")
    }

    /// Waits until no request is in flight.
    pub fn wait_until_idle(&self, within: Duration) {
        let given_up = Instant::now() + within;
        while self.status()["in_flight"] != 0 {
            assert!(Instant::now() < given_up, "still in flight: {}", self.status());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// A metric, such as `figw_breaker_open{endpoint="a"}`; nothing while it has not been set.
    pub fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(line.parse().expect("a number"))
    }

    /// All metrics, as Prometheus gets them.
    pub fn metrics(&self) -> String {
        http_get(self.admin_port, "/metrics").expect("metrics").1
    }

    /// The admin listener.
    pub fn admin_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// Where its files are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The process that serves.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("figw serves").id()
    }

    /// Resident memory now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most resident memory there has been, in KiB.
    pub fn peak_resident_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// A field of the kernel's account of the process, in KiB.
    pub fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the status of a running process");
        status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect("the kernel tells memory in KiB")
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "figw was not there to be sent {name}:\n{}", self.log());
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            self.status = child.wait().ok();
        }
    }

    /// Its exit status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let child = self.child.as_mut()?;
            self.status = child.try_wait().expect("the state of a child");
        }
        self.status
    }

    /// Waits until it has ended.
    pub fn wait_for_exit(&mut self, within: Duration) -> ExitStatus {
        let given_up = Instant::now() + within;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < given_up, "figw still runs:\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has logged so far. Lines are written 50 ms after they were made.
    pub fn log(&self) -> String {
        thread::sleep(Duration::from_millis(100));
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("serve.log")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("figw's log:\n{}", self.log());
        }
    }
}

/// Status and body that a GET is answered with, or nothing when nobody answers.
fn http_get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    tcp.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: figw\r\nconnection: close\r\n");
    write!(tcp, "{head}authorization: Bearer {ADMIN_TOKEN}\r\n\r\n").ok()?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
