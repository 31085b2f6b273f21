//! PostgreSQL and Redis on this machine, and who can reach them.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    time::Duration,
};

use url::{Host, Url};

use super::{Finding, Subject, attestation, firewall::Firewall, urls};
use crate::ops::health;

/// How long the resolver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Servers of this configuration that run on this machine.
#[derive(Debug, Default)]
struct Seen {
    ports: BTreeSet<u16>,
    /// Where the network can reach them.
    open: Vec<String>,
}

/// PostgreSQL and Redis on this machine listen to this machine alone.
pub(super) async fn check(subject: &Subject) -> Finding {
    let secrets = subject.config().secrets();
    let looked = health::within(PATIENCE, move || {
        let stores = secrets.iter().filter(|secret| urls::is_store(secret.key()));
        let urls = stores.flat_map(|secret| {
            urls::revealed(secret).into_iter().map(|url| (secret.key().to_owned(), url))
        });
        look(&urls.collect::<Vec<_>>(), &listeners())
    });
    let Some(seen) = looked.await else {
        let evidence = "the hosts of databases cannot be looked up: the resolver does not answer";
        return Finding::warn(evidence, "look at /etc/resolv.conf");
    };
    if !seen.open.is_empty() {
        let attested = attestation::in_force(subject, "firewall");
        return judge(&seen.open, Firewall::look().await, attested.as_deref());
    }
    if seen.ports.is_empty() {
        return Finding::not_applicable("no PostgreSQL or Redis of this configuration is here");
    }
    let ports: Vec<_> = seen.ports.iter().map(|port| format!("port {port}")).collect();
    Finding::pass(format!("{} listen to this machine alone", ports.join(" and ")))
}

fn look(urls: &[(String, Url)], listeners: &BTreeSet<SocketAddr>) -> Seen {
    let mut seen = Seen::default();
    for (key, url) in urls {
        let usual = if url.scheme().starts_with("redis") { 6379 } else { 5432 };
        let port = url.port().unwrap_or(usual);
        if !is_here(url, listeners) {
            continue;
        }
        let is_first = seen.ports.insert(port);
        let open = listeners.iter().filter(|at| at.port() == port && !at.ip().is_loopback());
        seen.open.extend(open.filter(|_| is_first).map(|at| format!("{at} ({key})")));
    }
    seen
}

/// What it means that the network could reach these.
fn judge(open: &[String], firewall: Firewall, attested: Option<&str>) -> Finding {
    let open = open.join(", ");
    let remedy = "set listen_addresses = 'localhost' (postgresql.conf), bind 127.0.0.1 (redis.conf), or \
                  close the port to all but the instances in the firewall, and attest it \
                  (`figw doctor --attest firewall --by NAME`)";
    match (firewall, attested) {
        (Firewall::InForce(whose), Some(attested)) => {
            Finding::pass(format!("{open}: {whose} decides who gets there, {attested}"))
        }
        // Which addresses its rules let in there, only a person can say.
        (Firewall::InForce(whose), None) => {
            let evidence = format!("the network can reach {open}, unless {whose} keeps it out");
            Finding::warn(evidence, remedy)
        }
        (Firewall::Open | Firewall::Unreadable, _) => {
            Finding::fail(format!("the network can reach {open}"), remedy)
        }
    }
}

/// Whether a server of that URL runs on this machine: its host is this machine, or one of the
/// addresses that are listened on.
fn is_here(url: &Url, listeners: &BTreeSet<SocketAddr>) -> bool {
    let Some(host) = urls::host(url) else { return false };
    if urls::is_loopback(&host) {
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

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn each_host_of_a_database_is_looked_for_here() {
        let urls = |text: &str| {
            let all = urls::each(text).into_iter();
            all.map(|url| ("database.url".to_owned(), url)).collect::<Vec<_>>()
        };
        let at = |addresses: &[&str]| addresses.iter().map(|at| at.parse().unwrap()).collect();
        let open = at(&["0.0.0.0:5433", "127.0.0.1:5432"]);
        let seen = look(&urls("postgres://u@192.0.2.1:5432,127.0.0.1:5433/figw"), &open);
        assert_eq!(seen.open, ["0.0.0.0:5433 (database.url)"]);
        let seen = look(&urls("postgres://u@127.0.0.1/figw"), &open);
        assert_eq!((seen.ports, seen.open), ([5432].into(), Vec::new()));
        assert!(look(&urls("postgres://u@192.0.2.1,192.0.2.2/figw"), &open).ports.is_empty());
    }

    #[test]
    fn a_firewall_may_keep_the_network_out_and_a_person_knows_whether_it_does() {
        let open = ["0.0.0.0:6379 (cache.redis_url)".to_owned()];
        let nftables = Firewall::InForce("nftables");
        for (firewall, attested, outcome) in [
            (Firewall::Unreadable, Some("attested by Ada"), Outcome::Fail),
            (Firewall::Open, Some("attested by Ada"), Outcome::Fail),
            (nftables, None, Outcome::Warn),
            (nftables, Some("attested by Ada"), Outcome::Pass),
        ] {
            let found = judge(&open, firewall, attested);
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert!(found.evidence.contains("0.0.0.0:6379 (cache.redis_url)"), "{found:?}");
        }
    }

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
}
