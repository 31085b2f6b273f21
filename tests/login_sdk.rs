//! FIRST's helper, by the real Globus SDK, and figw share one login.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod support;

use std::fs;

use serde_json::json;
use support::{
    login_server::{ADA, LoginServer},
    person::{CLIENT, GATEWAY, Person},
    python,
};

/// Runs FIRST's helper at this person's terminal, and returns what it prints.
fn first(person: &Person, auth: &LoginServer, arguments: &[&str]) -> String {
    let told = python::run(
        python::script("login/first.py")
            .args(arguments)
            .env("HOME", person.home())
            .env("GLOBUS_SDK_SERVICE_URL_AUTH", auth.url())
            .env("CLIENT", CLIENT)
            .env("GATEWAY", GATEWAY),
    );
    let log = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "first.py {arguments:?}: {log}");
    String::from_utf8(told.stdout).unwrap()
}

#[test]
fn the_sdk_reads_and_renews_a_login_that_figw_made() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    assert_eq!(first(&ada, &auth, &["token"]), ada.run(&["token"]).stdout);
    ada.let_it_end_in(10);
    let renewed = first(&ada, &auth, &["token"]);
    assert_eq!(auth.grants("refresh_token").len(), 1);
    assert_eq!(ada.run(&["token"]).stdout, renewed);
    ada.let_it_end_in(10);
    let renewed = ada.run(&["token"]).stdout;
    assert_eq!(auth.grants("refresh_token").len(), 2);
    assert_eq!(first(&ada, &auth, &["token"]), renewed);
}

#[test]
fn figw_reads_renews_and_ends_a_login_that_the_sdk_made() {
    let auth = LoginServer::start();
    let (ada, template) = (Person::new(&auth), Person::new(&auth));
    template.log_in();
    let mut kept = template.tokens()["data"]["DEFAULT"].clone();
    for entry in kept.as_object_mut().unwrap().values_mut() {
        entry.as_object_mut().unwrap().remove("obtained_by");
    }
    let file = ada.home().join("login.json");
    fs::write(&file, kept.to_string()).unwrap();
    first(&ada, &auth, &["keep", file.to_str().unwrap()]);
    assert_eq!(ada.tokens()["data"]["DEFAULT"], kept);

    let target = ["--client-id", CLIENT, "--gateway", GATEWAY];
    let figw = |command: &str| ada.run(&[&[command][..], &target[..]].concat());
    assert_eq!(figw("token").stdout.trim(), kept[GATEWAY]["access_token"]);
    ada.let_it_end_in(10);
    let renewed = figw("token");
    assert_eq!(renewed.status, 0, "{renewed:?}");
    assert_eq!(first(&ada, &auth, &["token"]), renewed.stdout);
    assert_eq!(figw("logout").status, 0);
    let left = ada.tokens()["data"]["DEFAULT"].clone();
    assert_eq!(left, json!({ "auth.globus.org": kept["auth.globus.org"] }), "the SDK's own stays");
}

#[test]
fn a_logout_by_the_sdk_is_one_for_figw_too() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    ada.log_in();
    assert_eq!(ada.entry()["identity_id"], ADA);
    first(&ada, &auth, &["logout"]);
    let said = ada.run(&["token"]);
    assert_eq!(said.status, 1);
    assert!(said.stderr.contains("run `figw login`"), "{}", said.stderr);
}

#[test]
fn an_application_of_another_name_has_its_file_where_the_sdk_has_it() {
    let auth = LoginServer::start();
    let ada = Person::new(&auth);
    for name in ["My App v1.2?", "a/b", "ÜBER\u{7}app"] {
        let waiting = ada.begin(&["--output", "json", "--app-name", name]);
        support::person::browse(waiting.url.as_str());
        let report: serde_json::Value = serde_json::from_str(&waiting.end().stdout).unwrap();
        assert_eq!(report["file"], first(&ada, &auth, &["path", name]).trim(), "{name}");
    }
}
