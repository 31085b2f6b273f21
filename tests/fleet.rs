//! The whole house under load: three gateways behind nginx, one database behind PgBouncer, one Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    fs,
    net::Ipv4Addr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use support::{
    backups::Said,
    client::{self, Caller},
    fake::Fake,
    fleet::{Fleet, NAMES},
    gateway::Plan,
    load::{Load, assert_all_answered},
    nginx::Nginx,
    ports::free_port,
    postgres::{PgBouncer, Postgres},
    redis::Redis,
    requests::streamed_chat,
};
use tokio::{task::JoinSet, time::sleep};

/// A model whose stream of a hundred pieces takes 20 s.
const SLOW: &str = "fault-slow-chunks-200";
const PIECES: usize = 100;
const STREAMS: usize = 300;

/// What `figw generate nginx` prints for this fleet, running.
fn nginx_before(fleet: &Fleet) -> (Nginx, Caller) {
    let port = free_port();
    let mut nginx = Nginx::new();
    let instances = NAMES.iter().zip(&fleet.gateways).map(|(name, gateway)| {
        format!(
            "- {{name: {name}, url: '{}', admin_url: '{}'}}\n",
            gateway.url(),
            gateway.admin_url()
        )
    });
    let config = nginx.path("config.yaml");
    fs::write(&config, format!("instances:\n{}", instances.collect::<String>())).unwrap();
    let mut figw = Command::new(env!("CARGO_BIN_EXE_figw"));
    figw.args(["--quiet", "--config"]).arg(&config);
    figw.args(["generate", "nginx", "--ipv4-only", "--plain-http", "--access-log", "off"]);
    let said: Said = figw.args(["--http-port", &port.to_string()]).output().unwrap().into();
    assert_eq!(said.status, Some(0), "{said:?}");
    nginx.put("figw.conf", &said.stdout);
    let test = nginx.test();
    assert_eq!(test.status, Some(0), "{test:?}");
    nginx.start(port);
    let caller = Caller::at((Ipv4Addr::LOCALHOST, port).into(), Some(fleet.gateways[0].key()));
    (nginx, caller)
}

/// Asks for one stream after the other, each of which must come whole; how many there were.
async fn stream_on(caller: Caller, stop: Arc<AtomicBool>) -> usize {
    let mut done = 0;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let opened = caller.open("/v1/chat/completions", &streamed_chat(SLOW, PIECES)).await;
        let answer = client::read(opened.expect("an answer"), begun).await;
        assert!(!answer.cut && answer.status == 200, "{answer:?}");
        assert_eq!(answer.events().last(), Some(&"[DONE]"), "{answer:?}");
        done += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_goes_round_twice_and_nobody_notices() {
    let fake = Fake::start();
    let postgres = Postgres::start_new();
    let direct = postgres.create_database("fleet");
    let pooler = PgBouncer::start_before(&postgres);
    let redis = Redis::start_new();
    let gateway = || {
        Plan::in_front_of(fake.api_url())
            .database(pooler.url("fleet"))
            .set("database.migration_url", &direct)
            .set("cache.redis_url", &redis.url())
            .set("server.drain_grace", "2s")
            .models(["fake-model", SLOW])
            .start()
    };
    let fleet = Fleet::of([gateway(), gateway(), gateway()]);
    fleet.configure(&["stabilise: 2s", "ready_timeout: 30s", "drain_timeout: 60s"]);
    let (_nginx, caller) = nginx_before(&fleet);

    let stop = Arc::new(AtomicBool::new(false));
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(stream_on(caller.clone(), Arc::clone(&stop)));
        // They end at different times, as people's do.
        sleep(Duration::from_millis(15)).await;
    }
    let load = Load::start(&caller, "fake-model", 50);
    for round in 1..=2 {
        let before = fleet.started();
        let mut rolling = tokio::process::Command::from(fleet.command(&[]));
        let output = rolling.output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "round {round}: {said}");
        assert!(before.iter().zip(fleet.started()).all(|(old, new)| *old != new), "{said}");
        assert!(fake.counts().open > STREAMS / 2, "{:?}", fake.counts());
    }
    stop.store(true, Ordering::Relaxed);
    let outcomes = load.stop().await;
    assert_all_answered(&outcomes);
    let streamed: usize = streams.join_all().await.into_iter().sum();
    assert!(streamed >= 2 * STREAMS, "{streamed}");
    fleet.all_serve();

    let expected = (outcomes.len() + streamed).to_string();
    let written = || postgres.query("fleet", "SELECT count(*) FROM usage WHERE status = 200");
    let given_up = Instant::now() + Duration::from_secs(20);
    while written() != expected && Instant::now() < given_up {
        sleep(Duration::from_millis(200)).await;
    }
    // None is written twice, and none with another status.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(written(), expected);
    assert_eq!(postgres.query("fleet", "SELECT count(*) FROM usage"), expected);
    for gateway in &fleet.gateways {
        assert_eq!(gateway.status()["in_flight"], 0);
    }
}
