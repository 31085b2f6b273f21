//! Where the URLs of the configuration lead.

use std::net::IpAddr;

use secrecy::ExposeSecret;
use url::Url;

use crate::config::{Secret, one_per_host};

/// Whether the URL under this key leads to a database or to Redis.
pub(super) fn is_store(key: &str) -> bool {
    key.starts_with("database.") || matches!(key, "backup.replication_url" | "cache.redis_url")
}

/// The URL of a secret, once for each host that it names; none for a file of SQLite's. A secret that
/// cannot be had is somebody else's complaint.
pub(super) fn revealed(secret: &Secret) -> Vec<Url> {
    secret.reveal().map(|text| each(text.expose_secret())).unwrap_or_default()
}

/// The URL, once for each host that it names.
pub(super) fn each(text: &str) -> Vec<Url> {
    if text.starts_with("sqlite:") {
        return Vec::new();
    }
    one_per_host(text).iter().filter_map(|url| Url::parse(url).ok()).collect()
}

/// The password in a URL, wherever it stands.
pub(super) fn password(url: &Url) -> Option<String> {
    match url.password() {
        Some(text) => {
            Some(percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned())
        }
        None => parameter(url, "password"),
    }
}

/// What the URL says under this name after its question mark.
pub(super) fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

/// The host of a URL; PostgreSQL's may stand after the question mark.
pub(super) fn host(url: &Url) -> Option<String> {
    let own = url.host_str().filter(|host| !host.is_empty()).map(str::to_owned);
    own.or_else(|| parameter(url, "host"))
}

/// Whether what goes there does not leave this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.starts_with("%2F")
        || host.starts_with('/')
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_several_hosts_is_a_url_of_its_own() {
        let hosts =
            |text: &str| each(text).iter().map(|url| host(url).unwrap()).collect::<Vec<_>>();
        assert_eq!(hosts("postgres://u:p@db1:5432,db2:5432/figw"), ["db1", "db2"]);
        assert_eq!(hosts("postgres://u:p@db1/figw"), ["db1"]);
        assert_eq!(hosts("postgres:///figw?host=db1"), ["db1"]);
        assert_eq!(hosts("sqlite:figw.db"), [""; 0]);
        let found = &each("postgres://u:p%40w@a,b/figw")[1];
        assert_eq!(password(found).as_deref(), Some("p@w"));
        let found = &each("postgres://u@a,b/figw?sslmode=require&password=pw")[0];
        assert_eq!(password(found).as_deref(), Some("pw"));
    }

    #[test]
    fn a_socket_and_a_loopback_address_are_this_machine() {
        for (host, is_here) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("%2Fvar%2Frun%2Fpostgresql", true),
            ("/var/run/postgresql", true),
            ("db.example.org", false),
            ("10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(host), is_here, "{host}");
        }
    }
}
