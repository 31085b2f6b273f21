//! What an outage looks like from outside, and what it must not have cost.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::time::sleep;

use super::{gateway::Gateway, load::Outcome};

/// For what is no promise: plenty, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn readiness(gateway: &Gateway) -> (u16, Value) {
    let (status, body) = gateway.get("/ready").expect("figw answers");
    (status, serde_json::from_str(&body).unwrap())
}

pub async fn becomes_ready_as(gateway: &Gateway, word: &str) -> Value {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let (status, body) = readiness(gateway);
        assert_eq!(status, 200, "{body}");
        if body["status"] == word {
            return body;
        }
        assert!(Instant::now() < given_up, "never {word}: {body}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Every answered request has its row, and no row stands there twice.
pub fn assert_each_has_one_row(gateway: &Gateway, outcomes: &[Outcome]) {
    let rows = gateway.wait_for_usage(outcomes.len());
    let written: HashSet<_> = rows.iter().map(|row| row.request_id.as_str()).collect();
    assert_eq!(written.len(), rows.len(), "doubled rows");
    for outcome in outcomes {
        let (_, id) = outcome.answer.as_ref().unwrap();
        assert!(written.contains(id.as_str()), "no row for {id}");
    }
}

/// One of the checks in the body of `/ready`.
#[track_caller]
pub fn check<'a>(body: &'a Value, name: &str) -> &'a Value {
    let checks = body["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {body}"))
}

/// Waits until a check of `/ready` says this.
pub async fn check_says(gateway: &Gateway, name: &str, text: &str) {
    let given_up = Instant::now() + PATIENCE;
    loop {
        let (status, body) = readiness(gateway);
        assert_eq!(status, 200, "{body}");
        if check(&body, name)["reason"].as_str().is_some_and(|reason| reason.contains(text)) {
            return;
        }
        assert!(Instant::now() < given_up, "{name} never says {text:?}: {body}");
        sleep(Duration::from_millis(50)).await;
    }
}
