//! FIRST's `.env` as figw's YAML. The variables are those of FIRST's `env.example` and settings.

use serde_json::{Map, Value, json};
use url::Url;

use super::{Config, ConfigError, dotenv};

/// A `.env` file, turned into YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The configuration; it loads.
    pub yaml: String,
    /// What was not taken over and why, and what is left to do.
    pub notes: Vec<String>,
}

/// Why a `.env` file cannot be turned into YAML.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is not `NAME=value`, or its quote is never closed.
    #[error("line {0} is not NAME=value, or its quote is not closed")]
    Line(usize),
    /// The values do not make a configuration.
    #[error("the result is not a valid configuration:\n{0}")]
    Invalid(ConfigError),
    /// The configuration cannot be written.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// Turns FIRST's `.env` into YAML. Secrets become `{env: NAME}`, so that the same file can go on
/// supplying them, or their own text when `inline_secrets` is set.
///
/// # Errors
/// When the file is no `.env` file, or its values do not make a valid configuration.
pub fn import_env(text: &str, inline_secrets: bool) -> Result<Imported, ImportError> {
    let variables = dotenv::parse(text).map_err(ImportError::Line)?;
    let mut import = Import { variables, inline_secrets, tree: Map::new(), notes: Vec::new() };
    import.globus();
    import.database();
    import.redis();
    import.streaming();
    import.staging();
    import.login();
    import.numbers();
    import.log_level();
    import.report_the_rest();
    let yaml = serde_yaml::to_string(&import.tree)?;
    let origin = (std::path::PathBuf::from("result"), yaml.clone().into_bytes());
    Config::load_from(Some(origin), []).map_err(ImportError::Invalid)?;
    Ok(Imported { yaml, notes: import.notes })
}

/// Variables that have no place in figw's configuration, by the beginning of their name.
const ELSEWHERE: &[(&str, &str)] = &[
    ("SECRET_KEY", "only the dashboard has sessions; they have dashboard.session_secret"),
    ("DEBUG", "use -v, or logging.level"),
    ("ALLOWED_HOSTS", "figw answers under every host name; the proxy in front decides"),
    ("RUNNING_AUTOMATED_TEST_SUITE", "figw has no switch that skips checks"),
    ("LOG_TO_STDOUT", "figw logs to standard error; logging.file can be /dev/stdout"),
    ("ENABLE_BATCHES", "whether an endpoint does batches stands in the catalogue"),
    ("METIS_", "addresses and tokens of back ends belong to the catalogue; see figw-cluster(1)"),
    ("SOPHIA_QSTAT_", "belongs to the cluster in the catalogue; see figw-cluster(1)"),
    ("CLI_TOKEN_DIR", "figw keeps tokens where the Globus SDK does"),
    ("CLI_", "belongs to the users' command line"),
    ("GF_SECURITY_", "belongs to Grafana"),
];

/// Lists in FIRST's files are separated by any of these.
const SEPARATORS: &[char] = &[' ', '\t', '\r', '\n', ',', ';'];

struct Import {
    /// Those not dealt with yet.
    variables: Vec<(String, String)>,
    inline_secrets: bool,
    tree: Map<String, Value>,
    notes: Vec<String>,
}

impl Import {
    /// Takes the first of these variables that has a value; all of them count as dealt with.
    fn take(&mut self, names: &[&str]) -> Option<(String, String)> {
        let mut found = None;
        for name in names {
            let Some(at) = self.variables.iter().position(|(n, _)| n == name) else { continue };
            let (name, value) = self.variables.remove(at);
            let value = value.trim().to_owned();
            if value.starts_with('<') && value.ends_with('>') {
                self.note(&name, "still holds the example's placeholder");
            } else if !value.is_empty() && found.is_none() {
                found = Some((name, value));
            }
        }
        found
    }

    fn note(&mut self, name: &str, reason: &str) {
        self.notes.push(format!("{name} was not taken over: {reason}"));
    }

    fn set(&mut self, path: &[&str], value: Value) {
        let Some((last, sections)) = path.split_last() else { return };
        let mut place = &mut self.tree;
        for section in sections {
            let entry = place.entry((*section).to_owned()).or_insert_with(|| json!({}));
            let Value::Object(map) = entry else { return };
            place = map;
        }
        place.insert((*last).to_owned(), value);
    }

    fn secret(&self, (name, value): (String, String)) -> Value {
        if self.inline_secrets { value.into() } else { json!({"env": name}) }
    }

    /// An id and its secret, which make no sense alone.
    fn pair(&mut self, section: &[&str], keys: [&str; 2], names: [&[&str]; 2]) {
        match (self.take(names[0]), self.take(names[1])) {
            (Some((_, id)), Some(secret)) => {
                self.set(&[section, &[keys[0]]].concat(), id.into());
                let secret = self.secret(secret);
                self.set(&[section, &[keys[1]]].concat(), secret);
            }
            (Some((name, _)), None) => self.note(&name, "its secret is not set"),
            (None, Some((name, _))) => self.note(&name, "its id is not set"),
            (None, None) => {}
        }
    }

    fn globus(&mut self) {
        let globus = ["auth", "globus"];
        self.pair(
            &globus,
            ["application_id", "application_secret"],
            [&["GLOBUS_APPLICATION_ID"], &["GLOBUS_APPLICATION_SECRET"]],
        );
        for (name, key) in [
            ("GLOBUS_POLICIES", "policies"),
            ("GLOBUS_GROUPS", "groups"),
            ("AUTHORIZED_IDP_DOMAINS", "authorized_idp_domains"),
        ] {
            if let Some((_, value)) = self.take(&[name]) {
                self.set(&["auth", "globus", key], list(&value));
            }
        }
        if let Some((name, value)) = self.take(&["AUTHORIZED_GROUPS_PER_IDP"]) {
            match groups_per_idp(&value) {
                Some(groups) if groups.is_empty() => {}
                Some(groups) => {
                    self.set(&["auth", "globus", "authorized_groups_per_idp"], groups.into());
                }
                None => self.note(&name, "it is not a JSON object of domains and groups"),
            }
        }
        self.pair(
            &["globus_compute"],
            ["client_id", "client_secret"],
            [
                &["SERVICE_ACCOUNT_ID", "POLARIS_ENDPOINT_ID"],
                &["SERVICE_ACCOUNT_SECRET", "POLARIS_ENDPOINT_SECRET"],
            ],
        );
    }

    fn database(&mut self) {
        let host = self.take(&["PGHOST"]);
        let port = self.take(&["PGPORT"]);
        let user = self.take(&["PGUSER", "POSTGRES_USER"]);
        let password = self.take(&["PGPASSWORD", "POSTGRES_PASSWORD"]);
        let database = self.take(&["PGDATABASE", "POSTGRES_DB"]);
        if [&host, &user, &database].iter().all(|part| part.is_none()) {
            return;
        }
        let value = |part: Option<(String, String)>, default: &str| {
            part.map_or_else(|| default.to_owned(), |(_, value)| value)
        };
        let (host, port) = (value(host, "localhost"), value(port, "5432"));
        let url = format!("postgres://{host}:{port}");
        let Some(mut url) = Url::parse(&url).ok().filter(Url::has_host) else {
            self.note("PGHOST", "host and port do not make a URL; set database.url");
            return;
        };
        url.set_path(&value(database, "postgres"));
        let (Ok(()), Ok(())) = (
            url.set_username(&value(user, "postgres")),
            url.set_password(password.as_ref().map(|(_, p)| p.as_str())),
        ) else {
            self.note("PGUSER", "it does not fit into a URL; set database.url");
            return;
        };
        match password {
            Some((name, _)) if !self.inline_secrets => {
                self.set(&["database", "url"], json!({"env": "DATABASE_URL"}));
                let masked = url
                    .set_password(Some("PASSWORD"))
                    .map_or_else(|()| String::new(), |()| url.to_string());
                self.notes.push(format!(
                    "set the environment variable DATABASE_URL to {masked} with {name}'s value \
                     (percent-encoded) for PASSWORD"
                ));
            }
            _ => self.set(&["database", "url"], url.to_string().into()),
        }
    }

    fn redis(&mut self) {
        let is_used = self.take(&["USE_REDIS_CACHE"]).is_none_or(|(_, flag)| is_true(&flag));
        let Some((name, url)) = self.take(&["REDIS_URL"]) else { return };
        if !is_used {
            self.note(&name, "USE_REDIS_CACHE is off");
        } else if super::secret::mask_url(&url) == url {
            self.set(&["cache", "redis_url"], url.into());
        } else {
            let secret = self.secret((name, url));
            self.set(&["cache", "redis_url"], secret);
        }
    }

    fn streaming(&mut self) {
        let protocol = self.take(&["STREAMING_SERVER_PROTOCOL"]).map(|(_, protocol)| protocol);
        let port = self.take(&["STREAMING_SERVER_PORT"]).map(|(_, port)| port);
        if let Some((_, host)) = self.take(&["STREAMING_SERVER_HOST"]) {
            let url = streaming_url(&host, protocol.as_deref(), port.as_deref());
            self.notes.push(format!("check globus_compute.streaming_public_url: {url}"));
            self.set(&["globus_compute", "streaming_public_url"], url.into());
        }
        if let Some(secret) = self.take(&["INTERNAL_STREAMING_SECRET"]) {
            let secret = self.secret(secret);
            self.set(&["globus_compute", "streaming_secret"], secret);
        }
    }

    fn staging(&mut self) {
        if let Some((_, collection)) = self.take(&["DATA_STAGING_GLOBUS_COLLECTION_ID"]) {
            self.set(&["staging", "collection_id"], collection.into());
        }
    }

    fn login(&mut self) {
        for (name, key) in [("CLI_AUTH_CLIENT_ID", "client_id"), ("CLI_APP_NAME", "app_name")] {
            if let Some((_, value)) = self.take(&[name]) {
                self.set(&["login", key], value.into());
            }
        }
        if let Some((_, value)) = self.take(&["CLI_ALLOWED_DOMAINS"]) {
            self.set(&["login", "domains"], list(&value));
        }
    }

    fn numbers(&mut self) {
        for (name, key) in [
            ("RATE_LIMIT_PER_SEC_PER_USER", "requests_per_second_per_user"),
            ("MAX_BATCHES_PER_USER", "max_active_batches_per_user"),
        ] {
            let Some((name, value)) = self.take(&[name]) else { continue };
            match value.parse::<u32>() {
                Ok(number) => self.set(&["limits", key], number.into()),
                Err(_) => self.note(&name, "it is not a whole number"),
            }
        }
    }

    fn log_level(&mut self) {
        let Some((name, value)) = self.take(&["LOG_LEVEL"]) else { return };
        let level = match value.to_lowercase().as_str() {
            "critical" | "fatal" | "error" => "error",
            "warning" | "warn" => "warn",
            "info" => "info",
            "debug" => "debug",
            _ => return self.note(&name, "it is not one of Python's levels"),
        };
        self.set(&["logging", "level"], level.into());
    }

    fn report_the_rest(&mut self) {
        for (name, _) in std::mem::take(&mut self.variables) {
            let reason = ELSEWHERE
                .iter()
                .find(|(start, _)| name.starts_with(start))
                .map_or("figw has no such setting", |(_, reason)| *reason);
            self.note(&name, reason);
        }
    }
}

fn is_true(flag: &str) -> bool {
    matches!(flag.to_lowercase().as_str(), "true" | "1" | "t" | "yes" | "on")
}

fn list(text: &str) -> Value {
    text.split(SEPARATORS).filter(|entry| !entry.is_empty()).collect()
}

fn groups_per_idp(text: &str) -> Option<Map<String, Value>> {
    let by_domain: Map<String, Value> = serde_json::from_str(text).ok()?;
    by_domain
        .into_iter()
        .map(|(domain, groups)| match groups {
            Value::String(groups) => Some((domain, list(&groups))),
            Value::Array(groups) if groups.iter().all(Value::is_string) => {
                Some((domain, groups.into()))
            }
            _ => None,
        })
        .collect()
}

/// The address that FIRST has in three parts. FIRST's own example has the port in the host as well.
fn streaming_url(host: &str, protocol: Option<&str>, port: Option<&str>) -> String {
    if host.contains("://") {
        return host.to_owned();
    }
    let protocol = protocol.unwrap_or("https");
    let usual = if protocol == "http" { "80" } else { "443" };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    match port.filter(|port| *port != usual && !has_port) {
        Some(port) => format!("{protocol}://{host}:{port}"),
        None => format!("{protocol}://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_streams_is_put_together() {
        let url = |host, protocol, port| streaming_url(host, protocol, port);
        assert_eq!(url("a.example.org", None, None), "https://a.example.org");
        assert_eq!(url("a", Some("https"), Some("443")), "https://a");
        assert_eq!(url("a", Some("http"), Some("8000")), "http://a:8000");
        assert_eq!(url("localhost:8080", None, Some("443")), "https://localhost:8080");
        assert_eq!(url("http://a:8000", None, Some("443")), "http://a:8000");
    }
}
