//! HTTPS: judged by sslyze, with certificates that are replaced while serving; and what proxies in
//! front say about where a request comes from.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper may fail its test")]

mod support;

use std::{
    env, fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Version, redirect::Policy};
use serde_json::Value;
use support::{
    fake::{Fake, MODELS},
    gateway::{Gateway, Plan},
    ports::free_port,
    requests::{chat, streamed_chat},
};
use time::{Duration as Days, OffsetDateTime};

/// A model that takes its time.
const SLOW: &str = "fault-slow-chunks-100";

/// An authority and what it has issued.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// A certificate for 127.0.0.1 and its key, in PEM.
    fn issue(&self) -> (String, String) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        let now = OffsetDateTime::now_utc();
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (now - Days::days(1), now + Days::days(90));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Puts a new certificate where the gateway looks for it, as a certificate's renewal does.
    fn renew(&self, gateway: &Gateway) {
        let (certificate, key) = self.issue();
        replace(&gateway.directory().join("certificate.pem"), &certificate);
        replace(&gateway.directory().join("key.pem"), &key);
    }

    fn client(&self) -> ClientBuilder {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let root = Certificate::from_pem(self.issuer.pem().as_bytes()).unwrap();
        Client::builder().tls_certs_only([root]).timeout(Duration::from_secs(20)).no_proxy()
    }
}

/// At one moment, so that nobody reads half of it.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A gateway that speaks HTTPS with a certificate of this authority, and has these settings.
fn secure(back_end: &Fake, authority: &Authority, settings: &[(&str, &str)]) -> Gateway {
    let plan = Plan::in_front_of(back_end.api_url()).models(MODELS).models([SLOW]);
    let plan = settings.iter().fold(plan, |plan, (key, value)| plan.set(key, value));
    let mut gateway = plan
        .set("server.tls.certificate", "certificate.pem")
        .set("server.tls.key", "key.pem")
        .prepare();
    authority.renew(&gateway);
    fs::write(gateway.directory().join("authority.pem"), authority.issuer.pem()).unwrap();
    gateway.serve_unseen();
    gateway
}

fn url(gateway: &Gateway, path: &str) -> String {
    format!("https://127.0.0.1:{}{path}", gateway.address().port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chats_and_streams_go_over_both_versions_of_http() {
    let (back_end, authority) = (Fake::start(), Authority::new());
    let gateway = secure(&back_end, &authority, &[]);
    for (client, version) in [
        (authority.client().build().unwrap(), Version::HTTP_2),
        (authority.client().http1_only().build().unwrap(), Version::HTTP_11),
    ] {
        let ask = |body: Value| {
            let request = client.post(url(&gateway, "/v1/chat/completions"));
            request.bearer_auth(gateway.key()).json(&body).send()
        };
        let answer = ask(chat(MODELS[0])).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=63072000");
        assert!(answer.headers().contains_key("x-request-id"));
        let stream = ask(streamed_chat(MODELS[0], 40)).await.unwrap();
        assert_eq!(stream.headers()["content-type"], "text/event-stream; charset=utf-8");
        let text = stream.text().await.unwrap();
        assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
        assert!(text.matches("data: ").count() >= 41, "{text}");
    }
    // Who hangs up over HTTP/2 resets his stream, not the connection.
    let client = authority.client().build().unwrap();
    let request = client.post(url(&gateway, "/v1/chat/completions")).bearer_auth(gateway.key());
    let stream = request.json(&streamed_chat(SLOW, 1000)).send().await.unwrap();
    assert_eq!(gateway.status()["in_flight"], 1);
    drop(stream);
    gateway.wait_until_idle(Duration::from_millis(500));
    let health = gateway.run(&["health"]);
    assert!(health.starts_with("FIGW OK"), "{health}");
    let plain = gateway.get("/health");
    assert!(plain.is_none_or(|(status, _)| status != 200), "no plain HTTP on this port");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_swapped_under_load_without_a_failed_handshake() {
    let (back_end, authority) = (Fake::start(), Authority::new());
    let gateway = Arc::new(secure(&back_end, &authority, &[]));
    let (done, shaken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            // No connection is kept: each request shakes hands.
            let client = authority.client().pool_max_idle_per_host(0).build().unwrap();
            let (done, shaken) = (Arc::clone(&done), Arc::clone(&shaken));
            let url = url(&gateway, "/health");
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let answer = client.get(&url).send().await.expect("a handshake");
                    assert_eq!(answer.status(), 200);
                    shaken.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut served = vec![certificate_of(&gateway)];
    for round in 0..4 {
        authority.renew(&gateway);
        if round % 2 == 0 {
            gateway.signal("HUP");
        }
        let new = eventually(|| {
            let now = certificate_of(&gateway);
            (!served.contains(&now)).then_some(now)
        });
        served.push(new.await);
    }
    // What cannot be used is not taken.
    replace(&gateway.directory().join("key.pem"), &authority.issue().1);
    gateway.signal("HUP");
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(certificate_of(&gateway), served[4]);
    assert!(gateway.log().contains("the old certificate stays in use"), "{}", gateway.log());
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    let shaken = shaken.load(Ordering::Relaxed);
    assert!(shaken > 200, "only {shaken} handshakes");
}

async fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(found) = look() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unreachable!("nothing happened within ten seconds")
}

/// The certificate that is served now, as OpenSSL sees it.
fn certificate_of(gateway: &Gateway) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &gateway.address().to_string()])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let begin = text.find("-----BEGIN CERTIFICATE").expect("a certificate");
    let end = text.find("-----END CERTIFICATE").expect("a whole certificate");
    text[begin..end].to_owned()
}

#[tokio::test]
async fn a_client_certificate_can_be_demanded() {
    let (back_end, authority) = (Fake::start(), Authority::new());
    let gateway = secure(&back_end, &authority, &[("server.tls.client_ca", "authority.pem")]);
    let get = |client: ClientBuilder| client.build().unwrap().get(url(&gateway, "/health")).send();
    let with = |(certificate, key): (String, String)| {
        authority.client().identity(Identity::from_pem((certificate + &key).as_bytes()).unwrap())
    };
    assert!(get(authority.client()).await.is_err(), "without one");
    assert!(get(with(Authority::new().issue())).await.is_err(), "of a stranger");
    assert_eq!(get(with(authority.issue())).await.unwrap().status(), 200);
}

#[test]
fn sslyze_finds_mozilla_s_intermediate_profile_kept() {
    let (back_end, authority) = (Fake::start(), Authority::new());
    let gateway = secure(&back_end, &authority, &[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = env::var_os("FIGW_TEST_TLS_PYTHON")
        .map_or_else(|| root.join(".venv-tls/bin/python"), PathBuf::from);
    let output = Command::new(python)
        .args(["-m", "sslyze", "--mozilla_config", "intermediate"])
        .args([
            "--certinfo_ca_file".as_ref(),
            gateway.directory().join("authority.pem").as_os_str(),
        ])
        .arg(gateway.address().to_string())
        .output()
        .expect("scripts/test installs sslyze in .venv-tls (FIGW_TEST_TLS_PYTHON names another)");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Mozilla's \"intermediate\""), "it judged nothing: {said}{errors}");
    assert!(output.status.success(), "{said}{errors}");
}

#[tokio::test]
async fn plain_http_is_redirected() {
    let (back_end, authority) = (Fake::start(), Authority::new());
    let port = free_port();
    let redirecting = format!("127.0.0.1:{port}");
    let gateway = secure(&back_end, &authority, &[("server.redirect_http", &redirecting)]);
    let client = authority.client().redirect(Policy::none()).build().unwrap();
    let answer = client.get(format!("http://{redirecting}/v1/models?a=b")).send().await.unwrap();
    assert_eq!(answer.status(), 308);
    assert_eq!(answer.headers()["location"], url(&gateway, "/v1/models?a=b"));
    let followed = authority.client().build().unwrap();
    let followed = followed.get(format!("http://{redirecting}/health")).send().await.unwrap();
    assert_eq!((followed.status().as_u16(), followed.url().scheme()), (200, "https"));
}

#[tokio::test]
async fn long_json_is_compressed_for_who_asks_and_streams_never_are() {
    let back_end = Fake::start();
    let gateway = Plan::in_front_of(back_end.api_url()).models(MODELS).start();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().build().unwrap();
    let ask = async |body: Value, accepts: Option<&str>| {
        let request = client.post(format!("{}/v1/chat/completions", gateway.url()));
        let request = request.bearer_auth(gateway.key()).json(&body);
        let request = match accepts {
            Some(accepts) => request.header("accept-encoding", accepts),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let encoding = answer.headers().get("content-encoding").cloned();
        (encoding.map(|one| one.to_str().unwrap().to_owned()), answer.bytes().await.unwrap())
    };
    let long = || {
        let mut body = chat(MODELS[0]);
        body["max_tokens"] = 1500.into();
        body
    };
    let (encoding, plain) = ask(long(), None).await;
    assert_eq!(encoding, None);
    assert!(plain.len() > 1024, "{}", plain.len());
    let (encoding, packed) = ask(long(), Some("deflate, gzip")).await;
    assert_eq!(encoding.as_deref(), Some("gzip"));
    assert!(packed.starts_with(b"\x1f\x8b") && packed.len() < plain.len() / 2);
    let (encoding, _) = ask(chat(MODELS[0]), Some("gzip")).await;
    assert_eq!(encoding, None, "too short to be worth it");
    let (encoding, text) = ask(streamed_chat(MODELS[0], 200), Some("gzip")).await;
    assert_eq!(encoding, None);
    assert!(text.ends_with(b"data: [DONE]\n\n"));
}

/// What is answered to these bytes, until the gateway closes.
fn answer_to(gateway: &Gateway, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(gateway.address()).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    tcp.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn proxies_say_where_a_request_comes_from() {
    const GET: &[u8] = b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let back_end = Fake::start();
    let mut gateway = Plan::in_front_of(back_end.api_url())
        .models(MODELS)
        .settings("logging:\n  level: debug\n")
        .set("server.trusted_proxies", "[127.0.0.1]")
        .set("server.proxy_protocol", "true")
        .prepare();
    gateway.serve_unseen();
    let first = [b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n", GET].concat();
    assert!(answer_to(&gateway, &first).starts_with("HTTP/1.1 200"));
    assert!(gateway.log().contains("192.0.2.7"), "{}", gateway.log());
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([192, 0, 2, 8, 10, 0, 0, 1, 0x13, 0x88, 0x01, 0xbb]);
    second.extend(GET);
    assert!(answer_to(&gateway, &second).starts_with("HTTP/1.1 200"));
    assert!(gateway.log().contains("192.0.2.8"), "{}", gateway.log());
    let forwarded = b"PROXY TCP4 127.0.0.1 10.0.0.1 5000 443\r\n\
        GET /health HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.9\r\nconnection: close\r\n\r\n";
    assert!(answer_to(&gateway, forwarded).starts_with("HTTP/1.1 200"));
    assert!(gateway.log().contains("198.51.100.9"), "{}", gateway.log());
    let stranger = b"PROXY TCP4 203.0.113.5 10.0.0.1 5000 443\r\n\
        GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\nconnection: close\r\n\r\n";
    assert!(answer_to(&gateway, stranger).starts_with("HTTP/1.1 401"));
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("figw::access: GET /v1/models 401")).unwrap();
    assert!(line.contains("203.0.113.5") && !line.contains("wrong"), "{line}");
    assert_eq!(answer_to(&gateway, GET), "", "without a header, nothing is answered");
}

#[test]
fn files_that_cannot_be_used_are_named_at_the_start() {
    let back_end = Fake::start();
    let authority = Authority::new();
    let gateway = Plan::in_front_of(back_end.api_url())
        .models(MODELS)
        .set("server.tls.certificate", "certificate.pem")
        .set("server.tls.key", "key.pem")
        .prepare();
    let refused = |words: &[&str]| {
        let output = gateway.command().arg("serve").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    };
    refused(&["server.tls.certificate", "certificate.pem", "No such file"]);
    authority.renew(&gateway);
    replace(&gateway.directory().join("key.pem"), &authority.issue().1);
    refused(&["server.tls.key", "key of certificate.pem"]);
    replace(&gateway.directory().join("key.pem"), "nonsense");
    refused(&["server.tls.key", "key.pem", "private key in PEM"]);
    replace(&gateway.directory().join("certificate.pem"), "nonsense");
    refused(&["server.tls.certificate", "no certificate"]);
}
