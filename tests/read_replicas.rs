//! Lists are read from replicas, and nobody notices when one of them is away, late or silent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]
#![allow(clippy::print_stdout, reason = "what was measured, for whoever asks with --nocapture")]

mod support;

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    client::Caller,
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Outcome},
    outage::{becomes_ready_as, check, check_says, readiness},
    postgres::{PgBouncer, Postgres},
};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

const BATCHES: &str = "/resource_server/v1/batches";
const USER: &str = "researcher@example.org";
const LIMIT: Duration = Duration::from_secs(3);

fn plan(primary: &Postgres, replicas: &[String]) -> Plan {
    Plan::in_front_of("http://127.0.0.1:9/v1")
        .database(primary.url("figw"))
        .set("database.read_replicas", &json!(replicas).to_string())
        .set("database.replica_max_lag", &format!("{}s", LIMIT.as_secs()))
        .models(["m"])
}

fn primary() -> Postgres {
    let primary = Postgres::start_new();
    primary.create_database("figw");
    primary
}

/// A batch that has ended, made by somebody else than this instance.
fn add_batch(primary: &Postgres) {
    let id = Uuid::now_v7();
    primary.query(
        "figw",
        &format!(
            "INSERT INTO batches (id, username, cluster, framework, endpoint, model, \
             compute_endpoint, input_file, status, created_at, submit_by, finished_at) VALUES \
             ('{id}', '{USER}', 'c', 'f', 'e', 'm', '{id}', '/in', 'failed', now(), now(), now())"
        ),
    );
}

async fn listed(caller: &Caller) -> usize {
    let list = caller.get(BATCHES).await.ok().json();
    list.as_array().expect("a list is a JSON array").len()
}

/// Lists that were read from there.
fn reads(gateway: &Gateway, database: &str) -> u64 {
    let labels = format!("database=\"{database}\",outcome=\"answered\"");
    let count = gateway.metric(&format!("figw_database_reads_total{{{labels}}}"));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    let count = count.unwrap_or_default() as u64;
    count
}

fn name(server: &Postgres) -> String {
    format!("127.0.0.1:{}", server.port())
}

fn is_usable(gateway: &Gateway, server: &str) -> bool {
    gateway.metric(&format!("figw_replica_usable{{database=\"{server}\"}}")) == Some(1.0)
}

async fn becomes_usable(gateway: &Gateway, server: &str, wanted: bool) {
    let given_up = Instant::now() + Duration::from_secs(30);
    while is_usable(gateway, server) != wanted {
        assert!(Instant::now() < given_up, "{server} usable is not {wanted}: {}", gateway.log());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_from_replicas_in_turn_as_long_as_they_keep_up() {
    let primary = primary();
    let replicas = [primary.start_replica(), primary.start_replica()];
    let urls: Vec<_> = replicas.iter().map(|replica| replica.url("figw")).collect();
    let gateway = plan(&primary, &urls).start();
    let caller = Caller::of(&gateway);
    for replica in &replicas {
        becomes_usable(&gateway, &name(replica), true).await;
    }
    add_batch(&primary);
    for replica in &replicas {
        replica.wait_for(&primary);
    }
    for _ in 0..10 {
        assert_eq!(listed(&caller).await, 1);
    }
    let shares: Vec<_> = replicas.iter().map(|r| reads(&gateway, &name(r))).collect();
    assert_eq!((shares, reads(&gateway, "primary")), (vec![5, 5], 0));

    // Nothing is written for longer than the limit: no lag.
    sleep(2 * LIMIT).await;
    assert_eq!(readiness(&gateway).1["status"], "ready");
    assert_eq!(listed(&caller).await, 1);
    assert_eq!(reads(&gateway, "primary"), 0);

    // They fall behind: within the limit that shows, beyond it the primary answers.
    for replica in &replicas {
        replica.replay(false);
    }
    add_batch(&primary);
    let behind_since = Instant::now();
    assert_eq!(listed(&caller).await, 1, "read from a replica that may be so late");
    while listed(&caller).await == 1 {
        assert!(behind_since.elapsed() < 2 * LIMIT, "an old list for {:?}", behind_since.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    println!("the primary is read from after {:?}", behind_since.elapsed());
    assert!(behind_since.elapsed() > LIMIT / 2);
    let body = becomes_ready_as(&gateway, "degraded").await;
    let reason = check(&body, "replicas")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(&name(&replicas[0])) && reason.contains("behind"), "{reason}");
    assert!(reads(&gateway, "primary") > 0);

    // One catches up, and is enough.
    replicas[0].replay(true);
    becomes_usable(&gateway, &name(&replicas[0]), true).await;
    let before = reads(&gateway, "primary");
    for _ in 0..10 {
        assert_eq!(listed(&caller).await, 2);
    }
    assert_eq!(reads(&gateway, "primary"), before);
    replicas[1].replay(true);
    becomes_ready_as(&gateway, "ready").await;
}

async fn a_replica_goes_and_comes_back(through_pgbouncer: bool) {
    let primary = primary();
    let mut replica = primary.start_replica();
    let bouncer = through_pgbouncer.then(|| PgBouncer::start_before(&replica));
    let url = bouncer.as_ref().map_or_else(|| replica.url("figw"), |pooler| pooler.url("figw"));
    let server = url.split(['@', '/']).nth(3).unwrap().to_owned();
    let gateway = plan(&primary, &[url]).start();
    let caller = Caller::of(&gateway);
    becomes_usable(&gateway, &server, true).await;
    add_batch(&primary);
    replica.wait_for(&primary);
    assert_eq!(listed(&caller).await, 1);
    assert_eq!((reads(&gateway, &server), reads(&gateway, "primary")), (1, 0));

    replica.pull_the_plug();
    let mut slowest = Duration::ZERO;
    for _ in 0..100 {
        let answer = caller.get(BATCHES).await.ok();
        assert_eq!(answer.json().as_array().unwrap().len(), 1);
        slowest = slowest.max(answer.took);
        sleep(Duration::from_millis(20)).await;
    }
    println!("the slowest list without the replica took {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    check_says(&gateway, "replicas", &server).await;
    assert_eq!(readiness(&gateway).0, 200);
    assert!(!readiness(&gateway).1.to_string().contains("unused-secret"));

    replica.start();
    becomes_ready_as(&gateway, "ready").await;
    becomes_usable(&gateway, &server, true).await;
    let before = reads(&gateway, &server);
    assert_eq!(listed(&caller).await, 1);
    assert_eq!(reads(&gateway, &server), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_goes_and_comes_back_straight() {
    a_replica_goes_and_comes_back(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_goes_and_comes_back_through_pgbouncer() {
    a_replica_goes_and_comes_back(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_hangs_costs_a_moment_once() {
    let primary = primary();
    let replicas = [primary.start_replica(), primary.start_replica()];
    let urls: Vec<_> = replicas.iter().map(|replica| replica.url("figw")).collect();
    let gateway = plan(&primary, &urls).start();
    let caller = Caller::of(&gateway);
    for replica in &replicas {
        becomes_usable(&gateway, &name(replica), true).await;
    }
    replicas[0].freeze();
    let mut lists = JoinSet::new();
    for _ in 0..200 {
        let caller = caller.clone();
        lists.spawn(async move { caller.get(BATCHES).await.ok().took });
        sleep(Duration::from_millis(25)).await;
    }
    let mut took = lists.join_all().await;
    took.sort_unstable();
    let slow = took.iter().filter(|took| **took > Duration::from_millis(500)).count();
    println!(
        "median {:?}, slowest {:?}, {slow} of {} above 500 ms",
        took[100],
        took[199],
        took.len()
    );
    assert!(took[199] < Duration::from_millis(2_500), "the slowest took {:?}", took[199]);
    assert!(slow <= 40, "{slow} lists were slow: it was not left out");
    check_says(&gateway, "replicas", "has not answered within 1 s").await;
    assert_eq!(reads(&gateway, "primary"), 0, "the other replica is well");

    replicas[0].thaw();
    becomes_usable(&gateway, &name(&replicas[0]), true).await;
    becomes_ready_as(&gateway, "ready").await;
}

/// Every node stands in both places, as with Patroni: which of them is the primary changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_go_on_while_another_node_becomes_the_primary() {
    let mut first = primary();
    let second = first.start_replica();
    let both = format!("postgres://figw@{},{}/figw", name(&first), name(&second));
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1")
        .database(both)
        .set("database.read_replicas", &json!([first.url("figw"), second.url("figw")]).to_string())
        .models(["m"])
        .start();
    let caller = Caller::of(&gateway);
    becomes_usable(&gateway, &name(&second), true).await;
    becomes_ready_as(&gateway, "ready").await;
    add_batch(&first);
    second.wait_for(&first);
    assert_eq!(listed(&caller).await, 1);
    assert_eq!((reads(&gateway, &name(&first)), reads(&gateway, &name(&second))), (0, 1));
    assert_eq!(gateway.metric("figw_database_connections_limit{database=\"primary\"}"), Some(8.0));
    let idle = gateway.metric("figw_database_connections{database=\"primary\",state=\"idle\"}");
    assert!(idle.is_some_and(|idle| idle < 8.0), "{idle:?}");

    first.pull_the_plug();
    check_says(&gateway, "database", "allow writes").await;
    for _ in 0..10 {
        assert_eq!(listed(&caller).await, 1, "the replica has what there was");
    }
    assert_eq!(reads(&gateway, "primary"), 0);

    second.promote();
    check_says(&gateway, "replicas", &name(&first)).await;
    becomes_usable(&gateway, &name(&second), false).await;
    let given_up = Instant::now() + Duration::from_secs(10);
    while !check(&readiness(&gateway).1, "database")["reason"].is_null() {
        assert!(Instant::now() < given_up, "{}", readiness(&gateway).1);
        sleep(Duration::from_millis(50)).await;
    }
    add_batch(&second);
    assert_eq!(listed(&caller).await, 2, "from the primary, which is no replica any more");
    // Each is asked once a second.
    let given_up = Instant::now() + Duration::from_secs(4);
    loop {
        let reason = check(&readiness(&gateway).1, "replicas")["reason"].to_string();
        if !reason.contains(&name(&second)) {
            break;
        }
        assert!(Instant::now() < given_up, "to be the primary is no fault: {reason}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_submits_a_batch_sees_it_at_once() {
    let primary = primary();
    let replica = primary.start_replica();
    let globus = FakeGlobus::start();
    let (endpoint, function) = (Uuid::new_v4(), Uuid::new_v4());
    globus.endpoint(endpoint, Endpoint::OFFLINE);
    globus.function(function, Function::new(|_| Outcome::Returns(String::new().into())));
    let mut entry = FakeGlobus::endpoint_entry("sophia", "llama", endpoint, function);
    entry["fields"]["config"]["batch_endpoint_uuid"] = json!(endpoint);
    entry["fields"]["config"]["batch_function_uuid"] = json!(function);
    let mut gateway = plan(&primary, &[replica.url("figw")])
        .entries([FakeGlobus::cluster_entry("sophia", &json!({})), entry])
        .settings(&globus.config_with(&[], &["results: poll"]))
        .set("database.replica_max_lag", "1m")
        .prepare();
    let other = gateway.create_key("other@example.org");
    gateway.serve();
    let (caller, other) = (Caller::of(&gateway), Caller::of(&gateway).with_key(&other));
    becomes_usable(&gateway, &name(&replica), true).await;
    replica.wait_for(&primary);
    replica.replay(false);
    for number in 1..=5 {
        let body = json!({"model": "llama", "input_file": format!("/in/{number}")});
        caller.post("/resource_server/sophia/vllm/v1/batches", body.to_string()).await.ok();
        assert_eq!(listed(&caller).await, number, "the replica has none of them");
        assert_eq!(listed(&other).await, 0);
    }
    assert_eq!(reads(&gateway, "primary"), 5);
    assert_eq!(reads(&gateway, &name(&replica)), 5, "who has written nothing reads there");
    replica.replay(true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_replica_of_this_database_is_not_read_from() {
    let primary = primary();
    let (promoted, stranger) = (primary.start_replica(), Postgres::start_new());
    stranger.create_database("figw");
    let urls = [promoted.url("figw"), stranger.url("figw"), "postgres://127.0.0.1:9/figw".into()];
    let mut gateway = plan(&primary, &urls).prepare();
    let dump = Command::new(support::postgres::newest_bin().join("pg_dump"))
        .args(["-d", &primary.url("figw"), "-f"])
        .arg(gateway.directory().join("figw.sql"))
        .status();
    assert!(dump.unwrap().success());
    let load = Command::new(support::postgres::newest_bin().join("psql"))
        .args(["-qAtX", "-d", &stranger.url("figw"), "-f"])
        .arg(gateway.directory().join("figw.sql"))
        .output();
    assert!(load.unwrap().status.success());
    promoted.wait_for(&primary);
    promoted.promote();
    gateway.serve();
    check_says(&gateway, "replicas", "follows no primary").await;
    check_says(&gateway, "replicas", "another cluster").await;
    check_says(&gateway, "replicas", "127.0.0.1:9 cannot be reached").await;
    add_batch(&primary);
    assert_eq!(listed(&Caller::of(&gateway)).await, 1);
    assert_eq!(reads(&gateway, "primary"), 1);

    let health = gateway.command().args(["health", "--deep", "--only", "replicas"]).output();
    let health = health.unwrap();
    let said = String::from_utf8_lossy(&health.stdout).into_owned();
    assert_eq!(health.status.code(), Some(1), "{said}");
    assert!(said.contains("another cluster") && said.contains("WARNING"), "{said}");
    let doctor = gateway
        .command()
        .args(["doctor", "--only", "database.replicas", "--output", "json"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    assert!(report.to_string().contains("follows no primary"), "{report}");
}

#[tokio::test]
async fn a_replica_that_is_the_primary_is_a_mistake() {
    let primary = primary();
    let gateway = plan(&primary, &[]).prepare();
    let refused = |url: &str, arguments: &[&str]| {
        let mut command = gateway.command();
        command.env("FIGW_DATABASE__READ_REPLICAS", json!([url]).to_string());
        let output = command.args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "{said}");
        assert!(!said.contains("unused-secret"), "{said}");
        said
    };
    let same = primary.url("figw");
    let said = refused(&same, &["config", "check"]);
    assert!(
        said.contains("database.read_replicas[0]") && said.contains("name a replica"),
        "{said}"
    );
    let mut sqlite = gateway.command();
    sqlite.env("FIGW_DATABASE__URL", "sqlite:x.db");
    sqlite.env("FIGW_DATABASE__READ_REPLICAS", json!([same]).to_string());
    let output = sqlite.args(["config", "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(refused("sqlite:x.db", &["config", "check"]).contains("database.read_replicas[0]"));

    // Where the URL is read from a file, only whoever reads it can tell.
    fs::write(gateway.directory().join("replica"), &same).unwrap();
    let mut config = fs::read_to_string(gateway.directory().join("config.yaml")).unwrap();
    let file = gateway.directory().join("replica");
    config = config.replace(
        "database:\n",
        &format!("database:\n  read_replicas: [{{file: {}}}]\n", file.display()),
    );
    fs::write(gateway.directory().join("hidden.yaml"), config).unwrap();
    for arguments in [&["doctor", "--only", "database.replicas"][..], &["serve"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_figw"))
            .current_dir(gateway.directory())
            .args(["--config", "hidden.yaml"])
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{arguments:?}: {said}");
        assert!(said.contains("leads to the primary"), "{arguments:?}: {said}");
    }
}
