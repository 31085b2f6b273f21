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
