//! The configuration: one YAML file, with environment variables on top.
//!
//! Each section is a type in its own file, and its doc comments are what users read: the schema
//! carries them into `config.example.yaml` and `figw-config(5)`.

mod alerts;
mod dashboard;
mod database;
mod dotenv;
mod environment;
mod gateway;
mod globus;
mod health;
mod import_env;
mod lines;
mod load;
mod logging;
mod login;
mod manual;
mod operations;
mod problem;
mod retention;
mod schema;
pub mod secret;
mod server;
mod shape;
mod staging;
mod telemetry;
mod units;
mod yaml;

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{SecretSource, secret::SecretReference};

pub use alerts::{Alerts, Doctor, Severity, Smtp, Webhook, WebhookFormat};
pub use dashboard::Dashboard;
pub use database::{Cache, Database};
pub use gateway::{Batches, Gateway, Limits};
pub use globus::{Auth, Credentials, GlobusAuth, GlobusCompute, ResultsBy};
pub use health::{Health, LONGEST_ROUND};
pub use import_env::{ImportError, Imported, import_env};
pub use load::{Loaded, SEARCHED};
pub use logging::{LogFormat, LogLevel, LogRequests, LogTarget, Logging, Prompts};
pub use login::Login;
pub use manual::manual;
pub use operations::{Backup, Compression, Instance, Keep, Migrate, Objectives, RollingRestart};
pub(crate) use problem::one_per_host;
pub use problem::{ConfigError, Origin, Problem};
pub use retention::Retention;
pub use secret::{Secret, SecretError, SecretUrl};
pub use server::{Server, Tls};
pub use staging::Staging;
pub use telemetry::Telemetry;
pub use units::{HttpUrl, Network, Space};
pub use yaml::example;

use problem::Complaints;

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Listeners, limits of a connection, and how the process starts and stops.
    pub server: Server,
    /// Where the catalogue, keys and usage rows are kept.
    pub database: Database,
    /// Short-lived state that several instances share.
    pub cache: Cache,
    /// Who may come in, besides holders of an API key.
    pub auth: Auth,
    /// Models that are reached through Globus Compute.
    pub globus_compute: GlobusCompute,
    /// Directories for users on a Globus collection.
    pub staging: Staging,
    /// Logins from the terminal.
    pub login: Login,
    /// Limits for each user. Limits on tokens belong to the catalogue's endpoints: `tpm_model` for all
    /// users of an endpoint together, `tpm_user` for each of them.
    ///
    /// Requests are summed up over the last second, tokens over the last minute, always up to now. Where
    /// `cache.redis_url` is set, all instances together keep to each limit: each takes leases of a
    /// twentieth of it from Redis, spends them from memory, and gives back within a second what it has not
    /// spent. While Redis is away, each instance goes on with its share, as one of the instances last seen
    /// (or else of those listed under `instances`), but at least 1. When Redis is back, it is told what
    /// was spent meanwhile, and within a second the limits hold for all together again. An instance that
    /// alone has lost its way to Redis may spend its share on top of what the others do. Without Redis
    /// each instance has the whole of each limit for itself.
    ///
    /// Before a request is sent to an endpoint with a limit, it reserves the tokens that it may take: its
    /// prompt, by four bytes a token, and for each answer the most that it asks for (`max_tokens`,
    /// `max_completion_tokens`, `max_output_tokens`), or else 512. What was really used takes their place
    /// when it ends. A request that failed used nothing; where its caller hangs up before the answer begins,
    /// what was reserved stays used, for a cluster may go on. A request that reserves more than the whole
    /// limit counts as the whole limit: it goes when nothing else was used in the last minute.
    ///
    /// Over a limit, a request is sent to another endpoint of its model that has tokens left, or else it
    /// is refused with 429 and `Retry-After`. Answers tell how much is left, of the tighter limit where
    /// both apply: `x-ratelimit-limit-requests`, `x-ratelimit-remaining-requests`,
    /// `x-ratelimit-reset-requests`, and the same for `-tokens`. Batches and tasks count as requests, but
    /// take no tokens.
    pub limits: Limits,
    /// How long back ends may take, each budget being separate, and how one of several is chosen.
    pub gateway: Gateway,
    /// How batches are followed to their end.
    pub batches: Batches,
    /// The pages at `/dashboard`: usage, latencies, the log of requests, batches, and how clusters and
    /// endpoints are. People log in with an API key, or with Globus where `auth.globus` and `public_url`
    /// are set, and see their own usage; `admin_groups` see everything. Each page is also there as JSON
    /// (`/dashboard/log.json`), and each table as CSV (`/dashboard/log.csv`), for programs with the
    /// credentials that they have for the API. Behind a proxy that ends TLS, it must send
    /// `X-Forwarded-Proto`, and be listed in `server.trusted_proxies`: wrong keys are counted by address.
    pub dashboard: Dashboard,
    /// What `serve` writes about itself: to standard error, or as `file` says to standard output or a file.
    ///
    /// A thread writes the lines, about 50 ms after they were made, warnings at once: requests wait for no
    /// disk. Lines that come faster than they can be written, or that the disk does not take, are lost and
    /// counted (`figw_log_lines_lost_total`). In JSON the names are those of the Elastic Common Schema.
    /// Lines of a request have its id.
    ///
    /// No secret and nothing of prompts and answers is logged at any level. Therefore other crates' lines
    /// finer than `info` are left out whatever `RUST_LOG` says, but for those of hyper, reqwest and tokio:
    /// drivers of databases, for instance, write every parameter of their statements there.
    pub logging: Logging,
    /// How long what is written down of requests is kept, by when they began; for ever where nothing
    /// is set.
    ///
    /// One instance at a time deletes what is older, a little at a time, so that nobody has to wait
    /// for it. The sums by hour and by day stay for ever: reports and the dashboard's longer ranges are
    /// made from them. The databases use the room again for new rows; they do not give it back to the
    /// disk.
    pub retention: Retention,
    /// What others can measure of the gateway: metrics and traces.
    ///
    /// With a collector, each inference request has a span of figw's own (named after what is asked and
    /// the model, such as `chat llama`), and below it one for each endpoint that it was sent to, with
    /// OpenTelemetry's attributes for generative AI and never anything of prompts and answers. Callers'
    /// `traceparent` and `tracestate` (W3C Trace Context) are continued, and passed on to the endpoint;
    /// whether their requests are traced is for them to say. Without a collector both are passed on as
    /// they came. A malformed `traceparent` is ignored. The trace's id stands in the log.
    ///
    /// At most 2,048 spans wait for the collector; when it is away or slow, further ones are dropped, and
    /// no request waits. What it wants to see in headers, such as a token, can be given in the variable
    /// `OTEL_EXPORTER_OTLP_HEADERS`.
    pub telemetry: Telemetry,
    /// From where on `/ready` and `figw health` find that something is not well.
    pub health: Health,
    /// Whom `figw health --notify` tells, and of what.
    pub alerts: Alerts,
    /// What `figw doctor` needs to know.
    pub doctor: Doctor,
    /// Where backups go and how long they are kept.
    pub backup: Backup,
    /// How `figw migrate` goes about it.
    pub migrate: Migrate,
    /// The figw processes of the fleet, for `figw rolling-restart`.
    pub instances: Vec<Instance>,
    /// How `figw rolling-restart` goes about it.
    pub rolling_restart: RollingRestart,
}

impl Config {
    /// What the schema cannot say: keys that depend on each other.
    fn check(&self, complaints: &mut Complaints) {
        self.server.check(complaints);
        self.database.check(complaints);
        self.cache.check(complaints);
        self.auth.globus.check(complaints);
        self.globus_compute.check(complaints);
        self.staging.check(self.globus_compute.client_id.is_some(), complaints);
        self.login.check(complaints);
        self.batches.check(complaints);
        self.dashboard.check(complaints);
        self.logging.check(complaints);
        self.health.check(complaints);
        self.alerts.check(complaints);
        self.backup.check(complaints);
        operations::check_instances(&self.instances, complaints);
    }

    /// Every secret that is set.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets = Vec::new();
        self.clone().each_secret(&mut |_, secret| secrets.push(secret.clone()));
        secrets
    }

    /// Makes each secret that is set a file in this directory, named by its key, such as
    /// `database.url` or `database.read_replicas.0`. Returns the names.
    pub fn move_secrets_to_files(&mut self, directory: &Path) -> Vec<String> {
        let mut names = Vec::new();
        self.each_secret(&mut |key, secret| {
            let name = key.replace('[', ".").replace(']', "");
            let file = directory.join(&name).display().to_string();
            *secret = Secret::new(key, SecretSource::Reference(SecretReference::File(file)));
            names.push(name);
        });
        names
    }

    /// Visits every secret that is set, with its key.
    fn each_secret(&mut self, visit: &mut dyn FnMut(&str, &mut Secret)) {
        if let Some(token) = &mut self.server.admin_token {
            visit("server.admin_token", token);
        }
        visit("database.url", self.database.url.secret_mut());
        if let Some(url) = &mut self.database.migration_url {
            visit("database.migration_url", url.secret_mut());
        }
        for (index, url) in self.database.read_replicas.iter_mut().enumerate() {
            visit(&format!("database.read_replicas[{index}]"), url.secret_mut());
        }
        if let Some(url) = &mut self.cache.redis_url {
            visit("cache.redis_url", url.secret_mut());
        }
        if let Some(secret) = &mut self.auth.globus.application_secret {
            visit("auth.globus.application_secret", secret);
        }
        if let Some(secret) = &mut self.globus_compute.client_secret {
            visit("globus_compute.client_secret", secret);
        }
        if let Some(secret) = &mut self.globus_compute.streaming_secret {
            visit("globus_compute.streaming_secret", secret);
        }
        for (name, credentials) in &mut self.globus_compute.credentials_overrides {
            let key = format!("globus_compute.credentials_overrides.{name}.client_secret");
            visit(&key, &mut credentials.client_secret);
        }
        if let Some(secret) = &mut self.staging.client_secret {
            visit("staging.client_secret", secret);
        }
        if let Some(url) = &mut self.alerts.webhook.url {
            visit("alerts.webhook.url", url);
        }
        if let Some(url) = &mut self.alerts.smtp.url {
            visit("alerts.smtp.url", url.secret_mut());
        }
        if let Some(secret) = &mut self.dashboard.session_secret {
            visit("dashboard.session_secret", secret);
        }
        if let Some(url) = &mut self.backup.offsite_url {
            visit("backup.offsite_url", url.secret_mut());
        }
        if let Some(url) = &mut self.backup.replication_url {
            visit("backup.replication_url", url.secret_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Kind, Node, root};

    fn secrets_in(node: &Node) -> usize {
        match &node.kind {
            Kind::Secret => 1,
            Kind::Section { keys, .. } => keys.iter().map(|(_, node)| secrets_in(node)).sum(),
            Kind::Map(entry) | Kind::List(entry) => secrets_in(entry),
            _ => 0,
        }
    }

    #[test]
    fn every_secret_of_the_schema_is_visited() {
        let yaml = "\
server: {admin_token: &no {env: FIGW_NOT_THERE}}
database: {url: *no, migration_url: *no, read_replicas: [*no]}
cache: {redis_url: *no}
auth: {globus: {application_id: a, application_secret: *no}}
globus_compute:
  client_id: a
  client_secret: *no
  streaming_public_url: https://gateway.example.org
  streaming_secret: *no
  credentials_overrides: {00000000-0000-4000-8000-000000000501: {client_id: a, client_secret: *no}}
staging: {client_id: a, client_secret: *no}
alerts: {webhook: {url: *no}, smtp: {url: *no, from: f@example.org, to: [t@example.org]}}
dashboard: {session_secret: *no}
backup: {offsite_url: *no, replication_url: *no}
";
        let loaded = Config::load_from(Some(("f".into(), yaml.as_bytes().to_vec())), []).unwrap();
        let missing = loaded.check_secrets().unwrap_err();
        assert_eq!(missing.problems.len(), secrets_in(root()));
    }
}
