//! The configuration as figw finds it in a container.

use std::path::Path;

use serde_json::{Map, Value};

use super::GenerateError;
use crate::{
    config::{Config, Secret, SecretUrl},
    domain::{SecretSource, secret::SecretReference},
};

/// The public listener's port in a container.
pub(super) const PORT: u16 = 8000;
/// The admin listener's port in a container.
pub(super) const ADMIN_PORT: u16 = 8001;
/// Where figw keeps what must outlive the container.
pub(super) const STATE: &str = "/var/lib/figw";
/// User and group in the container: nobody's on the host.
pub(super) const USER: u32 = 10001;

/// What a container does not set itself, and its secrets.
pub(super) struct Contained {
    /// The configuration. Each secret is a file.
    pub(super) config: Config,
    /// Names of the secrets' files, sorted.
    pub(super) secrets: Vec<String>,
}

/// The secret with the keys of age that open backups.
const IDENTITY: &str = "backup.identity";

impl Contained {
    /// The configuration for a container whose secrets are files in this directory. An admin token,
    /// a database and, if asked for, Redis are there in any case.
    pub(super) fn new(config: &Config, directory: &str, with_redis: bool) -> Self {
        let mut config = config.clone();
        let place = |name: &str| {
            SecretSource::Reference(SecretReference::File(format!("{directory}/{name}")))
        };
        // Their own values are put in their places below.
        let anything = || place("secret");
        config
            .server
            .admin_token
            .get_or_insert_with(|| Secret::new("server.admin_token", anything()));
        config.database.url = SecretUrl::new("database.url", anything());
        if with_redis {
            config
                .cache
                .redis_url
                .get_or_insert_with(|| SecretUrl::new("cache.redis_url", anything()));
        }
        let server = &mut config.server;
        server.listen.set_ip([0, 0, 0, 0].into());
        server.listen.set_port(PORT);
        server.admin_listen.set_ip([0, 0, 0, 0].into());
        server.admin_listen.set_port(ADMIN_PORT);
        server.state_dir = Path::new(STATE).join("state");
        config.backup.directory = Path::new(STATE).join("backups");
        // What the host has at these places is not in the container; TLS ends in front of it.
        server.tls = crate::config::Tls::default();
        server.redirect_http = None;
        if config.logging.own_file().is_some() {
            config.logging.file = None;
        }
        config.backup.postgres_bin = None;
        let opens_backups = !config.backup.identities.is_empty();
        config.backup.identities =
            opens_backups.then(|| Path::new(directory).join(IDENTITY)).into_iter().collect();
        config.backup.config_paths.clear();
        let mut secrets = config.move_secrets_to_files(Path::new(directory));
        secrets.extend(opens_backups.then(|| IDENTITY.to_owned()));
        secrets.sort();
        secrets.dedup();
        Self { config, secrets }
    }

    /// The configuration as YAML, without what is the default anyway.
    pub(super) fn yaml(&self) -> Result<String, GenerateError> {
        let impossible = |error: &dyn std::fmt::Display| {
            GenerateError::new(format!("the configuration cannot be written: {error}"))
        };
        let value = serde_json::to_value(&self.config).map_err(|e| impossible(&e))?;
        let default = serde_json::to_value(Config::default()).map_err(|e| impossible(&e))?;
        let changed = changed(&value, &default).unwrap_or_else(|| Value::Object(Map::new()));
        serde_yaml::to_string(&changed).map_err(|e| impossible(&e))
    }
}

/// What is not as in the default.
fn changed(value: &Value, default: &Value) -> Option<Value> {
    let (Value::Object(value), Value::Object(default)) = (value, default) else {
        return (value != default).then(|| value.clone());
    };
    let changed: Map<_, _> = value
        .iter()
        .filter_map(|(key, value)| {
            let changed = changed(value, default.get(key).unwrap_or(&Value::Null))?;
            Some((key.clone(), changed))
        })
        .collect();
    (!changed.is_empty()).then_some(Value::Object(changed))
}

/// Text as YAML has it on one line: a JSON string is one.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The name of an image, such as `registry.example.org/figw:1.0`.
pub(super) fn image(name: &str) -> Result<&str, GenerateError> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if !name.is_empty() && name.chars().all(is_fit) {
        return Ok(name);
    }
    Err(GenerateError::new(format!("--image: {name:?} is not the name of an image")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_left_and_defaults_are_left_out() {
        let yaml = "\
server: {admin_token: geheim1, max_body_bytes: 1MiB}
database: {url: 'postgres://me:geheim2@db/figw', read_replicas: ['postgres://me:geheim3@replica/figw']}
globus_compute: {client_id: a, client_secret: geheim4}
limits: {requests_per_second_per_user: 0}
";
        let loaded = Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap();
        let contained = Contained::new(&loaded.config, "/run/secrets", true);
        let text = contained.yaml().unwrap();
        assert!(!text.contains("geheim") && !text.contains("***"), "{text}");
        assert!(!text.contains("limits") && text.contains("max_body_bytes: 1MiB"), "{text}");
        assert_eq!(
            contained.secrets,
            [
                "cache.redis_url",
                "database.read_replicas.0",
                "database.url",
                "globus_compute.client_secret",
                "server.admin_token"
            ]
        );
        assert!(text.contains("file: /run/secrets/database.url"), "{text}");
        let again = Config::load_from(Some(("g".into(), text.into_bytes())), []).unwrap();
        assert_eq!(again.config.server, contained.config.server);
    }
}
