//! Single checks of `figw doctor` that need the program itself, or a gateway that runs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{fs, process::Stdio};

use serde_json::Value;
use support::{
    backups::Said,
    certificates::write_certificate,
    checklist::Report,
    gateway::{Gateway, Plan},
};

#[test]
fn what_the_running_gateway_was_started_with_counts() {
    let mut gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).prepare();
    let log_level = |gateway: &Gateway| {
        let mut doctor = gateway.command();
        doctor.env_remove("RUST_LOG");
        Report::of(doctor, &["--only", "debug.log_level"])
    };
    assert_eq!(log_level(&gateway).outcome("debug.log_level"), "pass", "it does not run");
    gateway.set_variable("RUST_LOG", "trace");
    gateway.serve();
    log_level(&gateway).finds(&[("debug.log_level", "fail", "the running gateway logs trace")]);
}

#[test]
fn a_good_certificate_that_is_not_served_yet_is_a_warning() {
    let mut gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).prepare();
    write_certificate(gateway.directory(), 400);
    gateway.set_variable("FIGW_SERVER__TLS__CERTIFICATE", "certificate.pem");
    gateway.set_variable("FIGW_SERVER__TLS__KEY", "key.pem");
    let tls = |gateway: &Gateway| {
        Report::of(
            gateway.command(),
            &["--stage", "pre", "--only", "tls.key", "--only", "tls.certificate"],
        )
    };
    let report = tls(&gateway);
    report.finds(&[("tls.certificate", "warn", "file: valid until")]);
    assert_eq!((report.outcome("tls.key"), report.status), ("pass", Some(0)));

    let other = tempfile::tempdir().unwrap();
    write_certificate(other.path(), 400);
    fs::copy(other.path().join("key.pem"), gateway.directory().join("key.pem")).unwrap();
    tls(&gateway).finds(&[("tls.key", "fail", "key.pem is not the key of certificate.pem")]);
}

#[test]
fn attestations_are_asked_for_again_and_are_never_made_by_chance() {
    let gateway = Plan::in_front_of("http://127.0.0.1:9/v1").models(["m"]).prepare();
    let doctor = |arguments: &[&str]| {
        let mut command = gateway.command();
        command.arg("doctor").args(arguments).stdin(Stdio::null());
        Said::from(command.output().unwrap())
    };
    assert_eq!(doctor(&["--attest", "load_test"]).status, Some(2), "by whom?");
    assert_eq!(doctor(&["--attest", "weather", "--by", "Ada"]).status, Some(2));
    assert_eq!(doctor(&["--attest", "load_test", "--by", " "]).status, Some(2));
    assert_eq!(doctor(&["--only", "attested.load_test"]).status, Some(1), "nobody is asked");
    assert_eq!(doctor(&["--attest", "load_test", "--by", "Ada"]).status, Some(0));
    assert_eq!(doctor(&["--only", "attested.load_test"]).status, Some(0));

    let file = gateway.directory().join("state/attestations.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut kept: Value = serde_json::from_str(&text).unwrap();
    kept["load_test"]["at"] = "2020-01-02T03:04:05Z".into();
    fs::write(&file, kept.to_string()).unwrap();
    let said = doctor(&["--only", "attested.load_test"]);
    assert!(said.stdout.contains("WARN") && said.stdout.contains("too long ago"), "{said:?}");
    fs::write(&file, "{").unwrap();
    let said = doctor(&["--attest", "load_test", "--by", "Ada"]);
    assert!(said.status == Some(1) && said.stderr.contains("makes no sense"), "{said:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{", "nothing is overwritten unread");

    assert_eq!(doctor(&["--only", "nonsense"]).status, Some(2));
    assert_eq!(doctor(&["--only", "globus"]).status, Some(1), "nothing was looked at");
}
