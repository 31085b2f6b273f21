//! Starting: what keeps figw from it is said in one line, and `--dev` needs nothing at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod support;

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    fake::{Fake, MODELS},
    gateway::{Gateway, Plan},
    ports::free_port,
};
use tempfile::TempDir;

/// Longest time to fail, and longest time to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for a process that should end by itself.
fn end_of(mut command: Command) -> Output {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("figw starts");
    let given_up = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > given_up {
            child.kill().unwrap();
            panic!("figw runs on: {:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(10));
    }
    child.wait_with_output().unwrap()
}

/// The command fails with this status and says one line that has these words in it.
#[track_caller]
fn fails(command: Command, status: i32, words: &[&str]) {
    let output = end_of(command);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{said}");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 1, "one line, not: {said}");
    assert!(lines[0].starts_with("error: "), "{said}");
    for word in words {
        assert!(said.contains(word), "no '{word}' in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert!(output.stdout.is_empty(), "{:?}", output.stdout);
}

fn prepared() -> Gateway {
    Plan::in_front_of("http://127.0.0.1:9/v1").models(["fake-model"]).prepare()
}

fn serve(gateway: &Gateway) -> Command {
    let mut command = gateway.command();
    command.arg("serve");
    command
}

#[test]
fn on_a_taken_port() {
    let gateway = prepared();
    let taken = TcpListener::bind(gateway.address()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(serve(&gateway), 1, &[&address, "another program has that port", "server.listen"]);
    let mut admin = serve(&gateway);
    admin.env("FIGW_SERVER__LISTEN", format!("127.0.0.1:{}", free_port()));
    admin.env("FIGW_SERVER__ADMIN_LISTEN", &address);
    fails(admin, 1, &[&address, "another program has that port", "server.admin_listen"]);
}

#[test]
fn where_it_may_not_write() {
    let gateway = prepared();
    let file = gateway.directory().join("a-file");
    fs::write(&file, "").unwrap();
    let below = file.join("state");
    let mut command = serve(&gateway);
    command.env("FIGW_SERVER__STATE_DIR", &below);
    fails(command, 1, &[below.to_str().unwrap(), "set server.state_dir"]);
}

#[test]
fn without_a_database() {
    let gateway = prepared();
    let file = gateway.directory().join("a-file");
    fs::write(&file, "").unwrap();
    let mut unopenable = serve(&gateway);
    unopenable.env("FIGW_DATABASE__URL", format!("sqlite:{}/figw.db", file.display()));
    fails(unopenable, 1, &["database", "a-file/figw.db"]);

    let noise = gateway.directory().join("noise.db");
    fs::write(&noise, "this is no database, whatever its name says; ".repeat(100)).unwrap();
    let mut no_database = serve(&gateway);
    no_database.env("FIGW_DATABASE__URL", format!("sqlite:{}", noise.display()));
    fails(no_database, 1, &["noise.db"]);

    let mut away = serve(&gateway);
    let url = format!("postgres://figw:the-password@127.0.0.1:{}/figw", free_port());
    away.env("FIGW_DATABASE__URL", url);
    let output = end_of(away);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.starts_with("error: ") && said.contains("unavailable"), "{said}");
    assert!(!said.contains("the-password"), "{said}");

    let mut nonsense = serve(&gateway);
    nonsense.env("FIGW_DATABASE__URL", "mysql://localhost/figw");
    fails(nonsense, 2, &["database.url"]);
}

#[test]
fn on_a_schema_that_is_not_its_own() {
    let gateway = prepared();
    let mut empty = serve(&gateway);
    let new = gateway.directory().join("new.db");
    empty.env("FIGW_DATABASE__URL", format!("sqlite:{}", new.display()));
    fails(empty, 1, &["figw migrate"]);

    let path = gateway.database().strip_prefix("sqlite:").unwrap();
    let database = rusqlite::Connection::open(path).unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 VALUES (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
    database.execute(newer, []).unwrap();
    fails(serve(&gateway), 1, &["from_the_future"]);
}

#[test]
fn with_nobody_to_let_in() {
    let gateway = prepared();
    gateway.run(&["key", "revoke", "test"]);
    fails(serve(&gateway), 2, &["figw key create"]);
}

#[test]
fn with_a_configuration_it_cannot_follow() {
    let gateway = prepared();
    let mut tls = serve(&gateway);
    tls.env("FIGW_SERVER__TLS__CERTIFICATE", "/a.pem").env("FIGW_SERVER__TLS__KEY", "/b.pem");
    fails(tls, 2, &["server.tls.certificate", "/a.pem", "No such file"]);

    let mut open_admin = serve(&gateway);
    open_admin.env("FIGW_SERVER__ADMIN_LISTEN", "0.0.0.0:0");
    fails(open_admin, 2, &["server.admin_token"]);

    let mut secret = serve(&gateway);
    secret.env("FIGW_SERVER__ADMIN_TOKEN", "{env: NO_SUCH_VARIABLE}");
    fails(secret, 2, &["server.admin_token", "NO_SUCH_VARIABLE"]);

    let file = gateway.directory().join("config.yaml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("  drain_grace:", "  drain_grase:")).unwrap();
    fails(serve(&gateway), 2, &["config.yaml", "drain_grase", "drain_grace"]);
    fs::write(&file, "server: [").unwrap();
    fails(serve(&gateway), 2, &["config.yaml"]);
    fs::remove_file(&file).unwrap();
    fails(serve(&gateway), 2, &["config.yaml"]);
}

/// `serve --dev` in a directory.
struct Dev {
    child: Child,
    greeting: String,
}

impl Dev {
    fn command(directory: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command.args(["serve", "--dev"]).current_dir(directory);
        command.env("FIGW_SERVER__LISTEN", format!("127.0.0.1:{}", free_port()));
        command.env("FIGW_SERVER__ADMIN_LISTEN", format!("127.0.0.1:{}", free_port()));
        command
    }

    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let log = directory.join("log");
        let mut command = Self::command(directory);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut greeting = String::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        while !greeting.contains("Ctrl-C") {
            let read = lines.read_line(&mut greeting).unwrap();
            assert!(read > 0, "no greeting: {greeting}{}", fs::read_to_string(&log).unwrap());
        }
        Self { child, greeting }
    }

    fn key(&self) -> &str {
        let line = self.greeting.lines().find(|line| line.contains("API key")).expect("a key");
        line.split_whitespace().last().unwrap()
    }

    /// Pastes the line into a shell, as the greeting says.
    fn paste(&self) -> Value {
        let line = self.greeting.lines().find(|line| line.starts_with("curl ")).expect("curl …");
        let pasted = Command::new("sh").args(["-c", line]).output().unwrap();
        assert!(pasted.status.success(), "{line}: {}", String::from_utf8_lossy(&pasted.stderr));
        serde_json::from_slice(&pasted.stdout).unwrap_or_else(|e| {
            panic!("{e}: {}", String::from_utf8_lossy(&pasted.stdout));
        })
    }

    fn stop(mut self) {
        let sent = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let given_up = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < given_up, "Ctrl-C does not stop it");
            thread::sleep(Duration::from_millis(10));
        }
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn dev_needs_nothing_and_its_line_can_be_pasted() {
    let directory = TempDir::new().unwrap();
    let first = Dev::start(directory.path(), &[]);
    let answer = first.paste();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello, figw!", "{answer}");
    assert!(answer["usage"]["completion_tokens"].as_u64().unwrap() > 0, "{answer}");
    let key = first.key().to_owned();
    first.stop();
    let made: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(made.iter().all(|name| name == "figw-dev" || name == "log"), "{made:?}");
    let second = Dev::start(directory.path(), &[]);
    assert_eq!(second.key(), key, "a second start has the key of the first");
    second.paste();
    second.stop();
}

#[test]
fn dev_serves_every_model_that_a_back_end_lists() {
    let directory = TempDir::new().unwrap();
    let fake = Fake::start();
    for url in [fake.url(), fake.api_url()] {
        let dev = Dev::start(directory.path(), &["--backend", &url]);
        for model in MODELS {
            assert!(dev.greeting.contains(model), "{}", dev.greeting);
        }
        assert_eq!(dev.paste()["model"], MODELS[0]);
        dev.stop();
    }
}

#[test]
fn dev_says_what_is_wrong_with_its_back_end() {
    let directory = TempDir::new().unwrap();
    let with = |backend: &str| {
        let mut command = Dev::command(directory.path());
        command.args(["--backend", backend]);
        command
    };
    let nobody = format!("http://127.0.0.1:{}", free_port());
    fails(with(&nobody), 1, &["--backend", &nobody, "cannot reach"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Dev::command(directory.path());
    command.env("FIGW_SERVER__LISTEN", taken.local_addr().unwrap().to_string());
    fails(command, 1, &["another program has that port", "set FIGW_SERVER__LISTEN"]);
    let mut command = Dev::command(directory.path());
    command.env("FIGW_SERVER__ADMIN_LISTEN", taken.local_addr().unwrap().to_string());
    fails(command, 1, &["another program has that port", "set FIGW_SERVER__ADMIN_LISTEN"]);
    let mut outside = Dev::command(directory.path());
    outside.env("FIGW_SERVER__LISTEN", "0.0.0.0:0");
    fails(outside, 2, &["loopback"]);
    for address in ["ftp://x", "localhost:8000", "nonsense"] {
        let output = end_of(with(address));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--backend must be an http:// or https:// address"), "{said}");
    }
}
