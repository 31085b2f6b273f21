//! `figw health` and `figw doctor` where the gateway lets not everybody in.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test")]

mod support;

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    backups::Said,
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
        serde_json::from_str(&ask(&format!("authorization: Bearer {ADMIN_TOKEN}"))).unwrap();
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
