//! The real `openai` and `anthropic` Python clients: first straight at the fake back end, which
//! shows that it is well formed, then through figw.

mod support;

use support::{
    fake::Fake,
    gateway::{BACKEND_KEY, Gateway, Plan},
    python,
};

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

/// Runs one story, which must succeed.
fn tell(story: &str, url: &str, key: &str) {
    let told = python::run(
        python::script(&format!("clients/{story}"))
            .env("FIGW_URL", url)
            .env("FIGW_KEY", key)
            .env_remove("OPENAI_API_KEY")
            .env_remove("ANTHROPIC_API_KEY")
            .env_remove("ANTHROPIC_AUTH_TOKEN"),
    );
    let log = String::from_utf8_lossy(&told.stderr);
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

#[test]
fn openai_s_client_reads_its_limits() {
    let fake = Fake::start();
    let mut gateway = Plan::in_front_of(fake.api_url())
        .models(["fake-model", "fake-model-2"])
        .set("limits.requests_per_second_per_user", "4")
        .prepare();
    gateway.run(&["endpoint", "set", "local-vllm-fake-model-2", "--tpm-user", "100"]);
    gateway.serve();
    tell("openai_limits.py", &gateway.url(), gateway.key());
}
