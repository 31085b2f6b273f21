//! The dashboard: who comes in and for how long, what they see of whom, and how it looks and works in
//! a real browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper may fail its test"
)]

mod browser;
mod limits;
mod login;
mod pages;
#[path = "../support/mod.rs"]
mod support;
mod with_globus;

use support::{fake::Fake, gateway::Plan};

/// A gateway whose operators see everything.
fn plan(fake: &Fake) -> Plan {
    Plan::in_front_of(fake.api_url())
        .models(["m"])
        .settings("dashboard:\n  admin_groups: [operators]\n  session_secret: a-secret-of-more-than-32-characters\n")
}
