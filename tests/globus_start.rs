//! Logins with Globus at the start and in `figw doctor`: what is wrong is said before anybody is let
//! in, and Globus being away keeps nobody out who needs no Globus.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::process::{Output, Stdio};

use serde_json::Value;
use support::{
    client::Caller,
    gateway::{Gateway, Plan},
    globus_auth::{Globus, policy},
};

fn plan(globus: &Globus) -> Plan {
    Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).settings(&globus.settings())
}

fn run(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = gateway.command();
    command.args(arguments).stdin(Stdio::null()).output().expect("figw runs")
}

/// `figw serve` does not start, and says why in one line.
#[track_caller]
fn does_not_start(gateway: &Gateway, words: &[&str]) {
    let output = run(gateway, &["serve"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.starts_with("error: auth.globus: "), "{said}");
    for word in words {
        assert!(last.contains(word), "no '{word}' in: {said}");
    }
}

fn doctor(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, Value) {
    let output =
        run(gateway, &[&["--output", "json", "doctor", "--only", "globus"], arguments].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).expect("a report in JSON"))
}

fn outcome<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    &checks.iter().find(|check| check["name"] == name).expect(name)["outcome"]
}

#[test]
fn what_is_definitely_wrong_keeps_it_from_starting_and_doctor_says_the_same() {
    let globus = Globus::start();
    let gateway = plan(&globus).prepare();
    for (wrong, words) in [
        (policy(false, &["anl.gov", "uchicago.edu"]), &["not a high-assurance"][..]),
        (policy(true, &["anl.gov"]), &["allows anl.gov, but", "has anl.gov, uchicago.edu"]),
        (serde_json::json!({"id": "another"}), &["knows no policy", "auth.globus.policies"]),
    ] {
        globus.set_policy(wrong);
        does_not_start(&gateway, words);
        let (status, report) = doctor(&gateway, &[]);
        assert_eq!((status, &report["ok"]), (Some(1), &Value::Bool(false)));
        assert_eq!(outcome(&report, "globus.policies"), "fail");
        assert_eq!(outcome(&report, "globus.credentials"), "pass");
    }

    let gateway = plan(&globus).set("auth.globus.application_secret", "wrong").prepare();
    does_not_start(&gateway, &["Globus Auth refused with status 401", "application_secret"]);
    let (_, report) = doctor(&gateway, &["--stage", "pre"]);
    assert_eq!(outcome(&report, "globus.credentials"), "fail");
    assert!(!report.to_string().contains("wrong\""), "the secret is not repeated: {report}");
}

#[test]
fn doctor_finds_nothing_wrong_where_nothing_is() {
    let globus = Globus::start();
    let gateway = plan(&globus).prepare();
    let (status, report) = doctor(&gateway, &["--stage", "post"]);
    assert_eq!(status, Some(0), "{report}");
    let idle = ["globus.compute"];
    assert_eq!(report["summary"]["pass"], report["checks"].as_array().unwrap().len() - idle.len());
    for check in idle {
        assert_eq!(outcome(&report, check), "not_applicable");
    }
    let text = gateway.run(&["doctor", "--only", "globus"]);
    assert!(text.contains("pass  globus.policies"), "{text}");
    assert!(text.ends_with("0 warnings, 0 failed\n"), "{text}");
}

#[tokio::test]
async fn globus_being_away_is_no_reason_not_to_start() {
    let mut globus = Globus::start();
    globus.know_member("good", "ada@anl.gov");
    globus.stop();
    let gateway = plan(&globus).start();
    assert!(gateway.log().contains("auth.globus could not be checked"), "{}", gateway.log());
    let caller = Caller::of(&gateway);
    caller.get("/v1/models").await.ok();
    assert_eq!(caller.with_key("good").get("/v1/models").await.status, 503);
    let (status, report) = doctor(&gateway, &[]);
    assert_eq!((status, outcome(&report, "globus.groups").as_str()), (Some(0), Some("warn")));
}

#[tokio::test]
async fn with_globus_no_api_key_is_needed() {
    let globus = Globus::start();
    globus.know_member("good", "ada@anl.gov");
    let mut gateway = plan(&globus).prepare();
    let keys: Value =
        serde_json::from_str(&gateway.run(&["--output", "json", "key", "list"])).unwrap();
    let id = keys[0]["id"].as_str().or_else(|| keys["keys"][0]["id"].as_str()).unwrap();
    gateway.run(&["--yes", "key", "revoke", id]);

    gateway.serve();

    Caller::of(&gateway).with_key("good").get("/v1/models").await.ok();
}
