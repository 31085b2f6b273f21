//! What is examined.

use jiff::Timestamp;
use secrecy::SecretString;
use url::Url;

use crate::{
    config::{Config, Loaded, Origin, Server},
    ops::health::{self, admin},
};

/// What is examined.
#[derive(Debug)]
pub struct Subject {
    /// The configuration that `serve` would start with, and where it came from.
    pub(super) loaded: Loaded,
    /// What is behind it.
    pub(super) behind: health::Subject,
    /// What the running gateway says of itself, or why it says nothing. Asked first, for the checks
    /// ask the gateway themselves.
    pub(super) running: Result<admin::Status, String>,
    /// How clients reach the gateway.
    pub(super) public_url: Option<Url>,
    /// A key or a token that must be let in.
    pub(super) credentials: Option<SecretString>,
    pub(super) now: Timestamp,
}

impl Subject {
    /// The gateway of this configuration, which clients reach at `public_url`. With `credentials`, it
    /// is tried whether somebody is let in and served.
    pub async fn new(
        loaded: Loaded,
        public_url: Option<Url>,
        credentials: Option<SecretString>,
    ) -> Self {
        let mut behind = health::Subject::new(loaded.config.clone(), None);
        behind.is_monitoring = false;
        let running = admin::ask(&loaded.config.server).await;
        Self { loaded, behind, running, public_url, credentials, now: Timestamp::now() }
    }

    /// The configuration that `serve` would start with.
    pub(super) const fn config(&self) -> &Config {
        &self.loaded.config
    }

    pub(super) const fn server(&self) -> &Server {
        &self.loaded.config.server
    }

    /// Whether a value stands in the configuration file.
    pub(super) fn is_in_file(&self, key: &str) -> bool {
        matches!(self.loaded.origin(key), Some(Origin::File { .. }))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A gateway of this configuration that does not run.
    pub(in crate::ops::doctor) async fn subject(yaml: &str) -> Subject {
        let file = ("config.yaml".into(), yaml.as_bytes().to_vec());
        let mut loaded = Config::load_from(Some(file), []).unwrap();
        // Another one may run at the usual address.
        loaded.config.server.admin_listen = "127.0.0.1:9".parse().unwrap();
        Subject::new(loaded, None, None).await
    }
}
