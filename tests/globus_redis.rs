//! Logins that instances share through Redis, and how little depends on it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    thread,
    time::{Duration, Instant},
};

use redis::Commands as _;
use support::{
    client::{Answer, Caller},
    gateway::{Gateway, Plan},
    globus_auth::{Globus, logged_in},
    redis::Redis,
};

fn plan(globus: &Globus, redis: &Redis) -> Plan {
    Plan::in_front_of("http://127.0.0.1:9/v1")
        .models(["m"])
        .settings(&globus.settings())
        .set("cache.redis_url", &redis.url())
}

async fn whoami(gateway: &Gateway, token: &str) -> Answer {
    Caller::of(gateway).with_key(token).get("/resource_server/whoami").await
}

/// Waits until `/ready` tells this of Redis.
fn wait_for(gateway: &Gateway, state: &str) {
    let wanted = format!(r#""name":"cache","state":"{state}""#);
    let given_up = Instant::now() + Duration::from_secs(20);
    loop {
        let (_, body) = gateway.get("/ready").expect("an answer");
        if body.contains(&wanted) {
            return;
        }
        assert!(Instant::now() < given_up, "not {state}: {body}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Every answer about a login, with its key; waits until there are that many.
fn entries(redis: &Redis, count: usize) -> Vec<(String, String)> {
    let mut connection = redis.connection();
    let given_up = Instant::now() + Duration::from_secs(5);
    loop {
        let keys: Vec<String> = connection.keys("figw:login-*").unwrap();
        if keys.len() == count {
            let value = |key: &String| connection.get(key).unwrap();
            let values: Vec<String> = keys.iter().map(value).collect();
            return keys.into_iter().zip(values).collect();
        }
        assert!(Instant::now() < given_up, "{keys:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test]
async fn what_one_instance_has_found_out_the_other_need_not_ask() {
    let (globus, redis) = (Globus::start(), Redis::start_new());
    globus.know_member("good-token", "ada@anl.gov");
    globus.know("bad-token", logged_in(&["eve@gmail.com"]), &[]);
    let (one, two) = (plan(&globus, &redis).start(), plan(&globus, &redis).start());
    wait_for(&one, "ok");
    wait_for(&two, "ok");

    let first = whoami(&one, "good-token").await.ok().json();
    let refusal = whoami(&one, "bad-token").await;
    assert_eq!((refusal.status, globus.introspections()), (401, 2));
    let written = entries(&redis, 2);

    assert_eq!(whoami(&two, "good-token").await.ok().json(), first);
    assert_eq!(whoami(&two, "bad-token").await.text(), refusal.text());
    assert_eq!(globus.introspections(), 2);

    for (key, value) in written {
        assert!(key.starts_with("figw:"), "{key}");
        assert!(!format!("{key}{value}").contains("-token"), "{key}: {value}");
        let life: i64 = redis.connection().pttl(&key).unwrap();
        assert!((1..=600_000).contains(&life), "{life} ms");
    }
}

#[tokio::test]
async fn nobody_gets_in_by_writing_to_redis() {
    let (globus, redis) = (Globus::start(), Redis::start_new());
    globus.know_member("good-token", "ada@anl.gov");
    globus.know("bad-token", logged_in(&["eve@gmail.com"]), &[]);
    let one = plan(&globus, &redis).start();
    wait_for(&one, "ok");
    whoami(&one, "good-token").await.ok();
    let good = entries(&redis, 1).remove(0);
    assert_eq!(whoami(&one, "bad-token").await.status, 401);
    let bad_key = entries(&redis, 2).into_iter().find(|(key, _)| *key != good.0).unwrap().0;

    let mut connection = redis.connection();
    let () = connection.set(&bad_key, &good.1).unwrap();
    let () = connection.set(&good.0, good.1.replace("ada@anl.gov", "root@anl.gov")).unwrap();
    let two = plan(&globus, &redis).start();
    wait_for(&two, "ok");

    assert_eq!(whoami(&two, "bad-token").await.status, 401);
    assert_eq!(whoami(&two, "good-token").await.ok().json()["username"], "ada@anl.gov");
    assert_eq!(globus.introspections(), 4, "neither entry was believed");
}

#[tokio::test]
async fn without_redis_each_instance_goes_by_its_own_memory() {
    let globus = Globus::start();
    globus.know_member("early", "ada@anl.gov");
    globus.know_member("late", "bo@uchicago.edu");
    let mut redis = Redis::not_yet_started();
    let gateway = plan(&globus, &redis).start();
    wait_for(&gateway, "degraded");
    let early = whoami(&gateway, "early").await.ok();
    assert!(early.took < Duration::from_secs(1), "{:?}", early.took);

    redis.start();
    wait_for(&gateway, "ok");
    redis.stop();

    whoami(&gateway, "early").await.ok();
    whoami(&gateway, "late").await.ok();
    wait_for(&gateway, "degraded");
    assert_eq!(globus.introspections(), 2);
}
