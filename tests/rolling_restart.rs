//! `figw rolling-restart` on a fleet of real gateways, and everything that stops it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fmt::Write,
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{
    client::Caller,
    fake::Fake,
    gateway::{Gateway, Plan},
    load::{Load, assert_all_answered},
};
use tempfile::TempDir;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// Three gateways that share nothing but their back end, and the configuration of their operator.
struct Fleet {
    directory: TempDir,
    gateways: Vec<Gateway>,
    _fake: Fake,
}

impl Fleet {
    fn start() -> Self {
        let fake = Fake::start();
        let gateways = NAMES.map(|_| {
            Plan::in_front_of(fake.api_url())
                .models(["fake-model", "fault-slow-chunks-100"])
                .set("server.drain_grace", "200ms")
                .start()
        });
        let fleet =
            Self { directory: TempDir::new().unwrap(), gateways: gateways.into(), _fake: fake };
        for (name, gateway) in NAMES.iter().zip(&fleet.gateways) {
            fleet.restart_with(name, &Self::proper_restart(gateway));
        }
        fleet.configure(&[]);
        fleet
    }

    /// What restarts a gateway as a service manager would: the old process ends, a new one begins.
    fn proper_restart(gateway: &Gateway) -> String {
        let figw = gateway.command();
        let words: Vec<_> = std::iter::once(figw.get_program())
            .chain(figw.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let variables: Vec<_> = figw
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
            .map(|(name, value)| format!("export {name}='{value}'"))
            .collect();
        let pid_file = gateway.directory().join("pid");
        fs::write(&pid_file, gateway.pid().to_string()).unwrap();
        format!(
            "{variables}\ncd '{directory}'\nold=$(cat pid)\nkill $old\n\
             while [ -d /proc/$old ] && ! grep -q '^State:.Z' /proc/$old/status; do sleep 0.05; done\n\
             setsid {figw} serve </dev/null >>serve.log 2>&1 &\necho $! >pid\n",
            variables = variables.join("\n"),
            directory = gateway.directory().display(),
            figw = words.join(" "),
        )
    }

    fn script(&self, name: &str) -> PathBuf {
        self.directory.path().join(format!("restart-{name}"))
    }

    fn restart_with(&self, name: &str, script: &str) {
        fs::write(self.script(name), script).unwrap();
    }

    /// Writes the operator's configuration, with these lines in `rolling_restart`.
    fn configure(&self, lines: &[&str]) {
        let mut text = format!(
            "server: {{state_dir: \"{}\"}}\nrolling_restart:\n",
            self.directory.path().display()
        );
        let usual = ["stabilise: 500ms", "ready_timeout: 10s"].into_iter();
        let key = |line: &str| line.split(':').next().map(ToOwned::to_owned);
        let usual = usual.filter(|line| lines.iter().all(|other| key(other) != key(line)));
        for line in usual.chain(lines.iter().copied()) {
            writeln!(text, "  {line}").unwrap();
        }
        text.push_str("instances:\n");
        for (name, gateway) in NAMES.iter().zip(&self.gateways) {
            writeln!(
                text,
                "- {{name: {name}, url: \"{}\", admin_url: \"{}\", restart: [bash, \"{}\"]}}",
                gateway.url(),
                gateway.admin_url(),
                self.script(name).display()
            )
            .unwrap();
        }
        fs::write(self.directory.path().join("config.yaml"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command.arg("--config").arg(self.directory.path().join("config.yaml"));
        command.arg("rolling-restart").args(arguments).stdin(Stdio::null());
        command
    }

    fn roll(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// It must stop, saying all of this in one last line.
    #[track_caller]
    fn stops(&self, arguments: &[&str], words: &[&str]) {
        let output = self.roll(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap();
        for word in words {
            assert!(last.contains(word), "no '{word}' in: {last}");
        }
    }

    fn started(&self) -> Vec<Value> {
        self.gateways.iter().map(|gateway| gateway.status()["started_at"].clone()).collect()
    }

    fn all_serve(&self) {
        for gateway in &self.gateways {
            let status = gateway.status();
            assert!(status["ready"] == true && status["draining"] == false, "{status}");
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for gateway in &self.gateways {
            let pid = fs::read_to_string(gateway.directory().join("pid")).unwrap_or_default();
            let _ = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_restarted_and_its_neighbours_serve_on() {
    let fleet = Fleet::start();
    let before = fleet.started();
    let plan = fleet.roll(&["--dry-run"]);
    let plan = String::from_utf8(plan.stdout).unwrap();
    assert!(NAMES.iter().all(|name| plan.contains(&format!("restart-{name}"))), "{plan}");
    assert_eq!(fleet.started(), before, "a plan does nothing");

    let output = fleet.command(&["--output", "json"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["instances"], serde_json::json!(NAMES));
    assert_eq!(events.last().unwrap()["type"], "finished");
    let steps: Vec<_> = events.iter().filter(|event| event["instance"] == "two").collect();
    let steps: Vec<_> = steps.iter().filter_map(|event| event["step"].as_str()).collect();
    let mut distinct = steps.clone();
    distinct.dedup();
    assert_eq!(distinct, ["check", "drain", "wait", "restart", "ready", "watch"]);
    for (old, new) in before.iter().zip(fleet.started()) {
        assert_ne!(*old, new);
    }
    fleet.all_serve();

    let only = fleet.roll(&["--only", "three"]);
    assert_eq!(only.status.code(), Some(0), "{}", String::from_utf8_lossy(&only.stderr));
    assert_eq!(fleet.roll(&["--only", "four"]).status.code(), Some(2));
    assert_eq!(fleet.roll(&["--resume"]).status.code(), Some(2), "nothing had stopped");
}

#[test]
fn the_first_failure_stops_everything_and_resume_finishes() {
    let fleet = Fleet::start();
    let proper = fs::read_to_string(fleet.script("two")).unwrap();
    let before = fleet.started();
    fleet.restart_with("two", "echo 'no such unit' >&2; exit 5");
    fleet.stops(&[], &["two", "restarting", "no such unit", "exit status: 5", "--resume"]);
    let now = fleet.started();
    assert!(now[0] != before[0] && now[1] == before[1] && now[2] == before[2]);
    // Its own process goes on, drained; the next run does not begin with another one.
    fleet.stops(&[], &["one", "two is draining", "nothing was done to it"]);

    fleet.restart_with("two", "sleep 60");
    fleet.configure(&["restart_timeout: 300ms"]);
    fleet.stops(&["--only", "two"], &["two", "has not ended after 300ms"]);
    fleet.restart_with("two", "true");
    fleet.configure(&["ready_timeout: 500ms"]);
    fleet.stops(&["--only", "two"], &["two", "the old process still runs", "500ms"]);

    fleet.restart_with("two", &proper);
    fleet.configure(&[]);
    let resumed = fleet.roll(&["--resume"]);
    let said = String::from_utf8_lossy(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(0), "{said}");
    assert!(!said.contains("one: "), "{said}");
    assert_eq!(fleet.started()[0], now[0]);
    fleet.all_serve();
}

#[test]
fn one_that_does_not_come_back_or_does_not_stay_is_named() {
    let fleet = Fleet::start();
    let proper = fs::read_to_string(fleet.script("one")).unwrap();
    fleet.restart_with(
        "one",
        "kill $(cat DIR/pid); sleep 1"
            .replace("DIR", fleet.gateways[0].directory().to_str().unwrap())
            .as_str(),
    );
    fleet.configure(&["ready_timeout: 1s"]);
    fleet.stops(&[], &["one", "waiting until it is ready", "onnection refused"]);
    fleet.stops(&["--only", "two"], &["two", "one does not answer"]);
    let start = format!(
        "{}\n",
        proper.lines().filter(|line| !line.contains("old")).collect::<Vec<_>>().join("\n")
    );
    let started = Command::new("bash").arg("-c").arg(start).stderr(Stdio::null()).status().unwrap();
    assert!(started.success());
    let given_up = Instant::now() + Duration::from_secs(20);
    while fleet.gateways[0].get("/ready").is_none_or(|(status, _)| status != 200) {
        assert!(Instant::now() < given_up);
        thread::sleep(Duration::from_millis(50));
    }

    // It becomes unready while it is watched.
    let drain = format!(
        "{proper}\n(sleep 1.5; curl -sS -X POST {}/admin/drain >/dev/null) &\n",
        fleet.gateways[0].admin_url()
    );
    fleet.restart_with("one", &drain);
    fleet.configure(&["stabilise: 4s"]);
    fleet.stops(&["--only", "one"], &["one", "watching", "no longer ready"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_in_flight_are_waited_for_and_an_interruption_takes_the_drain_back() {
    let fleet = Fleet::start();
    let before = fleet.started();
    let caller = Caller::of(&fleet.gateways[0]);
    let slow = tokio::spawn(async move {
        let body = support::requests::streamed_chat("fault-slow-chunks-100", 60);
        let opened = caller.open("/v1/chat/completions", &body).await.unwrap();
        support::client::read(opened, Instant::now()).await
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    fleet.configure(&["drain_timeout: 1s"]);
    fleet.stops(&[], &["one", "1 requests are still in flight after 1s", "takes requests again"]);
    fleet.all_serve();

    fleet.configure(&[]);
    let mut running = fleet.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
    let given_up = Instant::now() + Duration::from_secs(10);
    while fleet.gateways[0].status()["draining"] == false {
        assert!(Instant::now() < given_up);
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(fleet.roll(&[]).status.code(), Some(75), "one at a time");
    Command::new("kill").arg(running.id().to_string()).status().unwrap();
    assert_eq!(running.wait().unwrap().code(), Some(1));
    fleet.all_serve();
    assert_eq!(fleet.started(), before);
    let answer = slow.await.unwrap();
    assert!(!answer.cut && answer.status == 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_instance_sends_callers_elsewhere_after_its_grace() {
    let fleet = Fleet::start();
    let gateway = &fleet.gateways[0];
    let load = Load::start(&Caller::of(gateway), "fake-model", 20);
    let post = |what: &str| {
        let url = format!("{}/admin/{what}", gateway.admin_url());
        let sent = Command::new("curl").args(["-sS", "-X", "POST", &url]).output().unwrap();
        assert!(sent.status.success());
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_all_answered(&load.stop().await);
    post("drain");
    let caller = Caller::of(gateway);
    let early = caller.ask("chat/completions", &support::requests::chat("fake-model")).await;
    assert_eq!(early.status, 200, "within the grace");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = caller.ask("chat/completions", &support::requests::chat("fake-model")).await;
    assert_eq!((late.status, late.header("retry-after")), (503, Some("1")));
    assert_eq!(late.json()["error"]["code"], "draining");
    post("undrain");
    caller.ask("chat/completions", &support::requests::chat("fake-model")).await.ok();
}
