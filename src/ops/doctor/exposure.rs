//! What others can reach, and whether they can listen in.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
};

use rustls::pki_types::{CertificateDer, pem::PemObject};
use secrecy::ExposeSecret;
use url::{Host, Url};
use x509_parser::public_key::PublicKey;

use super::{Finding, Subject, attestation};
use crate::config::{Network, SecretUrl};

/// Shortest RSA key that is taken for safe, in bits.
const LEAST_RSA: usize = 2048;

/// A trusted network with more addresses than this power of two is no list of proxies.
const WIDEST_PROXIES: u8 = 16;

/// What users send is encrypted on its way, here or by a proxy in front.
pub(super) fn listener(subject: &Subject) -> Finding {
    let server = subject.server();
    let listen = server.listen;
    if server.tls.is_set() {
        return Finding::pass(format!("{listen} speaks TLS"));
    }
    if listen.ip().is_loopback() {
        return Finding::pass(format!("{listen} is reached from this machine only"));
    }
    if server.trusted_proxies.is_empty() {
        return Finding::fail(
            format!("{listen} takes keys and prompts in plain text from the network"),
            "set server.tls, or listen on 127.0.0.1 behind nginx (`figw generate nginx`)",
        );
    }
    let proxies: Vec<_> = server.trusted_proxies.iter().map(ToString::to_string).collect();
    let proxies = proxies.join(", ");
    // Whom figw believes does not decide who may connect.
    if server.trusted_proxies.iter().all(Network::is_loopback) {
        return Finding::fail(
            format!(
                "{listen} takes keys and prompts in plain text from the network; that {proxies} is \
                 trusted keeps nobody out"
            ),
            "listen on 127.0.0.1, where that proxy is, or set server.tls",
        );
    }
    if let Some(told) = attestation::in_force(subject, "firewall") {
        return Finding::pass(format!(
            "{listen} speaks plain HTTP, to the proxies at {proxies}; its firewall was {told}"
        ));
    }
    Finding::warn(
        format!(
            "{listen} speaks plain HTTP, to the proxies at {proxies} and, unless a firewall keeps \
             them out, to all who go round these"
        ),
        "set server.tls, or close the port to all but the proxies (`figw generate firewall`) and attest \
         it (`figw doctor --attest firewall --by NAME`)",
    )
}

/// The certificate's own key is long enough.
pub(super) fn key(subject: &Subject) -> Finding {
    let Some(path) = &subject.server().tls.certificate else {
        return Finding::not_applicable("server.tls is not set");
    };
    let read = CertificateDer::pem_file_iter(path).and_then(|mut all| all.next().transpose());
    let Ok(Some(certificate)) = read else {
        let evidence = format!("{} holds no certificate that can be read", path.display());
        return Finding::fail(evidence, "put the certificate and its chain there, in PEM");
    };
    let parsed = x509_parser::parse_x509_certificate(&certificate);
    let Ok((_, parsed)) = parsed else {
        let evidence = format!("the certificate in {} cannot be read", path.display());
        return Finding::fail(evidence, "have it issued anew");
    };
    match parsed.public_key().parsed() {
        Ok(PublicKey::RSA(key)) if key.key_size() < LEAST_RSA => Finding::fail(
            format!("its RSA key has {} bits", key.key_size()),
            "make a new key, such as with `openssl ecparam -name prime256v1 -genkey`, and a \
             certificate for it",
        ),
        Ok(PublicKey::RSA(key)) => Finding::pass(format!("an RSA key of {} bits", key.key_size())),
        Ok(PublicKey::EC(point)) => {
            Finding::pass(format!("an elliptic-curve key of {} bits", point.key_size()))
        }
        Ok(_) => Finding::pass("a key of another kind"),
        Err(_) => Finding::warn("its key is of no kind that is known", "look at it with openssl"),
    }
}

/// What the database is sent is encrypted, unless it does not leave this machine.
pub(super) fn database_encryption(subject: &Subject) -> Finding {
    let config = subject.config();
    let urls = std::iter::once(&config.database.url).chain(&config.database.read_replicas);
    let mut complaints = Vec::new();
    for url in urls.chain(config.cache.redis_url.as_ref()) {
        let Some(parsed) = reveal(url) else { continue };
        let Some(host) = parsed.host_str() else { continue };
        let mode = parsed.query_pairs().find(|(name, _)| name == "sslmode");
        let is_encrypted = match parsed.scheme() {
            "rediss" => true,
            "redis" => false,
            _ => mode.is_some_and(|(_, mode)| mode.starts_with("verify") || mode == "require"),
        };
        if !is_encrypted && !is_loopback(host) {
            complaints.push(format!("{} goes to {host} in plain text", url.secret().key()));
        }
    }
    if complaints.is_empty() {
        return Finding::pass("no connection to a database leaves this machine in plain text");
    }
    let remedy = "add `?sslmode=verify-full` to a PostgreSQL URL, and write `rediss://` for Redis";
    Finding::warn(complaints.join("; "), remedy)
}

fn reveal(url: &SecretUrl) -> Option<Url> {
    let text = url.reveal().ok()?;
    let text = text.expose_secret();
    if text.starts_with("sqlite:") { None } else { Url::parse(text).ok() }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with("%2F")
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The operator's own door is not open to the network.
pub(super) fn admin(subject: &Subject) -> Finding {
    let listen = subject.server().admin_listen;
    if listen.ip().is_loopback() {
        return Finding::pass(format!("{listen} is reached from this machine only"));
    }
    Finding::warn(
        format!("{listen} can be reached from the network; only server.admin_token guards it"),
        "set server.admin_listen to 127.0.0.1:8001, or confine it with `figw generate firewall`",
    )
}

/// PostgreSQL and Redis on this machine listen to this machine alone.
pub(super) fn services(subject: &Subject) -> Finding {
    let config = subject.config();
    let urls = [Some(&config.database.url), config.cache.redis_url.as_ref()];
    let mut looked_at = Vec::new();
    let mut complaints = Vec::new();
    let listeners = listeners();
    for url in urls.into_iter().flatten() {
        let Some(parsed) = reveal(url) else { continue };
        let usual = if parsed.scheme().starts_with("redis") { 6379 } else { 5432 };
        let port = parsed.port().unwrap_or(usual);
        if !is_here(&parsed, &listeners) {
            continue;
        }
        looked_at.push(format!("port {port}"));
        let open = listeners.iter().filter(|at| at.port() == port && !at.ip().is_loopback());
        complaints.extend(open.map(|at| format!("{at} ({})", url.secret().key())));
    }
    if !complaints.is_empty() {
        return Finding::fail(
            format!("the network can reach {}", complaints.join(", ")),
            "set listen_addresses = 'localhost' (postgresql.conf), bind 127.0.0.1 (redis.conf), or \
             apply `figw generate firewall`",
        );
    }
    if looked_at.is_empty() {
        return Finding::not_applicable("no PostgreSQL or Redis of this configuration is here");
    }
    Finding::pass(format!("{} listen to this machine alone", looked_at.join(" and ")))
}

/// Whether a server of that URL runs on this machine: its host is this machine, or one of the
/// addresses that are listened on.
fn is_here(url: &Url, listeners: &BTreeSet<SocketAddr>) -> bool {
    let Some(host) = url.host_str() else { return false };
    if is_loopback(host) {
        return true;
    }
    let own: BTreeSet<_> = listeners.iter().map(SocketAddr::ip).collect();
    match url.host() {
        Some(Host::Ipv4(ip)) => own.contains(&IpAddr::from(ip)),
        Some(Host::Ipv6(ip)) => own.contains(&IpAddr::from(ip)),
        _ => (host, 0).to_socket_addrs().is_ok_and(|mut all| all.any(|at| own.contains(&at.ip()))),
    }
}

/// What listens on this machine, as the kernel tells; nothing where it does not.
fn listeners() -> BTreeSet<SocketAddr> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let texts = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    texts.flat_map(|text| text.lines().filter_map(listener_in).collect::<Vec<_>>()).collect()
}

/// A line of `/proc/net/tcp`: the number, the local address and port in hexadecimal, the other one,
/// and the state, of which `0A` is listening.
fn listener_in(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (ip, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != "0A" {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    // Words of 32 bits, each in the machine's own order.
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            IpAddr::from(<[u8; 16]>::try_from(words).ok()?)
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

/// Only proxies are believed when they say who is calling.
pub(super) fn proxies(subject: &Subject) -> Finding {
    let proxies = &subject.server().trusted_proxies;
    if proxies.is_empty() {
        return Finding::not_applicable("server.trusted_proxies names none");
    }
    let wide = proxies.iter().filter(|network| network.width() > WIDEST_PROXIES);
    let wide: Vec<_> = wide.map(|network| format!("{network} is no list of proxies")).collect();
    Finding::unless(
        &wide,
        "name the proxies' own addresses in server.trusted_proxies: whoever is in there can say that \
         they are anybody",
        "each network is a small one",
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::{Outcome, attestation::Attestation, subject::tests::subject};
    use super::*;

    #[test]
    fn the_kernel_s_table_is_read() {
        let line = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000";
        let little = cfg!(target_endian = "little");
        assert!(!little || listener_in(line) == "127.0.0.1:5432".parse().ok());
        let line = "   1: 00000000000000000000000000000000:18EB 0:0 0A 0:0 00:0 0";
        assert_eq!(listener_in(line), "[::]:6379".parse().ok());
        assert_eq!(listener_in("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(listener_in("   0: 0100007F:1538 00000000:0000 01 0:0"), None, "a connection");
        let here = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(listeners().contains(&here.local_addr().unwrap()));
    }

    #[tokio::test]
    async fn a_plain_listener_is_not_guarded_by_whom_it_trusts() {
        let open = "listen: '0.0.0.0:8000'";
        for (server, outcome, word) in [
            ("listen: '127.0.0.1:8000'".to_owned(), Outcome::Pass, "this machine only"),
            (open.to_owned(), Outcome::Fail, "from the network"),
            (format!("{open}, trusted_proxies: [127.0.0.1, '::1']"), Outcome::Fail, "keeps nobody"),
            (format!("{open}, trusted_proxies: [127.0.0.0/8]"), Outcome::Fail, "keeps nobody out"),
            (format!("{open}, trusted_proxies: [127.0.0.1, 10.0.0.1]"), Outcome::Warn, "go round"),
            (format!("{open}, tls: {{certificate: c, key: k}}"), Outcome::Pass, "TLS"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let place = directory.path().display();
            let subject = subject(&format!("server: {{{server}, state_dir: {place}}}")).await;
            let found = listener(&subject);
            assert_eq!(found.outcome, outcome, "{server}: {found:?}");
            assert!(found.evidence.contains(word), "{found:?}");
        }
    }

    #[tokio::test]
    async fn what_somebody_has_looked_at_guards_a_plain_listener() {
        let directory = tempfile::tempdir().unwrap();
        let yaml = format!(
            "server: {{listen: '0.0.0.0:8000', trusted_proxies: [10.0.0.1], state_dir: {}}}",
            directory.path().display()
        );
        let subject = subject(&yaml).await;
        let by = Attestation { by: "Ada".to_owned(), at: Timestamp::now(), note: None };
        attestation::keep(subject.config(), "firewall", by).unwrap();
        let found = listener(&subject);
        assert_eq!(found.outcome, Outcome::Pass, "{found:?}");
        assert!(found.evidence.contains("its firewall was attested by Ada"), "{found:?}");
    }
}
