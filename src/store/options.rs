//! Which database, and how patiently.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{StoreError, postgres::PostgresUrl};

/// Which database to use, and how.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite:PATH` or `postgres://…`.
    pub url: SecretString,
    /// PostgreSQL only: where migrations connect to, when `url` leads to a pooler.
    pub migration_url: Option<SecretString>,
    /// Connections kept to PostgreSQL, or threads that read from SQLite; at least 1.
    pub max_connections: usize,
    /// How long making (or waiting for) a connection may take.
    pub connect_timeout: Duration,
    /// How long one operation may take.
    pub statement_timeout: Duration,
    /// PostgreSQL only: replicas for reads that may lag.
    pub read_replicas: Vec<SecretString>,
    /// How far behind a replica may be that is read from.
    pub replica_max_lag: Duration,
    /// PostgreSQL only: a connection older than this is replaced.
    pub connection_lifetime: Duration,
    /// PostgreSQL only: how long a migration may wait for a lock on a table, or keep others from
    /// using one.
    pub lock_timeout: Duration,
}

/// A database's URL, understood.
#[derive(Debug, Clone)]
pub enum Location {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL database.
    Postgres(Box<PostgresUrl>),
}

impl Location {
    /// Reads a database's URL; `key` names it in the error.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the URL makes no sense.
    pub fn parse(url: &SecretString, key: &str) -> Result<Self, StoreError> {
        locate(url, key)
    }

    /// The URL without its password.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => url.describe(),
        }
    }
}

impl StoreOptions {
    /// Where the gateway's database is.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the URL makes no sense.
    pub fn location(&self) -> Result<Location, StoreError> {
        locate(&self.url, "database.url")
    }

    /// Where the replicas are; each is one server.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a URL makes no sense, or leads where another one does.
    pub fn replica_locations(&self) -> Result<Vec<PostgresUrl>, StoreError> {
        if self.read_replicas.is_empty() {
            return Ok(Vec::new());
        }
        let invalid = |key: &str, what: &str| Err(StoreError::Invalid(format!("{key}: {what}")));
        let Location::Postgres(primary) = self.location()? else {
            return invalid("database.read_replicas", "replicas are PostgreSQL's; SQLite has none");
        };
        let mut replicas: Vec<PostgresUrl> = Vec::new();
        for (index, url) in self.read_replicas.iter().enumerate() {
            let key = format!("database.read_replicas[{index}]");
            let Location::Postgres(url) = locate(url, &key)? else {
                return invalid(&key, "names an SQLite file; write postgres://…");
            };
            if url.host_count() > 1 {
                return invalid(&key, "names several hosts; list each replica by itself");
            }
            if url.is_same_database(&primary) {
                return invalid(&key, "leads to the primary, as database.url does");
            }
            if replicas.iter().any(|other| other.is_same_database(&url)) {
                return invalid(&key, "leads to a replica that is listed already");
            }
            replicas.push(*url);
        }
        Ok(replicas)
    }

    /// The database itself and no pooler before it: where migrations, backups and restores work.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when a URL makes no sense.
    pub fn migration_location(&self) -> Result<Location, StoreError> {
        match (&self.migration_url, self.location()?) {
            (Some(url), Location::Postgres(_)) => match locate(url, "database.migration_url")? {
                Location::Sqlite(_) => Err(StoreError::Invalid(
                    "database.migration_url names an SQLite file, but database.url a PostgreSQL \
                     database; both must name the same database"
                        .to_owned(),
                )),
                location @ Location::Postgres(_) => Ok(location),
            },
            (_, location) => Ok(location),
        }
    }
}

fn locate(url: &SecretString, key: &str) -> Result<Location, StoreError> {
    let url = url.expose_secret();
    if let Some(path) = url.strip_prefix("sqlite:") {
        return sqlite_path(path, key).map(Location::Sqlite);
    }
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return PostgresUrl::parse(url, key).map(|url| Location::Postgres(Box::new(url)));
    }
    // Only a scheme is safe to repeat: anything else might be a password.
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let seen = if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric()) {
        "has no scheme".to_owned()
    } else {
        format!("has the unknown scheme `{scheme}`")
    };
    Err(StoreError::Invalid(format!("{key} {seen}; write sqlite:PATH or postgres://…")))
}

/// `sqlite:a.db`, `sqlite:/var/a.db` and `sqlite:///var/a.db`.
fn sqlite_path(path: &str, key: &str) -> Result<PathBuf, StoreError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.contains(":memory:") || path.contains('?') {
        return Err(StoreError::Invalid(format!(
            "{key}: `sqlite:{path}` does not name a file; write sqlite:PATH, such as \
             sqlite:/var/lib/figw/figw.db"
        )));
    }
    Ok(PathBuf::from(path))
}
