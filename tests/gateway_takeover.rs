//! One process takes another's place on the same port, and what systemd gives and is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    net::TcpListener,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::io::{FdFlags, fcntl_setfd};
use support::{
    client::{self, Caller},
    fake::Fake,
    gateway::{Gateway, Plan},
    load::{Load, assert_all_answered},
    ports::free_port,
    requests::streamed_chat,
};
use tokio::{task::JoinSet, time::sleep};

/// A model whose answer takes its time: this long between two pieces.
const SLOW: &str = "fault-slow-chunks-100";
const PATIENCE: Duration = Duration::from_secs(30);

async fn end_of(mut child: Child) -> ExitStatus {
    let given_up = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > given_up {
            let _ = child.kill();
            unreachable!("figw runs on");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Begins streams of about five seconds, and fails unless all of them come whole.
fn streams(gateway: &Gateway, count: usize) -> JoinSet<()> {
    let caller = Caller::of(gateway);
    let mut streams = JoinSet::new();
    for _ in 0..count {
        let caller = caller.clone();
        streams.spawn(async move {
            let begun = Instant::now();
            let body = streamed_chat(SLOW, 50);
            let opened = caller.open("/v1/chat/completions", &body).await.expect("an answer");
            let answer = client::read(opened, begun).await;
            assert!(!answer.cut && answer.status == 200, "{answer:?}");
            assert_eq!(answer.events().last(), Some(&"[DONE]"), "{answer:?}");
        });
    }
    streams
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_five_processes_in_a_row() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model", SLOW])
        .set("server.drain_grace", "500ms")
        .start();
    let load = Load::start(&Caller::of(&gateway), "fake-model", 50);
    let mut begun = 0;
    for _ in 0..5 {
        let streams = streams(&gateway, 20);
        begun += 20;
        sleep(Duration::from_millis(500)).await;
        let old = gateway.take_over();
        streams.join_all().await;
        assert_eq!(end_of(old).await.code(), Some(0), "{}", gateway.log());
    }
    let outcomes = load.stop().await;
    assert_all_answered(&outcomes);
    let rows = gateway.wait_for_usage(outcomes.len() + begun);
    assert_eq!(rows.len(), outcomes.len() + begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_does_not_come_to_serve_changes_nothing() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let load = Load::start(&Caller::of(&gateway), "fake-model", 50);
    let failed = gateway
        .command()
        .args(["serve", "--take-over"])
        .env("FIGW_DATABASE__URL", "sqlite:/nowhere/figw.db")
        .output()
        .unwrap();
    assert_ne!(failed.status.code(), Some(0));
    let mut hanging = gateway
        .command()
        .args(["serve", "--take-over"])
        .env("FIGW_SERVER__STATE_DIR", gateway.directory().join("state"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    hanging.kill().unwrap();
    hanging.wait().unwrap();
    sleep(Duration::from_millis(500)).await;
    assert_eq!(gateway.exited(), None, "{}", gateway.log());
    let old = gateway.take_over();
    assert_eq!(end_of(old).await.code(), Some(0));
    assert_all_answered(&load.stop().await);
}

/// A process that takes over, with its own log thrown away.
fn successor(gateway: &Gateway) -> Child {
    let mut figw = gateway.command();
    figw.args(["serve", "--take-over"]).stderr(Stdio::null()).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_take_over_at_once_come_one_after_the_other() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let load = Load::start(&Caller::of(&gateway), "fake-model", 50);
    let mut both = [successor(&gateway), successor(&gateway)];
    gateway.wait_for_exit(PATIENCE);
    let given_up = Instant::now() + PATIENCE;
    while both.iter_mut().all(|one| one.try_wait().unwrap().is_none()) {
        assert!(Instant::now() < given_up, "both run on");
        sleep(Duration::from_millis(20)).await;
    }
    sleep(Duration::from_millis(300)).await;
    assert_all_answered(&load.stop().await);
    let ended: Vec<_> = both.iter_mut().map(|one| one.try_wait().unwrap()).collect();
    assert_eq!(ended.iter().flatten().map(ExitStatus::code).collect::<Vec<_>>(), [Some(0)]);
    for one in &mut both {
        let _ = one.kill();
        one.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_last_requests_are_finished_a_new_process_can_begin() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model", SLOW])
        .set("server.drain_grace", "100ms")
        .start();
    let streams = streams(&gateway, 5);
    sleep(Duration::from_millis(500)).await;
    gateway.terminate();
    let given_up = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(gateway.address()).is_ok() {
        assert!(Instant::now() < given_up, "it accepts on");
        sleep(Duration::from_millis(20)).await;
    }
    let old = gateway.take_over();
    Caller::of(&gateway).ask("chat/completions", &support::requests::chat("fake-model")).await.ok();
    streams.join_all().await;
    assert_eq!(end_of(old).await.code(), Some(0), "{}", gateway.log());
}

#[test]
fn who_says_nothing_keeps_nobody_waiting_for_ever() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    let silent =
        std::os::unix::net::UnixStream::connect(gateway.directory().join("state/takeover.sock"));
    let begun = Instant::now();
    let refused = gateway.command().args(["serve", "--take-over"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(75), "{said}");
    assert!(said.contains("another process is taking over"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(silent);
}

#[test]
fn with_nobody_to_take_over_from_it_serves_all_the_same() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).start();
    // The socket is left behind.
    gateway.kill();
    assert!(gateway.directory().join("state/takeover.sock").exists());
    let mut again =
        gateway.command().args(["serve", "--take-over"]).stderr(Stdio::null()).spawn().unwrap();
    let given_up = Instant::now() + PATIENCE;
    while gateway.get("/ready").is_none_or(|(status, _)| status != 200) {
        assert!(Instant::now() < given_up, "not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
    again.kill().unwrap();
    again.wait().unwrap();
}

/// Starts figw as systemd does: the socket is descriptor 3.
fn activated(gateway: &Gateway, socket: &TcpListener, admin_port: u16) -> Child {
    let figw = gateway.command();
    let mut command = Command::new("bash");
    command
        .arg("-c")
        .arg(format!("exec 3<&{} && exec \"$@\" serve", socket.as_raw_fd()))
        .arg("bash")
        .arg(figw.get_program())
        .args(figw.get_args())
        .envs(figw.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(gateway.directory())
        .env("LISTEN_FDS", "1")
        .env("FIGW_SERVER__ADMIN_LISTEN", format!("127.0.0.1:{admin_port}"));
    let log = gateway.directory().join("serve.log");
    command.stderr(fs::File::options().create(true).append(true).open(log).unwrap());
    command.spawn().unwrap()
}

async fn admin_is_ready(port: u16) {
    let given_up = Instant::now() + PATIENCE;
    let client = reqwest_client();
    loop {
        let status = client.get(format!("http://127.0.0.1:{port}/admin/status")).send().await;
        if let Ok(status) = status
            && status.text().await.is_ok_and(|text| text.contains("\"ready\":true"))
        {
            return;
        }
        assert!(Instant::now() < given_up, "never ready");
        sleep(Duration::from_millis(20)).await;
    }
}

fn reqwest_client() -> reqwest::Client {
    figw::outbound::client(Duration::from_secs(5)).unwrap()
}

fn terminate(child: &Child) {
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_systemd_s_socket_a_restart_refuses_nobody() {
    let fake = Fake::start();
    let gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model", SLOW])
        .set("server.drain_grace", "100ms")
        .prepare();
    let socket = TcpListener::bind(gateway.address()).unwrap();
    fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    let ports = [free_port(), free_port(), free_port()];
    let mut running = activated(&gateway, &socket, ports[0]);
    admin_is_ready(ports[0]).await;
    let load = Load::start(&Caller::of(&gateway), "fake-model", 50);
    for port in &ports[1..] {
        let streams = streams(&gateway, 10);
        sleep(Duration::from_millis(500)).await;
        let next = activated(&gateway, &socket, *port);
        admin_is_ready(*port).await;
        terminate(&running);
        streams.join_all().await;
        assert_eq!(end_of(running).await.code(), Some(0), "{}", gateway.log());
        running = next;
    }
    assert_all_answered(&load.stop().await);
    terminate(&running);
    assert_eq!(end_of(running).await.code(), Some(0));
}

#[test]
fn systemd_is_told_how_it_goes() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url()).models(["fake-model"]).prepare();
    let path = gateway.directory().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    gateway.set_variable("NOTIFY_SOCKET", path.to_str().unwrap());
    gateway.set_variable("WATCHDOG_USEC", "200000");
    let told = |word: &str| -> String {
        loop {
            let mut text = [0; 1000];
            let length = socket.recv(&mut text).expect("systemd is told");
            let text = String::from_utf8_lossy(&text[..length]).into_owned();
            if text.lines().any(|line| line == word) {
                return text;
            }
        }
    };
    gateway.serve();
    assert!(told("READY=1").contains(&format!("MAINPID={}", gateway.pid())));
    for _ in 0..3 {
        told("WATCHDOG=1");
    }
    gateway.signal("HUP");
    let reloading = told("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    told("READY=1");
    gateway.terminate();
    told("STOPPING=1");
    assert_eq!(gateway.wait_for_exit(PATIENCE).code(), Some(0));
}
