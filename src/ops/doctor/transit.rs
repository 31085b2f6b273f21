//! Whether others can listen in to what leaves this machine.

use url::Url;

use super::{Finding, Subject, urls};
use crate::config::HttpUrl;

/// What the database is sent is encrypted, unless it does not leave this machine.
pub(super) fn database_encryption(subject: &Subject) -> Finding {
    let mut complaints = Vec::new();
    for secret in subject.config().secrets() {
        if !urls::is_store(secret.key()) {
            continue;
        }
        let open = urls::revealed(&secret).into_iter().filter(|url| !is_encrypted(url));
        let hosts = open.filter_map(|url| away(&url));
        complaints
            .extend(hosts.map(|host| format!("{} goes to {host} in plain text", secret.key())));
    }
    if complaints.is_empty() {
        return Finding::pass("no connection to a database leaves this machine in plain text");
    }
    let remedy = "add `?sslmode=verify-full` to a PostgreSQL URL, and write `rediss://` for Redis";
    Finding::warn(complaints.join("; "), remedy)
}

/// Whether a connection to a database or to Redis is sure to be encrypted.
fn is_encrypted(url: &Url) -> bool {
    match url.scheme() {
        "rediss" => true,
        "redis" => false,
        _ => urls::parameter(url, "sslmode")
            .is_some_and(|mode| mode.starts_with("verify") || mode == "require"),
    }
}

/// The host of a URL that leads to another machine.
fn away(url: &Url) -> Option<String> {
    urls::host(url).filter(|host| !urls::is_loopback(host))
}

/// Addresses that users, functions and alerts are sent to are encrypted, too.
pub(super) fn addresses(subject: &Subject) -> Finding {
    let config = subject.config();
    let dashboard = config.dashboard.public_url.as_ref().filter(|_| config.dashboard.enabled);
    let functions = config.globus_compute.streaming_public_url.as_ref();
    let public = [
        ("dashboard.public_url", dashboard, "logins and sessions"),
        ("globus_compute.streaming_public_url", functions, "what models answer"),
    ];
    let public = public.into_iter().filter_map(|(key, url, what)| {
        let url = url.map(HttpUrl::as_url).filter(|url| url.scheme() == "http")?;
        Some(format!("{key}: {what} go to {} in plain text", away(url)?))
    });
    let public: Vec<_> = public.collect();
    let secrets = config.secrets();
    let alerts = secrets.iter().filter_map(|secret| {
        let urls = urls::revealed(secret);
        let (key, url) = (secret.key(), urls.first()?);
        let what = told_in_plain_text(key, url)?;
        Some(format!("{key}: {what} goes to {} in plain text", away(url)?))
    });
    let alerts: Vec<_> = alerts.collect();
    let remedy = "write https:// for addresses, and smtps:// or `?tls=required` for mail; \
                  `figw generate nginx` has TLS for what figw itself answers";
    if alerts.is_empty() || !public.is_empty() {
        // Whoever listens in to users has their keys; to alerts, only those.
        let good = "no address of users, functions or alerts is in plain text";
        return Finding::unless(&[public, alerts].concat(), remedy, good);
    }
    Finding::warn(alerts.join("; "), remedy)
}

/// What others could read of an alert on its way; nothing where it is encrypted. Mail without a
/// password goes to a relay nearby, and says nothing secret.
fn told_in_plain_text(key: &str, url: &Url) -> Option<&'static str> {
    match (key, url.scheme()) {
        ("alerts.webhook.url", "http") => Some("the address, which is a secret,"),
        ("alerts.smtp.url", "smtp") => {
            let is_encrypted = urls::parameter(url, "tls").is_some_and(|tls| tls == "required");
            (url.password().is_some() && !is_encrypted).then_some("its password")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, subject::tests::subject};
    use super::*;

    #[tokio::test]
    async fn a_connection_to_another_machine_must_be_encrypted() {
        for (yaml, complaint) in [
            ("database: {url: 'sqlite:figw.db'}", None),
            ("database: {url: 'postgres://u@127.0.0.1,localhost/figw'}", None),
            ("database: {url: 'postgres://u@db1,db2/figw?sslmode=verify-full'}", None),
            ("database: {url: 'postgres://u@%2Frun%2Fpostgresql/figw'}", None),
            (
                "database: {url: 'postgres://u@localhost,db2:5432/figw'}",
                Some("database.url goes to db2 in plain text"),
            ),
            (
                "database: {url: 'postgres://u@localhost/figw', migration_url: 'postgres://u@db/figw'}",
                Some("database.migration_url goes to db in plain text"),
            ),
            (
                "backup: {replication_url: 'postgres://u@db/figw?sslmode=prefer'}",
                Some("backup.replication_url goes to db in plain text"),
            ),
            (
                "cache: {redis_url: 'redis://cache/0'}",
                Some("cache.redis_url goes to cache in plain text"),
            ),
            ("cache: {redis_url: 'rediss://cache/0'}", None),
        ] {
            let found = database_encryption(&subject(yaml).await);
            match complaint {
                Some(complaint) => {
                    assert_eq!(found.evidence, complaint);
                    assert_eq!(found.outcome, Outcome::Warn);
                }
                None => assert_eq!(found.outcome, Outcome::Pass, "{yaml}: {found:?}"),
            }
        }
    }

    #[tokio::test]
    async fn an_address_of_users_in_plain_text_is_worse_than_one_of_alerts() {
        let mail = |url: &str| {
            format!("alerts: {{smtp: {{url: '{url}', from: f@example.org, to: [t@example.org]}}}}")
        };
        for (yaml, outcome, word) in [
            ("{}".to_owned(), Outcome::Pass, "no address"),
            ("dashboard: {public_url: 'https://gw.example.org'}".to_owned(), Outcome::Pass, ""),
            ("dashboard: {public_url: 'http://localhost:8000'}".to_owned(), Outcome::Pass, ""),
            (
                "dashboard: {public_url: 'http://gw.example.org'}".to_owned(),
                Outcome::Fail,
                "dashboard.public_url: logins and sessions go to gw.example.org",
            ),
            (
                "dashboard: {enabled: false, public_url: 'http://gw.example.org'}".to_owned(),
                Outcome::Pass,
                "",
            ),
            (
                "globus_compute: {client_id: a, client_secret: b, streaming_secret: c, \
                 streaming_public_url: 'http://gw.example.org'}"
                    .to_owned(),
                Outcome::Fail,
                "globus_compute.streaming_public_url",
            ),
            (
                "alerts: {webhook: {url: 'http://hooks.example.org/T/hush'}}".to_owned(),
                Outcome::Warn,
                "alerts.webhook.url: the address, which is a secret, goes to hooks.example.org",
            ),
            ("alerts: {webhook: {url: 'http://127.0.0.1/T'}}".to_owned(), Outcome::Pass, ""),
            (mail("smtp://u:hush@mx:25"), Outcome::Warn, "alerts.smtp.url: its password"),
            (mail("smtp://u:hush@mx:587?tls=opportunistic"), Outcome::Warn, "its password"),
            (mail("smtp://u:hush@mx:587?tls=required"), Outcome::Pass, ""),
            (mail("smtps://u:hush@mx"), Outcome::Pass, ""),
            (mail("smtp://mx:25"), Outcome::Pass, ""),
        ] {
            let found = addresses(&subject(&yaml).await);
            assert_eq!(found.outcome, outcome, "{yaml}: {found:?}");
            assert!(found.evidence.contains(word), "{yaml}: {found:?}");
            assert!(!found.evidence.contains("hush"), "{found:?}");
        }
    }
}
