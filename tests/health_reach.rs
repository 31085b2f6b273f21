//! `figw health` and `figw doctor` where the gateway lets not everybody in, and where files hang.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    backups::{Estate, Said},
    certificates::write_certificate,
    fake::Fake,
    gateway::{ADMIN_TOKEN, Gateway, Plan},
    small_server::{Reply, SmallServer},
};

fn run(gateway: &Gateway, arguments: &[&str]) -> Said {
    gateway.command().args(arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// The exit status, and what the one check that was asked for has seen.
fn check(gateway: &Gateway, name: &str) -> (i32, String) {
    let said = run(gateway, &["--output", "json", "health", "--only", name]);
    let evidence = said.json()["checks"][0]["evidence"].as_str().unwrap().to_owned();
    (said.status.unwrap(), evidence)
}

/// What `figw doctor` says of the service, asked with a key.
fn doctor(gateway: &Gateway, name: &str, arguments: &[&str]) -> (String, String) {
    let mut command = gateway.command();
    command.env("FIGW_DOCTOR_KEY", gateway.key()).stdin(Stdio::null());
    let said = command.args(["--output", "json", "doctor", "--only", name]).args(arguments);
    let line = Said::from(said.output().unwrap()).json()["checks"][0].take();
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("evidence"))
}

const TLS: [(&str, &str); 2] =
    [("server.tls.certificate", "certificate.pem"), ("server.tls.key", "key.pem")];

const PROXIES: [(&str, &str); 2] =
    [("server.trusted_proxies", "[127.0.0.1]"), ("server.proxy_protocol", "true")];

fn gateway(back_end: &Fake, settings: &[(&str, &str)]) -> Gateway {
    let plan = Plan::in_front_of(back_end.api_url()).models(["m"]);
    let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
    let mut gateway = plan.prepare();
    write_certificate(gateway.directory(), 90);
    gateway.serve_unseen();
    gateway
}

#[test]
fn behind_proxies_it_is_asked_as_a_proxy_asks() {
    let back_end = Fake::start();
    let with_tls = [PROXIES, TLS].concat();
    for settings in [&PROXIES[..], &with_tls] {
        let mut gateway = gateway(&back_end, settings);
        assert_eq!(check(&gateway, "gateway"), (0, "ready".to_owned()));
        for name in ["service.refuses", "service.admits", "service.answers"] {
            let (outcome, evidence) = doctor(&gateway, name, &[]);
            assert_eq!(outcome, "pass", "{name}: {evidence}");
        }
        if settings.len() > PROXIES.len() {
            let (status, evidence) = check(&gateway, "certificate");
            assert!(status == 0 && evidence.contains("served: valid until"), "{evidence}");
        }

        // At an address that was given, nobody knows what is wanted there.
        let scheme = if settings.len() > PROXIES.len() { "https" } else { "http" };
        let url = format!("{scheme}://{}", gateway.address());
        let said = run(&gateway, &["health", "--url", &url]);
        assert_eq!(said.status, Some(2), "{said:?}");
        assert!(said.stdout.contains("server.proxy_protocol"), "{said:?}");

        gateway.kill();
        let (status, evidence) = check(&gateway, "gateway");
        assert!(status == 2 && evidence.ends_with("look whether `figw serve` runs"), "{evidence}");
        assert!(evidence.contains("refused"), "{evidence}");
    }
}

#[test]
fn where_clients_show_a_certificate_the_admin_listener_is_asked() {
    let back_end = Fake::start();
    let client_ca = [("server.tls.client_ca", "certificate.pem")];
    for settings in [[&TLS[..], &client_ca].concat(), [&TLS[..], &client_ca, &PROXIES].concat()] {
        let mut gateway = gateway(&back_end, &settings);
        assert_eq!(check(&gateway, "gateway"), (0, "ready".to_owned()));
        let (status, evidence) = check(&gateway, "certificate");
        assert!(status == 0 && evidence.contains("served: valid until"), "{evidence}");
        for name in ["service.refuses", "service.admits", "service.answers"] {
            let (outcome, evidence) = doctor(&gateway, name, &[]);
            assert_eq!(outcome, "not_applicable", "{name}: {evidence}");
            assert!(evidence.contains("server.tls.client_ca"), "{name}: {evidence}");
        }
        let url = format!("https://{}", gateway.address());
        let (outcome, evidence) = doctor(&gateway, "service.refuses", &["--url", &url]);
        assert_eq!(outcome, "warn", "{evidence}");

        gateway.run(&["maintenance", "on", "local", "--notice", "cooling"]);
        let since = Instant::now();
        while check(&gateway, "gateway").0 == 0 {
            assert!(since.elapsed() < Duration::from_secs(10), "a change arrives");
        }
        let (status, evidence) = check(&gateway, "gateway");
        assert!(status == 1 && evidence.starts_with("degraded: endpoints: "), "{evidence}");

        gateway.set_variable("FIGW_SERVER__ADMIN_LISTEN", "127.0.0.1:9");
        let (status, evidence) = check(&gateway, "gateway");
        assert!(status == 3 && evidence.contains("the public listener answers"), "{evidence}");
        gateway.kill();
        let (status, evidence) = check(&gateway, "gateway");
        assert!(status == 2 && evidence.contains("refused"), "{evidence}");
    }
}

#[test]
fn the_admin_listener_tells_who_may_ask_whether_it_is_ready() {
    let back_end = Fake::start();
    let gateway = gateway(&back_end, &[("server.admin_token", ADMIN_TOKEN)]);
    let ask = |credentials: &str| {
        let address = gateway.admin_url();
        let arguments = ["-sS", "-H", credentials, &format!("{address}/ready")];
        String::from_utf8(Command::new("curl").args(arguments).output().unwrap().stdout).unwrap()
    };
    let refused: Value = serde_json::from_str(&ask("x: y")).unwrap();
    assert!(refused["error"].is_object(), "{refused}");
    let told: Value =
        serde_json::from_str(&ask(&format!("authorization: bearer {ADMIN_TOKEN}"))).unwrap();
    assert_eq!(told["status"], "ready", "{told}");
}

#[test]
fn advice_is_given_for_what_is_wrong() {
    let back_end = Fake::start();
    let gateway = gateway(&back_end, &TLS);
    let said = |url: &str| {
        let said = run(&gateway, &["health", "--url", url]);
        assert_eq!(said.status, Some(2), "{said:?}");
        said.stdout.lines().next().unwrap().to_owned()
    };
    let stranger = said(&format!("https://{}", gateway.address()));
    assert!(stranger.contains("certificate") && !stranger.contains("figw serve"), "{stranger}");
    let unknown = said("http://nowhere.invalid");
    assert!(unknown.contains("check the address"), "{unknown}");
    let plain = SmallServer::start(|_| Reply::json(200, &json!({})));
    let no_tls = said(&plain.url().replace("http:", "https:"));
    assert!(no_tls.contains("does not speak TLS") && !no_tls.contains("figw serve"), "{no_tls}");
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", closing.local_addr().unwrap());
    thread::spawn(move || closing.incoming().for_each(drop));
    let closed = said(&url);
    assert!(closed.contains("figw serve") && closed.contains("server.tls.client_ca"), "{closed}");
}

/// Whoever opens it to read waits for somebody who writes, as on a file system that hangs.
fn hang(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A place with this setting, whose secret cannot be read to its end.
fn hanging(setting: &str) -> Estate {
    let estate = Estate::sqlite();
    hang(&estate.path("secret"));
    let own = fs::read_to_string(estate.path("config.yaml")).unwrap();
    fs::write(estate.path("config.yaml"), format!("{own}{setting}")).unwrap();
    estate
}

fn in_time(estate: &Estate, longest: u64, arguments: &[&str]) -> Said {
    let begun = Instant::now();
    let said = estate.figw(arguments);
    assert!(begun.elapsed() < Duration::from_secs(longest), "{:?}", begun.elapsed());
    assert_eq!(said.stderr, "", "{said:?}");
    said
}

#[test]
fn a_secret_that_cannot_be_read_hangs_no_check_but_its_own() {
    let estate = hanging("cache: {redis_url: {file: secret}}\n");
    let said = in_time(&estate, 40, &["health", "--deep"]);
    assert!(said.stdout.contains("UNKNOWN   redis"), "{said:?}");
    assert!(said.stdout.contains("cannot be read to its end"), "{said:?}");
    assert!(said.stdout.contains("OK        database"), "the others are known: {said:?}");
    let wait = ["health", "--only", "redis", "--wait", "--timeout", "2s"];
    assert_eq!(in_time(&estate, 7, &wait).status, Some(3));
}

#[test]
fn who_cannot_be_told_for_a_secret_that_hangs_is_named() {
    let estate = hanging("alerts: {webhook: {url: {file: secret}}}\n");
    let said = in_time(&estate, 30, &["health", "--only", "gateway", "--notify"]);
    assert!(said.stdout.contains("NOT told, the next run tries again: webhook: "), "{said:?}");
    assert_eq!(said.status, Some(2), "{said:?}");
}

#[test]
fn a_configuration_that_cannot_be_read_is_unknown() {
    let estate = Estate::sqlite();
    fs::remove_file(estate.path("config.yaml")).unwrap();
    hang(&estate.path("config.yaml"));
    let said = in_time(&estate, 30, &["health"]);
    assert_eq!(said.status, Some(3), "{said:?}");
    assert!(said.stdout.contains("the configuration cannot be read"), "{said:?}");
}
