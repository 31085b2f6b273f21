//! `figw health --deep` beside what stands behind a gateway: each check by its name, what it says, and
//! how it bounds what it asks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    backups::{Said, eventually},
    certificates::write_certificate,
    fake::{Fake, Fault},
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function, Service},
    site::Site,
};

fn health(gateway: &Gateway, arguments: &[&str]) -> Said {
    let mut command = gateway.command();
    command.arg("health").args(arguments).stdin(Stdio::null());
    command.output().unwrap().into()
}

/// Exit status and the check of that name.
fn check(gateway: &Gateway, name: &str) -> (i32, Value) {
    let mut command = gateway.command();
    command.args(["--output", "json", "health", "--only", name]).stdin(Stdio::null());
    let said = Said::from(command.output().unwrap());
    let mut report = said.json();
    assert_eq!(report["checks"][0]["name"], name, "{report}");
    (said.status.unwrap(), report["checks"][0].take())
}

#[track_caller]
fn says(seen: &(i32, Value), status: i32, word: &str) {
    assert_eq!(seen.0, status, "{}", seen.1);
    assert!(seen.1["evidence"].as_str().unwrap().contains(word), "not {word:?}: {}", seen.1);
}

#[test]
fn endpoints_are_asked_but_none_is_woken_and_none_waited_for_long() {
    let (back_end, globus) = (Fake::start(), FakeGlobus::start());
    let function = Function::inference(Duration::ZERO);
    let other = json!({"model": "resource_server_async.endpoint", "fields": {
        "cluster": "other", "framework": support::gateway::FRAMEWORK, "model": "m",
        "endpoint_adapter": "resource_server_async.endpoints.direct_api.DirectAPIEndpoint",
        "config": {"api_url": "http://127.0.0.1:9/v1", "api_key_env_name": "FAKE_BACKEND_KEY"},
    }});
    let change = |plan: Plan| {
        plan.back_end(back_end.api_url())
            .models(["m", "m2", "m3", "m4"])
            .model_on("other", "elsewhere")
            .entries([other])
            .set("health.endpoint_timeout", "3s")
            .set("health.endpoints_at_once", "2")
    };
    let site = Site::start_with(globus, function, &[], change);
    let gateway = &site.gateway;
    let submitted = || {
        let asked = site.globus.asked(Service::Compute);
        asked.iter().filter(|asked| asked.path.ends_with("/submit")).count()
    };

    let seen = check(gateway, "endpoints");
    says(&seen, 1, "6 of 7 answered; other-vllm-m: ");
    assert_eq!(submitted(), 1, "one tiny request went to the cluster");
    let names: Vec<_> = seen.1["measures"].as_array().unwrap().iter().map(|m| &m["name"]).collect();
    assert_eq!(names, ["endpoints_ok", "endpoints_failed", "endpoints_slowest"], "{}", seen.1);
    let text = health(gateway, &["--only", "endpoints"]).stdout;
    assert!(text.contains("| endpoints_ok=6 endpoints_failed=1 endpoints_slowest="), "{text}");

    let before = submitted();
    site.globus.endpoint(site.endpoint, Endpoint::WITHOUT_NODES);
    gateway.run(&["maintenance", "on", "other", "--notice", "cooling"]);
    let resting = "no endpoint is left, for maintenance, for elsewhere; 4 of 7 answered; ";
    says(&check(gateway, "endpoints"), 1, resting);
    says(&check(gateway, "endpoints"), 1, "other-vllm-m in maintenance");
    says(&check(gateway, "endpoints"), 1, "sophia-vllm-globus-model not tried: cold");
    assert_eq!(submitted(), before, "a look starts no nodes");
    says(&check(gateway, "clusters"), 0, "other in maintenance");

    site.globus.endpoint(site.endpoint, Endpoint::OFFLINE);
    says(&check(gateway, "endpoints"), 2, "no endpoint is left for globus-model");
    site.globus.endpoint(site.endpoint, Endpoint::ONLINE);

    gateway.run(&["endpoint", "set", "local-vllm-m4", "--enabled", "false"]);
    back_end.always(Some(Fault::HangBeforeHeaders));
    let begun = Instant::now();
    let seen = check(gateway, "endpoints");
    says(&seen, 2, "no endpoint is left for m, m2, m3");
    says(&seen, 2, "local-vllm-m4 disabled");
    let took = begun.elapsed();
    // Three that hang, two at a time.
    assert!((6.0..20.0).contains(&took.as_secs_f64()), "{took:?}");
    back_end.always(Some(Fault::Status(500)));
    says(&check(gateway, "endpoints"), 2, "local-vllm-m: status 500: ");

    gateway.run(&["maintenance", "off", "other"]);
    // cron may lack a variable that the gateway has: that says nothing of the endpoint.
    let mut elsewhere = gateway.command();
    elsewhere.env_remove("FAKE_BACKEND_KEY").args(["health", "--only", "endpoints"]);
    let said = Said::from(elsewhere.output().unwrap());
    assert_eq!(said.status, Some(3), "{said:?}");
    assert!(said.stdout.contains("local-vllm-m: cannot be tried from here: "), "{said:?}");
}

#[test]
fn what_is_not_asked_is_not_said_to_answer() {
    let back_end = Fake::start();
    let gateway =
        Plan::in_front_of(back_end.api_url()).models(["m"]).model_on("other", "n").start();
    let seen = check(&gateway, "clusters");
    let none = "nothing was asked: local has no status to ask for; other has no status to ask for";
    says(&seen, 0, none);
    gateway.run(&["maintenance", "on", "other", "--notice", "cooling"]);
    says(&check(&gateway, "endpoints"), 1, "no endpoint is left, for maintenance, for n; 1 of 2");
    gateway.run(&["maintenance", "on", "local", "--notice", "cooling"]);
    let resting = "no endpoint is left, for maintenance, for m, n; nothing was asked: local-vllm-m";
    says(&check(&gateway, "endpoints"), 1, resting);
    says(&check(&gateway, "clusters"), 0, "nothing was asked: local in maintenance; other in");
    // To callers a model is not there whose endpoints are disabled.
    gateway.run(&["endpoint", "set", "local-vllm-m", "--enabled", "false"]);
    gateway.run(&["endpoint", "set", "other-vllm-n", "--enabled", "false"]);
    says(&check(&gateway, "endpoints"), 0, "nothing was asked: local-vllm-m disabled; other");
}

#[test]
fn room_and_time_are_held_against_thresholds() {
    let plan = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]);
    let mut gateway = plan.set("health.disk_free_warning", "100%").prepare();
    let tls = [("server.tls.certificate", "certificate.pem"), ("server.tls.key", "key.pem")];
    for (key, value) in tls {
        gateway.set_variable(&format!("FIGW_{}", key.replace('.', "__").to_uppercase()), value);
    }
    write_certificate(gateway.directory(), 10);
    gateway.serve_unseen();

    let seen = check(&gateway, "disk");
    says(&seen, 1, "free, make room");
    let measure = &seen.1["measures"][0];
    assert_eq!((&measure["name"], &measure["unit"]), (&json!("disk_free_state"), &json!("B")));
    assert_eq!(measure["alarm"], "below");
    gateway.set_variable("FIGW_HEALTH__DISK_FREE_CRITICAL", "100%");
    says(&check(&gateway, "disk"), 2, "state ");

    says(&check(&gateway, "certificate"), 1, "renew it");
    gateway.set_variable("FIGW_HEALTH__CERTIFICATE_CRITICAL", "11d");
    says(&check(&gateway, "certificate"), 2, "served: valid until");
    let text = health(&gateway, &["--only", "certificate"]).stdout;
    assert!(text.contains(";1209600:;950400:"), "{text}");
    write_certificate(gateway.directory(), 90);
    says(&check(&gateway, "certificate"), 2, "another one is served than the file has");
    eventually(Duration::from_secs(20), || check(&gateway, "certificate").0 == 0);

    says(&check(&gateway, "admin"), 0, "requests in flight");
    gateway.set_variable("FIGW_SERVER__ADMIN_TOKEN", "another token than the gateway's");
    says(&check(&gateway, "admin"), 0, "requests in flight");
    gateway.kill();
    says(&check(&gateway, "admin"), 1, "out of reach");
    says(&check(&gateway, "certificate"), 2, "served: ");
}

#[test]
fn the_schema_is_told_of_at_ready() {
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).start();
    let path = gateway.database().strip_prefix("sqlite:").unwrap().to_owned();
    let database = rusqlite::Connection::open(path).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let newest =
        "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version DESC LIMIT 1";
    let row = database.query_row(newest, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    let (version, name, checksum) = row.unwrap();
    let ready = || {
        let (status, body) = gateway.get("/ready").unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        (status, support::outage::check(&body, "schema")["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(ready(), (200, "ok".to_owned()));

    // A newer program has migrated the database, for both to serve with.
    let insert = "INSERT INTO refinery_schema_history VALUES (?1, ?2, '2030-01-01T00:00:00Z', ?3)";
    database.execute(insert, (version + 1, "of_tomorrow", "1")).unwrap();
    eventually(Duration::from_secs(20), || ready() == (200, "degraded".to_owned()));
    database.execute("DELETE FROM refinery_schema_history WHERE version > ?1", [version]).unwrap();
    eventually(Duration::from_secs(20), || ready() == (200, "ok".to_owned()));

    // An old backup was restored.
    database.execute("DELETE FROM refinery_schema_history WHERE version = ?1", [version]).unwrap();
    eventually(Duration::from_secs(20), || ready() == (503, "failed".to_owned()));
    database.execute(insert, (version, name, checksum)).unwrap();
    eventually(Duration::from_secs(20), || ready() == (200, "ok".to_owned()));
}
