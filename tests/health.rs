//! `figw health` beside a gateway that is well, ailing, or gone.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    backups::{Estate, Said},
    gateway::{Gateway, Plan},
    ports::free_port,
    postgres::Postgres,
};

fn health(mut command: Command, arguments: &[&str]) -> Said {
    command.arg("health").args(arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// The first line, and the exit status that it must have.
#[track_caller]
fn says(said: &Said, status: i32, first: &str) {
    assert_eq!(said.status, Some(status), "{said:?}");
    let line = said.stdout.lines().next().unwrap_or_default();
    assert!(line.starts_with(first), "not {first:?}: {said:?}");
}

fn json_of(gateway: &Gateway, arguments: &[&str]) -> Value {
    let mut command = gateway.command();
    command.args(["--output", "json"]);
    health(command, arguments).json()
}

#[test]
fn a_gateway_is_well_ailing_draining_or_gone() {
    let mut gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).start();
    let said = health(gateway.command(), &[]);
    says(&said, 0, "FIGW OK - ready | gateway_time=0");
    assert_eq!(said.stdout.lines().nth(1), Some("OK        gateway  ready"));
    let report = json_of(&gateway, &[]);
    assert_eq!((&report["state"], &report["checks"][0]["name"]), (&json!("ok"), &json!("gateway")));
    assert!(report["checks"][0]["value"].is_number(), "{report}");
    let quiet = health(gateway.command(), &["--quiet"]);
    assert_eq!((quiet.status, quiet.stdout.as_str()), (Some(0), ""), "nothing to mail");

    // From another directory and without this configuration, by its address alone.
    let mut far = Command::new(env!("CARGO_BIN_EXE_figw"));
    far.current_dir("/").env("http_proxy", "http://127.0.0.1:9");
    says(&health(far, &["--url", &gateway.url()]), 0, "FIGW OK - ready");

    gateway.run(&["maintenance", "on", "local", "--notice", "cooling"]);
    let waits = Instant::now();
    while json_of(&gateway, &[])["state"] == "ok" {
        assert!(waits.elapsed() < Duration::from_secs(10), "a change arrives");
        thread::sleep(Duration::from_millis(100));
    }
    says(&health(gateway.command(), &[]), 1, "FIGW WARNING - degraded: endpoints: ");
    assert!(json_of(&gateway, &[])["checks"][0]["since"].is_string());

    let drain = Command::new("curl")
        .args(["-sS", "-X", "POST", &format!("{}/admin/drain", gateway.admin_url())])
        .output()
        .unwrap();
    assert!(drain.status.success(), "{drain:?}");
    let said = health(gateway.command(), &["--quiet"]);
    says(&said, 2, "FIGW CRITICAL - unready (503");
    assert!(said.stdout.contains("drained by its operator"), "{said:?}");

    gateway.kill();
    let said = health(gateway.command(), &[]);
    says(&said, 2, "FIGW CRITICAL - ");
    assert!(said.stdout.contains("refused") && said.stdout.contains("figw serve"), "{said:?}");
}

#[test]
fn one_that_does_not_answer_is_critical_after_five_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let begun = Instant::now();
    let said = health(Command::new(env!("CARGO_BIN_EXE_figw")), &["--url", &url]);
    says(&said, 2, "FIGW CRITICAL - ");
    assert!(said.stdout.contains("no answer within 5 s"), "{said:?}");
    assert!((5..8).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn a_script_can_wait_for_it() {
    let mut gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).prepare();
    let begun = Instant::now();
    let said = health(gateway.command(), &["--wait", "--timeout", "1s"]);
    says(&said, 2, "FIGW CRITICAL");
    assert!((1..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());

    let mut waiting = gateway.command();
    waiting.args(["health", "--wait", "--timeout", "30s"]).stdout(Stdio::piped());
    let waiting = waiting.spawn().unwrap();
    thread::sleep(Duration::from_millis(700));
    gateway.serve();
    let said = Said::from(waiting.wait_with_output().unwrap());
    says(&said, 0, "FIGW OK - ready");
}

#[test]
fn wrong_usage_and_configuration_are_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
        command.current_dir(directory.path()).args(arguments).stdin(Stdio::null());
        Said::from(command.output().unwrap())
    };
    for wrong in [
        &["health", "--nonsense"][..],
        &["--output", "json", "health", "--only", "weather"],
        &["--config", "c", "health", "--url", "ftp://h"],
        &["--output", "xml", "health"],
        &["health", "--timeout", "1s"],
    ] {
        let said = run(wrong);
        assert_eq!(said.status, Some(3), "{wrong:?}: {said:?}");
        assert!(said.stderr.contains("error"), "{wrong:?}: {said:?}");
        assert!(!said.stdout.is_empty(), "monitoring systems read nothing else: {said:?}");
    }
    let usage = run(&["health", "--only", "weather"]);
    says(
        &usage,
        3,
        "FIGW UNKNOWN - invalid value 'weather' for '--only <CHECK>'; [possible values: ",
    );
    assert_eq!(usage.stdout.lines().count(), 1, "{usage:?}");
    let usage = run(&["--output", "json", "health", "--only", "weather"]);
    assert_eq!((usage.json()["state"].as_str(), usage.status), (Some("unknown"), Some(3)));
    assert_eq!(run(&["migrate", "--only", "weather"]).stdout, "", "of this command only");
    says(&run(&["--config", "missing.yaml", "health"]), 3, "FIGW UNKNOWN - ");
    fs::write(directory.path().join("config.yaml"), "servre: {}\nx: 1\n").unwrap();
    let said = run(&["health", "--deep"]);
    says(&said, 3, "FIGW UNKNOWN - ");
    assert!(said.stdout.lines().count() == 1 && said.stdout.contains("servre"), "{said:?}");
    let said = run(&["--output", "json", "health"]);
    assert_eq!((said.json()["state"].as_str(), said.status), (Some("unknown"), Some(3)));
    assert_eq!(run(&["health", "--help"]).status, Some(0));
    assert_eq!(run(&["migrate", "--nonsense"]).status, Some(2), "of this command only");
}

fn check(estate: &Estate, name: &str) -> (Option<i32>, Value) {
    let said = estate.figw(&["--output", "json", "health", "--only", name]);
    let mut report = said.json();
    assert_eq!(report["checks"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["checks"][0]["name"], name);
    (said.status, report["checks"][0].take())
}

#[test]
fn deep_checks_tell_what_a_disaster_would_cost() {
    let server = Postgres::start_new();
    for estate in [Estate::sqlite(), Estate::postgres(&server, "deep")] {
        let (status, database) = check(&estate, "database");
        assert_eq!(status, Some(0), "{database}");
        let (status, backup) = check(&estate, "backup");
        assert_eq!(status, Some(2), "{backup}");
        assert!(backup["evidence"].as_str().unwrap().contains("figw backup"), "{backup}");
        let (status, drill) = check(&estate, "drill");
        assert_eq!(status, Some(1), "{drill}");
        assert!(drill["evidence"].as_str().unwrap().contains("there has been no drill"), "{drill}");

        let id = estate.back_up();
        let (status, backup) = check(&estate, "backup");
        assert_eq!((status, &backup["state"]), (Some(0), &json!("ok")), "{backup}");
        assert!(backup["evidence"].as_str().unwrap().contains(&id), "{backup}");
        assert!(
            backup["value"].as_f64().unwrap() < 60.0 && backup["since"].is_string(),
            "{backup}"
        );
        estate.configure("  objectives: {rpo: 1ms}\n");
        assert_eq!(check(&estate, "backup").0, Some(2), "too old for this objective");
        estate.configure("");
        // A backup of the configuration alone brings no database back.
        fs::write(estate.backups().join(&id).join("BROKEN"), "a test").unwrap();
        estate.run(&["backup", "--kind", "config"]);
        let (status, backup) = check(&estate, "backup");
        assert_eq!(status, Some(2), "{backup}");

        drills_are_judged(&estate);
        let said = estate.figw(&["health", "--deep"]);
        says(&said, 2, "FIGW CRITICAL - gateway: http://127.0.0.1:1/ready: ");
        let names = said.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let names: Vec<_> = names.filter(|name| *name != "clock").collect();
        let all = ["gateway", "admin", "database", "endpoints", "disk", "backup", "drill"];
        assert_eq!(names, all, "{said:?}");
        assert!(said.stdout.contains("no good backup of "), "{said:?}");

        estate.execute("DELETE FROM refinery_schema_history WHERE version = 6");
        let (status, database) = check(&estate, "database");
        assert_eq!(status, Some(2), "{database}");
        assert!(
            database["evidence"].as_str().unwrap().contains("V6__roll_up_earlier_rows"),
            "{database}"
        );
    }
}

fn drills_are_judged(estate: &Estate) {
    let now = jiff::Timestamp::now();
    let long_ago = now - jiff::SignedDuration::from_hours(24 * 36);
    for (ok, at, expected) in [(true, now, 0), (true, long_ago, 1), (false, now, 2)] {
        let report = json!({
            "ok": ok, "id": "20260102T030405Z-7f3a", "started_at": at, "recovery_time_seconds": 2.5,
            "recovery_point_seconds": 61.0, "reason": (!ok).then_some("a table was empty"),
            "objectives": {"rto_seconds": 7200.0, "rpo_seconds": 3600.0}, "tables": {},
        });
        fs::write(estate.backups().join("drill.json"), report.to_string()).unwrap();
        let (status, drill) = check(estate, "drill");
        assert_eq!(status, Some(expected), "{drill}");
        let evidence = drill["evidence"].as_str().unwrap();
        assert!(ok || evidence.contains("a table was empty"), "{drill}");
    }
    let text = estate.figw(&["health", "--only", "drill"]).stdout;
    assert!(text.contains("recovery_time=2.5s;;7200 recovery_point=61s;;3600"), "{text}");
    fs::write(estate.backups().join("drill.json"), "{").unwrap();
    assert_eq!(check(estate, "drill").0, Some(3), "nobody can tell");
}

#[test]
fn looking_makes_no_database_and_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_figw"));
    command.current_dir(directory.path());
    command.env("FIGW_SERVER__LISTEN", format!("127.0.0.1:{}", free_port()));
    let said = health(command, &["--deep"]);
    says(&said, 2, "FIGW CRITICAL - ");
    for part in
        ["figw.db does not exist; run `figw migrate`", "no backup at all", "set backup.directory"]
    {
        assert!(said.stdout.contains(part), "no {part:?}: {said:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
