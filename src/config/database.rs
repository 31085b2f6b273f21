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
    /// transaction mode may serve. With several hosts (`HOST1:PORT,HOST2:PORT`) the one that takes
    /// writes is used.
    pub url: SecretUrl,
    /// The database for `figw migrate`, where it must not go through PgBouncer. Without it, `url`
    /// is used.
    pub migration_url: Option<SecretUrl>,
    /// URLs of PostgreSQL replicas, which lists, reports and dashboards are read from in turn. One
    /// that is away, hangs or is too far behind is left out until it is well, and without any the
    /// primary is read from. Whoever has just written something through an instance reads from the
    /// primary there, and so sees it.
    pub read_replicas: Vec<SecretUrl>,
    /// How far a replica may be behind the primary. So much later than elsewhere may a change show
    /// in a list.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub replica_max_lag: Duration,
    /// Most connections that one figw process opens to the database.
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: u32,
    /// A connection older than this is replaced by a new one, so that a name or a balancer that
    /// leads elsewhere by now is followed.
    #[serde(with = "duration")]
    #[schemars(with = "PositiveDurationForm")]
    pub connection_lifetime: Duration,
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
            replica_max_lag: Duration::from_secs(10),
            max_connections: 8,
            connection_lifetime: Duration::from_mins(30),
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
        complaints.add_unless_url(self.url.secret(), DATABASE);
        if let Some(url) = &self.migration_url {
            complaints.add_unless_url(url.secret(), DATABASE);
        }
        for url in &self.read_replicas {
            complaints.add_unless_url(url.secret(), POSTGRES);
        }
        self.check_replicas(complaints);
    }

    /// What is written out can be compared here; references only when they are read.
    fn check_replicas(&self, complaints: &mut Complaints) {
        let plain = |url: &SecretUrl| match url.secret().source() {
            SecretSource::Plain(text) => Some(text.clone()),
            SecretSource::Reference(_) => None,
        };
        let primary = plain(&self.url);
        if !self.read_replicas.is_empty()
            && primary.as_ref().is_some_and(|url| url.starts_with("sqlite:"))
        {
            let message = "replicas are PostgreSQL's; database.url names an SQLite file";
            complaints.add("database.read_replicas", message);
        }
        let mut others: Vec<_> = primary.as_deref().and_then(database_place).into_iter().collect();
        for url in &self.read_replicas {
            let Some(place) = plain(url).as_deref().and_then(database_place) else { continue };
            if others.contains(&place) {
                let message = "leads where database.url or another entry leads; name a replica";
                complaints.add(url.secret().key(), message);
            }
            others.push(place);
        }
    }
}

/// Host, port and name of a PostgreSQL database, by which two URLs of the same one are known.
fn database_place(url: &str) -> Option<(String, u16, String)> {
    let url = url::Url::parse(url).ok()?;
    let path = url.path().trim_start_matches('/');
    let name = if path.is_empty() { url.username() } else { path };
    Some((url.host_str()?.to_owned(), url.port().unwrap_or(5432), name.to_owned()))
}

/// Short-lived state that several instances share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// `redis://HOST:PORT/DB`, or `rediss://…` for TLS. Its user needs the keys and the channels
    /// `figw:*`. Without it each instance keeps its own state in memory, and posts of functions on
    /// clusters must come to the instance that has called them.
    pub redis_url: Option<SecretUrl>,
}

impl Cache {
    pub(super) fn check(&self, complaints: &mut Complaints) {
        if let Some(url) = &self.redis_url {
            complaints.add_unless_url(url.secret(), REDIS);
        }
    }
}
