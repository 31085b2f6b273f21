//! What others can reach, and whether they can listen in.

use super::{Finding, Subject, attestation};
use crate::config::Network;

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
