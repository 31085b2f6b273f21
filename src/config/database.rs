//! `database` and `cache`: where state is kept.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{problem::Complaints, secret::SecretUrl, units::PositiveDurationForm};
use crate::domain::{SecretSource, human::duration};

/// Where the catalogue, keys and usage rows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST:PORT/NAME`, which PgBouncer in
    /// transaction mode may serve.
    pub url: SecretUrl,
    /// The database for `figw migrate`, where it must not go through PgBouncer. Without it, `url`
    /// is used.
    pub migration_url: Option<SecretUrl>,
    /// URLs of PostgreSQL replicas for reads that may lag behind.
    pub read_replicas: Vec<SecretUrl>,
    /// Most connections that one figw process opens to the database.
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: u32,
    /// Longest time to connect.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub connect_timeout: Duration,
    /// Longest time for one statement.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub statement_timeout: Duration,
    /// How often usage and access rows are written. A crash loses at most the rows of this time.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub flush_interval: Duration,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: SecretUrl::new("database.url", SecretSource::Plain("sqlite:figw.db".to_owned())),
            migration_url: None,
            read_replicas: Vec::new(),
            max_connections: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            flush_interval: Duration::from_secs(1),
        }
    }
}

/// Schemes of a database's URL.
const DATABASE: &[&str] = &["sqlite:", "postgres://", "postgresql://"];
/// Schemes of a URL that must be PostgreSQL.
pub(super) const POSTGRES: &[&str] = &["postgres://", "postgresql://"];
/// Schemes of a Redis URL.
const REDIS: &[&str] = &["redis://", "rediss://"];

impl Database {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        complaints.add_unless_url(&self.url, DATABASE);
        if let Some(url) = &self.migration_url {
            complaints.add_unless_url(url, DATABASE);
        }
        for url in &self.read_replicas {
            complaints.add_unless_url(url, POSTGRES);
        }
    }
}

/// Short-lived state that several instances share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// `redis://HOST:PORT/DB`, or `rediss://…` for TLS. Without it each instance keeps its own
    /// state in memory.
    pub redis_url: Option<SecretUrl>,
}

impl Cache {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if let Some(url) = &self.redis_url {
            complaints.add_unless_url(url, REDIS);
        }
    }
}
