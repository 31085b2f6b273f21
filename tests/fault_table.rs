//! The table of faults that the manual prints, held against a real gateway with a real database,
//! a real Redis, and services that can be made to fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]
#![allow(clippy::print_stderr, reason = "with --nocapture it prints the table as it was measured")]

mod support;

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use figw::ops::health::{
    catalogue,
    faults::{FAULTS, Fate, Fault, HEALTH_WITHIN, PROBES_WITHIN, named},
};
use support::{
    certificates::write_certificate,
    fake::{Fake, Fault as Misdeed},
    globus::{Service, Trouble},
    stand::Stand,
};

/// How long the gateway may take to notice: some faults show only when rows are written.
const NOTICED: Duration = Duration::from_secs(40);

/// Shared machines are slow at times; the middle one of some must keep to the promise.
const SAMPLES: usize = 9;

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The row of that name must be what can be seen now.
async fn holds(stand: &Stand, name: &str) {
    let fault = named(name).unwrap_or_else(|| panic!("no row {name}"));
    let (fates, ready) = noticed(stand, fault).await;
    eprintln!("{name}: callers {fates:?}, /ready {ready:?}");
    probes_are_quick(stand, fault).await;
    let (status, _, report, took) = stand.health(&[]);
    assert_eq!(status, i32::from(fault.health.exit_status()), "{name}: {report:#}");
    assert!(took < HEALTH_WITHIN, "{name}: figw health took {took:?}");
    let (state, within) = fault.deep;
    let (status, mut told_by, report, took) = stand.health(&["--deep"]);
    eprintln!("{name}: figw health --deep {status} after {took:?}: {told_by:?}");
    // It only repeats what /ready says.
    told_by.remove("gateway");
    assert_eq!(told_by, set(fault.told_by), "{name}: {report:#}");
    assert_eq!(status, i32::from(state.exit_status()), "{name}: {report:#}");
    assert!(took < within, "{name}: figw health --deep took {took:?}");
}

type Readiness = (u16, String, BTreeSet<String>);

/// Sends requests until the gateway looks as the row says.
async fn noticed(stand: &Stand, fault: &Fault) -> ([u16; 3], Readiness) {
    let status = |fate| match fate {
        Fate::Served | Fate::NotSent => 200,
        Fate::Refused(status) => status,
    };
    let expected = (
        [fault.key, fault.login, fault.newcomer].map(status),
        (fault.ready.status(), fault.ready.as_str().to_owned(), set(fault.troubled)),
    );
    let begun = Instant::now();
    loop {
        let seen = (stand.fates().await, stand.readiness().await);
        if seen == expected {
            return seen;
        }
        assert!(begun.elapsed() < NOTICED, "{}: {seen:?}, not {expected:?}", fault.name);
        // Served is served from the first moment on.
        for (fate, status) in [fault.key, fault.login, fault.newcomer].iter().zip(seen.0) {
            assert!(*fate != Fate::Served || status == 200, "{}: {seen:?}", fault.name);
        }
    }
}

async fn probes_are_quick(stand: &Stand, fault: &Fault) {
    for (path, expected) in [("/health", 200), ("/ready", fault.ready.status())] {
        let mut times = Vec::new();
        for _ in 0..SAMPLES {
            let (status, body, took) = stand.probe(path).await;
            assert_eq!(status, expected, "{}: {path} {body}", fault.name);
            times.push(took);
        }
        times.sort_unstable();
        eprintln!("{}: {path} {expected} in {:?}", fault.name, times[SAMPLES / 2]);
        assert!(times[SAMPLES / 2] < PROBES_WITHIN, "{}: {path} took {times:?}", fault.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_the_gateway_fails() {
    let mut stand = Stand::start(|plan| plan).await;
    holds(&stand, "none").await;
    numbers_are_documented(&stand);

    stand.postgres.query("postgres", "ALTER DATABASE stand SET default_transaction_read_only = on");
    forget_sessions(&stand);
    holds(&stand, "database read-only").await;
    stand.postgres.query("postgres", "ALTER DATABASE stand RESET default_transaction_read_only");
    forget_sessions(&stand);
    all_is_well_again(&stand).await;

    stand.tables.fill();
    holds(&stand, "database disk full").await;
    stand.tables.empty();
    all_is_well_again(&stand).await;

    stand.state.fill();
    holds(&stand, "spool disk full").await;
    stand.state.empty();
    all_is_well_again(&stand).await;

    stand.postgres.freeze();
    holds(&stand, "database hangs").await;
    stand.postgres.thaw();
    all_is_well_again(&stand).await;

    stand.postgres.stop();
    holds(&stand, "database down").await;
    stand.postgres.start();
    all_is_well_again(&stand).await;

    stand.redis.signal("STOP");
    holds(&stand, "Redis hangs").await;
    stand.redis.signal("CONT");
    all_is_well_again(&stand).await;

    stand.redis.stop();
    holds(&stand, "Redis down").await;
    stand.redis.start();
    all_is_well_again(&stand).await;

    stand.globus.trouble(Service::Auth, Some(Trouble::Refused));
    holds(&stand, "Globus Auth down").await;
    stand.globus.trouble(Service::Auth, None);
    all_is_well_again(&stand).await;

    stand.fakes[0].always(Some(Misdeed::HangBeforeHeaders));
    holds(&stand, "back end hangs").await;
    stand.fakes[0].always(None);
    all_is_well_again(&stand).await;

    let places: Vec<_> = stand.fakes.drain(..).map(|fake| fake.address()).collect();
    holds(&stand, "all back ends down").await;
    stand.fakes = places.into_iter().map(Fake::start_at).collect();
    all_is_well_again(&stand).await;

    let drain = format!("{}/admin/drain", stand.gateway.admin_url());
    assert!(reqwest::Client::new().post(drain).send().await.unwrap().status().is_success());
    holds(&stand, "draining").await;
}

/// Every check's numbers are those that the manual names.
fn numbers_are_documented(stand: &Stand) {
    let (_, _, report, _) = stand.health(&["--deep"]);
    for check in report["checks"].as_array().unwrap() {
        let (_, _, known) = catalogue().find(|(name, ..)| check["name"] == *name).unwrap();
        let measures = check["measures"].as_array().into_iter().flatten();
        for name in measures.map(|measure| measure["name"].as_str().unwrap()) {
            assert!(known.contains(&name), "{name} of {check}");
        }
    }
}

/// Connections that are open have the old setting.
fn forget_sessions(stand: &Stand) {
    let others =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'stand'";
    stand.postgres.query("postgres", others);
}

async fn all_is_well_again(stand: &Stand) {
    let begun = Instant::now();
    loop {
        let seen = (stand.fates().await, stand.readiness().await);
        let ready = (200, "ready".to_owned(), BTreeSet::new());
        if seen == ([200; 3], ready) {
            return;
        }
        assert!(begun.elapsed() < NOTICED, "not well again: {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_expires() {
    let tls = |plan: support::gateway::Plan| {
        plan.set("server.tls.certificate", "certificate.pem").set("server.tls.key", "key.pem")
    };
    let before =
        |gateway: &mut support::gateway::Gateway| write_certificate(gateway.directory(), -1);
    let stand = Stand::start_with(tls, before).await;
    holds(&stand, "certificate expired").await;
    let url = format!("https://127.0.0.1:{}/health", stand.gateway.address().port());
    let mut careful = Command::new("curl");
    careful.args(["-sS", "--noproxy", "*", "--cacert"]);
    let said = careful.arg(stand.gateway.directory().join("certificate.pem")).arg(url).output();
    let said = said.unwrap();
    assert_eq!(said.status.code(), Some(60), "{said:?}");
    assert!(String::from_utf8_lossy(&said.stderr).contains("expired"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_is_an_hour_fast() {
    // The way of faketime(1), for this gateway and its commands alone.
    let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
        .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketimeMT.so.1"));
    let library = library.iter().find(|path| std::path::Path::new(path).exists());
    let library = library.expect("faketime is installed, see scripts/test");
    let stand = Stand::start_with(
        |plan| plan,
        |gateway| {
            for (name, value) in [
                ("LD_PRELOAD", library.as_str()),
                ("FAKETIME", "+1h"),
                ("DONT_FAKE_MONOTONIC", "1"),
            ] {
                gateway.set_variable(name, value);
            }
        },
    )
    .await;
    holds(&stand, "clock off").await;
}

#[test]
fn every_row_is_held_against_a_gateway() {
    let source = include_str!("fault_table.rs");
    for fault in FAULTS {
        let call = format!("holds(&stand, \"{}\")", fault.name);
        assert!(source.contains(&call), "nobody looks at {}", fault.name);
    }
}
