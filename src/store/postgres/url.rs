//! `postgres://…`, with libpq's meaning of `sslmode`.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStringExt,
    path::PathBuf,
};

use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};

use crate::store::StoreError;

/// A PostgreSQL URL, understood. Its `Debug` output is free of the password.
#[derive(Debug, Clone)]
pub struct PostgresUrl {
    pub(super) config: Config,
    pub(super) trust: Trust,
}

/// What is asked of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    /// Nothing, as libpq's `prefer` and `require` do: encrypted, but not proof against an impostor.
    Anyone,
    /// It must be for this host and from a known authority: `sslmode=verify-full`. The file holds
    /// the authorities (`sslrootcert`); without one the system's are used.
    Verified(Option<PathBuf>),
}

impl PostgresUrl {
    /// Reads a URL; `key` is where it was configured.
    pub(in crate::store) fn parse(url: &str, key: &str) -> Result<Self, StoreError> {
        let (base, query) = split_query(url);
        let mut passed_on = Vec::new();
        let mut verify = false;
        let mut authorities = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("sslmode", "verify-full") => verify = true,
                ("sslmode", mode) if !["disable", "prefer", "require"].contains(&mode) => {
                    return Err(StoreError::Invalid(format!(
                        "{key}: sslmode must be disable, prefer, require or verify-full"
                    )));
                }
                ("sslrootcert", "system") => {}
                ("sslrootcert", path) => authorities = Some(PathBuf::from(path)),
                _ => passed_on.push(pair),
            }
        }
        let cleaned = format!("{base}?{}", passed_on.join("&"));
        let mut config: Config = cleaned.parse().map_err(|e| malformed(&e, base, key))?;
        if verify {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Invalid(format!(
                "{key}: the URL names no host; write postgres://user@host:5432/database"
            )));
        }
        if config.get_application_name().is_none() {
            config.application_name("figw");
        }
        match config.get_target_session_attrs() {
            TargetSessionAttrs::ReadOnly => {
                return Err(StoreError::Invalid(format!(
                    "{key}: figw writes, so target_session_attrs must be read-write; for reads that \
                     may lag there is database.read_replicas"
                )));
            }
            // Of several hosts, only one takes writes.
            _ if host_count(&config) > 1 => {
                config.target_session_attrs(TargetSessionAttrs::ReadWrite);
            }
            _ => {}
        }
        let trust = if verify { Trust::Verified(authorities) } else { Trust::Anyone };
        Ok(Self { config, trust })
    }

    /// The URL without its password and parameters.
    #[must_use]
    pub fn describe(&self) -> String {
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("postgres://{user}{}/{database}", self.hosts())
    }
}

impl PostgresUrl {
    /// How many hosts it names.
    pub(in crate::store) fn host_count(&self) -> usize {
        host_count(&self.config)
    }

    /// Its hosts with their ports, as messages and metrics name them.
    pub(in crate::store) fn hosts(&self) -> String {
        let hosts: Vec<_> =
            (0..self.host_count()).map(|index| host_at(&self.config, index)).collect();
        hosts.join(",")
    }

    /// Another database on the same server, as the same user.
    #[must_use]
    pub fn with_database(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.config.dbname(name);
        other
    }

    /// The same database, for sessions that the server's lists show under this name.
    #[must_use]
    pub fn named(&self, application: &str) -> Self {
        let mut other = self.clone();
        other.config.application_name(application);
        other
    }

    /// The name that its sessions have in the server's lists: `figw`, unless the URL says
    /// otherwise.
    #[must_use]
    pub fn application_name(&self) -> &str {
        self.config.get_application_name().unwrap_or_default()
    }

    /// Whether the other URL leads to the same database, as far as one can tell from the two.
    #[must_use]
    pub fn is_same_database(&self, other: &Self) -> bool {
        let place = |url: &Self| {
            let text = url.describe();
            text.split_once('@').map_or_else(
                || text.trim_start_matches("postgres://").to_owned(),
                |(_, place)| place.to_owned(),
            )
        };
        place(self) == place(other)
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().or(self.config.get_user()).unwrap_or_default()
    }

    /// What PostgreSQL's own programs read from their environment to make the same connection
    /// (<https://www.postgresql.org/docs/current/libpq-envars.html>). Holds the password.
    #[must_use]
    pub fn client_environment(&self) -> Vec<(&'static str, OsString)> {
        let hosts: Vec<OsString> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.into(),
                Host::Unix(path) => path.into(),
            })
            .collect();
        let ports: Vec<OsString> =
            self.config.get_ports().iter().map(|port| port.to_string().into()).collect();
        let addresses: Vec<OsString> =
            self.config.get_hostaddrs().iter().map(|ip| ip.to_string().into()).collect();
        let mut variables = vec![
            ("PGAPPNAME", self.application_name().into()),
            ("PGDATABASE", self.database().into()),
        ];
        for (name, values) in [("PGHOST", hosts), ("PGPORT", ports), ("PGHOSTADDR", addresses)] {
            if !values.is_empty() {
                variables.push((name, values.join(OsStr::new(","))));
            }
        }
        if let Some(user) = self.config.get_user() {
            variables.push(("PGUSER", user.into()));
        }
        if let Some(password) = self.config.get_password() {
            variables.push(("PGPASSWORD", OsString::from_vec(password.to_vec())));
        }
        let mode = match (&self.trust, self.config.get_ssl_mode()) {
            (Trust::Verified(_), _) => "verify-full",
            (Trust::Anyone, SslMode::Disable) => "disable",
            (Trust::Anyone, SslMode::Require) => "require",
            (Trust::Anyone, _) => "prefer",
        };
        variables.push(("PGSSLMODE", mode.into()));
        if self.config.get_target_session_attrs() == TargetSessionAttrs::ReadWrite {
            variables.push(("PGTARGETSESSIONATTRS", "read-write".into()));
        }
        if let Trust::Verified(authorities) = &self.trust {
            let authorities = authorities.clone().unwrap_or_else(|| SYSTEM_AUTHORITIES.into());
            variables.push(("PGSSLROOTCERT", authorities.into()));
        }
        variables
    }
}

/// Where Debian and its kin keep the system's trusted certificates; libpq before 16 cannot ask for
/// them by name.
const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

fn host_count(config: &Config) -> usize {
    config.get_hosts().len().max(config.get_hostaddrs().len())
}

/// A host with its port, as messages name it.
pub(super) fn host_at(config: &Config, index: usize) -> String {
    let ports = config.get_ports();
    let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    match (config.get_hosts().get(index), config.get_hostaddrs().get(index)) {
        (Some(Host::Tcp(name)), _) => format!("{name}:{port}"),
        (Some(Host::Unix(path)), _) => format!("{}:{port}", path.display()),
        (None, Some(address)) => format!("{address}:{port}"),
        (None, None) => format!(":{port}"),
    }
}

/// The query string starts after the credentials: a password may hold a `?`.
fn split_query(url: &str) -> (&str, &str) {
    let after_credentials = url.rfind('@').unwrap_or(0);
    match url[after_credentials..].find('?') {
        Some(at) => (&url[..after_credentials + at], &url[after_credentials + at + 1..]),
        None => (url, ""),
    }
}

/// Says what is wrong, unless that might repeat a part of the password.
fn malformed(error: &tokio_postgres::Error, base: &str, key: &str) -> StoreError {
    use std::error::Error;
    let has_odd_password = base.matches('@').count() > 1 || base.contains('?');
    let reason = if has_odd_password {
        "write @, ?, / and # in a user name or password percent-encoded (%40, %3F, %2F, %23)".into()
    } else {
        error.source().map_or_else(|| error.to_string(), ToString::to_string)
    };
    StoreError::Invalid(format!("{key} is not a valid PostgreSQL URL: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        PostgresUrl::parse(url, "database.url").unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_described_without_its_password() {
        let url = "postgres://figw:hush@db.example.org:6432/gateway?sslmode=require&password=hush2";
        let url = PostgresUrl::parse(url, "database.url").unwrap();
        assert_eq!(url.describe(), "postgres://figw@db.example.org:6432/gateway");
        assert!(!format!("{url:?}").contains("hush"));
    }

    #[test]
    fn no_message_repeats_an_oddly_written_password() {
        for url in [
            "postgres://figw:hu?hush=sh@h/db",
            "postgres://figw:hu@hush@h/db?x=1",
            "postgres://figw:hu/hush@h:x/db",
            "postgres://figw:hush@h:port/db",
        ] {
            let message = match PostgresUrl::parse(url, "database.url") {
                Ok(url) => url.describe(),
                Err(error) => error.to_string(),
            };
            assert!(!message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn of_several_hosts_the_one_that_takes_writes_is_meant() {
        let url = PostgresUrl::parse("postgres://figw@a:1,b:2/db", "database.url").unwrap();
        assert_eq!(url.describe(), "postgres://figw@a:1,b:2/db");
        assert_eq!(url.config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert!(url.client_environment().contains(&("PGTARGETSESSIONATTRS", "read-write".into())));
        let one = PostgresUrl::parse("postgres://figw@a/db", "database.url").unwrap();
        assert_eq!(one.config.get_target_session_attrs(), TargetSessionAttrs::Any);
        assert!(refusal("postgres://h/db?target_session_attrs=read-only").contains("read-write"));
    }

    #[test]
    fn an_unknown_parameter_is_named() {
        let refusal = refusal("postgres://figw:hush@h/db?sslmod=require");
        assert!(refusal.contains("sslmod"), "{refusal}");
    }

    #[test]
    fn only_verify_full_looks_at_the_certificate() {
        let trust = |url| PostgresUrl::parse(url, "database.url").unwrap().trust;
        assert_eq!(trust("postgres://h/db?sslmode=require"), Trust::Anyone);
        assert_eq!(
            trust("postgres://h/db?sslmode=verify-full&sslrootcert=/ca.pem"),
            Trust::Verified(Some("/ca.pem".into()))
        );
        assert!(refusal("postgres://h/db?sslmode=allow").contains("verify-full"));
    }
}
