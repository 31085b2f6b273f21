//! What the gateway accepts, refuses and learns from a request's body.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod chat;
mod completions;
mod embeddings;
mod json;
mod messages;
mod responses;
mod splice;

use figw::domain::Route;
use figw::gateway::scan::{Invalid, Scan, scan};

/// The scan of a body that must be valid.
fn accepted(route: Route, body: &str) -> Scan<'_> {
    scan(route, body.as_bytes()).unwrap_or_else(|refusal| panic!("{body}\nrefused: {refusal:?}"))
}

/// The refusal of a body that must not be.
fn refused(route: Route, body: &str) -> Invalid {
    let refusal = scan(route, body.as_bytes()).expect_err(body);
    assert!(!refusal.message.contains('\n'), "one line: {}", refusal.message);
    refusal
}

/// Each body is refused, and the refusal names the field beside it.
fn each_names_its_field(route: Route, cases: &[(String, &str)]) {
    for (body, param) in cases {
        serde_json::from_str::<serde_json::Value>(body).expect(body);
        let refusal = refused(route, body);
        assert_eq!(refusal.param.as_deref(), Some(*param), "{body}\n{refusal}");
        assert!(refusal.code.is_some(), "{body}");
        assert!(refusal.message.contains(param), "{refusal} names {param}");
    }
}

fn each_passes(route: Route, bodies: &[String]) {
    for body in bodies {
        serde_json::from_str::<serde_json::Value>(body).expect(body);
        accepted(route, body);
    }
}
