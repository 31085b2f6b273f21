//! PgBouncer between the instances and PostgreSQL.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

use super::{GenerateError, GeneratedFile, plain_path, seconds, template::fill};
use crate::{config::Config, ops::database, store::Location};

/// PgBouncer's usual port.
const PORT: u16 = 6432;

/// More connections than this seldom help a PostgreSQL server, whose own default is 100.
const LARGEST_POOL: u32 = 60;

/// What PgBouncer is to be told.
#[derive(Debug, Clone)]
pub struct PgBouncer {
    /// The file with the roles' password hashes.
    pub auth_file: PathBuf,
    /// Where it listens; from `database.url` when that names PgBouncer already.
    pub listen: Option<(IpAddr, u16)>,
    /// Connections to PostgreSQL; from the configuration when not given.
    pub pool_size: Option<u32>,
}

/// PostgreSQL, as a URL names it.
struct Server {
    host: String,
    port: String,
    database: String,
    user: String,
    sslmode: String,
    authorities: Option<String>,
}

impl PgBouncer {
    /// Renders `pgbouncer.ini`.
    ///
    /// # Errors
    /// When the database is no PostgreSQL, or its URL cannot be read.
    pub fn render(&self, config: &Config) -> Result<GeneratedFile, GenerateError> {
        let options =
            database::options(config).map_err(|error| GenerateError::new(error.to_string()))?;
        let invalid = |error: crate::store::StoreError| GenerateError::new(error.to_string());
        let direct = server(&options.migration_location().map_err(invalid)?)?;
        let (address, port) = match self.listen {
            Some((ip, port)) => (ip.to_string(), port.to_string()),
            // With both URLs set, the first of them names PgBouncer.
            None if config.database.migration_url.is_some() => {
                let pooler = server(&options.location().map_err(invalid)?)?;
                (listening(&pooler.host), pooler.port)
            }
            None => ("127.0.0.1".to_owned(), PORT.to_string()),
        };
        let processes = u32::try_from(config.instances.len().max(1)).unwrap_or(u32::MAX);
        let wanted = processes.saturating_mul(config.database.max_connections);
        let instances = match processes {
            1 => "one instance".to_owned(),
            many => format!("{many} instances, at most {LARGEST_POOL}"),
        };
        let authorities = direct.authorities.map(|file| format!("server_tls_ca_file = {file}"));
        let values = [
            ("url_user", direct.user.clone()),
            ("host", direct.host),
            ("port", direct.port),
            ("database", direct.database),
            ("user", direct.user),
            ("listen_addr", address),
            ("listen_port", port),
            ("instances", instances),
            ("pool", self.pool_size.unwrap_or(wanted.min(LARGEST_POOL)).to_string()),
            ("clients", wanted.saturating_mul(2).max(200).to_string()),
            ("auth_file", plain_path("--auth-file", &self.auth_file)?.to_owned()),
            ("connect_timeout", seconds(config.database.connect_timeout).to_string()),
            ("wait_timeout", seconds(config.database.statement_timeout).to_string()),
            ("sslmode", direct.sslmode),
            ("authorities", authorities.unwrap_or_default()),
        ];
        let values = values.each_ref().map(|(name, value)| (*name, value.as_str()));
        let content = fill(include_str!("templates/pgbouncer.ini"), &values);
        Ok(GeneratedFile::new("pgbouncer.ini", content))
    }
}

/// A pooler that is reached by a name or a foreign address listens on all addresses.
fn listening(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_string(),
        Err(_) if host == "localhost" => "127.0.0.1".to_owned(),
        Err(_) => "*".to_owned(),
    }
}

fn server(location: &Location) -> Result<Server, GenerateError> {
    let Location::Postgres(url) = location else {
        return Err(GenerateError::new(
            "database.url names an SQLite file, which needs no PgBouncer; set it to postgres://…",
        ));
    };
    let variables: BTreeMap<&str, String> = url
        .client_environment()
        .into_iter()
        .map(|(name, value)| (name, value.to_string_lossy().into_owned()))
        .collect();
    let plain = |name: &str, default: &str| -> Result<String, GenerateError> {
        let value = variables.get(name).map_or(default, String::as_str);
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-:/,".contains(c);
        if !value.is_empty() && value.chars().all(is_fit) {
            return Ok(value.to_owned());
        }
        Err(GenerateError::new(format!(
            "database.url: {value:?} cannot be written into pgbouncer.ini; use letters, digits and ._-"
        )))
    };
    let host = if variables.contains_key("PGHOST") { "PGHOST" } else { "PGHOSTADDR" };
    let host = plain(host, "127.0.0.1")?;
    if host.contains(',') {
        return Err(GenerateError::new(
            "database.url names several hosts, and PgBouncer would use each of them in turn, those \
             that take no writes, too; give it one address that leads to the primary",
        ));
    }
    let authorities = variables.get("PGSSLROOTCERT").map(|_| plain("PGSSLROOTCERT", ""));
    Ok(Server {
        host,
        port: plain("PGPORT", "5432")?,
        database: plain("PGDATABASE", "")?,
        user: plain("PGUSER", "postgres")?,
        sslmode: plain("PGSSLMODE", "prefer")?,
        authorities: authorities.transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::SecretUrl, domain::SecretSource};

    #[test]
    fn a_pooler_is_not_set_before_hosts_of_which_some_take_no_writes() {
        let mut config = Config::default();
        let url = SecretSource::Plain("postgres://figw@a:5432,b:5432/figw".to_owned());
        config.database.url = SecretUrl::new("database.url", url);
        let pooler = PgBouncer { auth_file: "/etc/users".into(), listen: None, pool_size: None };
        let refused = pooler.render(&config).unwrap_err().to_string();
        assert!(refused.contains("one address"), "{refused}");
    }
}
