//! The real `openai` and `anthropic` Python clients: first straight at the fake back end, which
//! shows that it is well formed, then through figw.

#![allow(clippy::panic, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use support::{
    fake::Fake,
    gateway::{BACKEND_KEY, Gateway, Plan},
};

/// What to run when the clients cannot be run.
const REMEDY: &str = "run scripts/test, or: python3 -m venv .venv && \
    .venv/bin/pip install --require-hashes -r tests/clients/requirements.txt \
    (FIGW_TEST_PYTHON names another interpreter)";

/// The models that the stories ask for.
const MODELS: [&str; 11] = [
    "fake-model",
    "fault-status-400",
    "fault-status-404",
    "fault-status-429",
    "fault-status-500",
    "fault-status-503",
    "fault-error-event",
    "fault-html",
    "fault-malformed-json",
    "fault-reset-midway",
    "fault-no-usage",
];

fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    env::var_os("FIGW_TEST_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from)
}

/// Runs one story, which must succeed.
fn tell(story: &str, url: &str, key: &str) {
    let python = python();
    let told = Command::new(&python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(story))
        .env("FIGW_URL", url)
        .env("FIGW_KEY", key)
        .env_remove("OPENAI_API_KEY")
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env("NO_PROXY", "*")
        .output()
        .unwrap_or_else(|e| panic!("cannot run {}: {e}; {REMEDY}", python.display()));
    let log = String::from_utf8_lossy(&told.stderr);
    assert!(!log.contains("ModuleNotFoundError"), "{log}\n{REMEDY}");
    assert!(told.status.success(), "{story} at {url}:\n{log}");
    assert!(log.contains("\nOK") && !log.contains("Ran 0 tests"), "{story} told nothing:\n{log}");
}

/// A gateway with all that the stories of refusals need.
fn gateway(fake: &Fake) -> Gateway {
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(MODELS)
        .restricted_model("restricted-model", "3a8f1a2c-9a54-4b0e-8d0a-5b6f4f6f2d11")
        .model_on("closed", "model-in-maintenance")
        .prepare();
    gateway.run(&["maintenance", "on", "closed"]);
    gateway.serve();
    gateway
}

#[test]
fn the_fake_back_end_satisfies_openai_s_client() {
    tell("openai_answers.py", &Fake::start().url(), "any");
}

#[test]
fn the_fake_back_end_satisfies_anthropic_s_client() {
    tell("anthropic_answers.py", &Fake::start().url(), "any");
}

#[test]
fn openai_s_client_is_answered_through_figw() {
    let fake = Fake::start();
    let gateway = gateway(&fake);
    tell("openai_answers.py", &gateway.url(), gateway.key());
    let received = fake.last_received();
    assert_eq!(received.headers["authorization"], format!("Bearer {BACKEND_KEY}"));
}

#[test]
fn openai_s_client_is_refused_by_figw_with_typed_errors() {
    let fake = Fake::start();
    let gateway = gateway(&fake);
    tell("openai_refusals.py", &gateway.url(), gateway.key());
}

#[test]
fn anthropic_s_client_is_answered_through_figw() {
    let fake = Fake::start();
    let gateway = gateway(&fake);
    tell("anthropic_answers.py", &gateway.url(), gateway.key());
    let received = fake.last_received();
    assert_eq!(received.headers.get("x-api-key"), None, "a caller's key stays with figw");
}

#[test]
fn anthropic_s_client_is_refused_by_figw_in_its_own_shape() {
    let fake = Fake::start();
    let gateway = gateway(&fake);
    tell("anthropic_refusals.py", &gateway.url(), gateway.key());
}
