//! `figw serve`

use clap::Args;
use reqwest::Url;

use super::{Context, Failure, Outcome};
use crate::{
    config::{Config, LogTarget},
    ops::serve::{self, ServeError, Start, dev},
    telemetry::logs,
};

/// The runbook for a failover of PostgreSQL.
pub(super) const FAILING_OVER: &str = "\
While PostgreSQL is failed over:

Promotion is PostgreSQL's own (pg_ctl promote, Patroni, repmgr), and so is moving the address that
database.url names: a virtual IP address, a balancer, a name, PgBouncer's host. figw needs no
restart and no signal. With database.url: postgres://USER:PASSWORD@HOST1,HOST2/NAME nothing has to
be moved at all: of several hosts, the one that takes writes is found.

  1. The primary dies. Connections to it break, or are dropped when they stay silent for longer than
     database.statement_timeout. /ready says degraded, still 200: the check \"database\" that the
     catalogue cannot be followed, the check \"rows\" how many rows wait in the spool.
  2. The address refuses, or leads to what is still a replica: \"takes no writes\". Connections to
     such a server are not kept.
  3. The replica is promoted and answers at the address. Within some seconds rows are written again,
     the catalogue is read anew, and /ready says ready. Watch the spool run empty:
     figw_spool_segments.

Callers with an API key, or a Globus login that is known, notice nothing: requests are served from
the catalogue as it was. What needs the database is answered 503 with Retry-After: submitting,
listing and reading batches and tasks. Commands that change the catalogue fail, and are to be run
again afterwards. An instance can start while there is only a replica, but not while there is no
database.

Rows lose nothing while there is disk: the spool (server.state_dir/spool) has no limit of its own
and takes about 600 bytes a request, 2 GB an hour at 1,000 requests a second. Rows that the old
primary had taken but the replica had not yet received are written again after the promotion, for
the last 30 seconds or 20,000 rows of each instance that is still the same process. Of everything
else (edits, keys, batches) an asynchronous replica may lack the last moments: set
synchronous_standby_names where that must not be.

PgBouncer: figw generate pgbouncer sets server_login_retry, so that a new primary is found within a
second. Of a primary that hangs, each of its connections costs one database.statement_timeout. Where an old server stays up as a replica while the host's name or address moves on,
PgBouncer keeps its connections to the old one: tell it RECONNECT, as figw cannot.

Fence the old primary before it comes back; figw writes to whatever answers at the address and takes
writes. Then make a new base backup (figw backup base): point-in-time recovery begins on the new
timeline with one.

Reads from database.read_replicas go on meanwhile, measured against where the primary was last. A
replica that has become the primary is left alone, and is read from again once it is a replica.";

/// Arguments of `figw serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Try figw out: no configuration needed, everything below ./figw-dev, loopback only
    #[arg(long)]
    dev: bool,
    /// Take the place of the process that serves with the same `server.state_dir`, if there is one:
    /// it goes on until this one serves, then finishes its requests and ends. No connection is
    /// refused meanwhile
    #[arg(long, conflicts_with = "dev")]
    take_over: bool,
    /// With --dev: serve every model that the OpenAI-compatible API at URL lists
    #[arg(long, value_name = "URL", requires = "dev", value_parser = parse_backend)]
    backend: Option<Url>,
}

fn parse_backend(text: &str) -> Result<Url, &'static str> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or("--backend must be an http:// or https:// address, such as http://host:8000/v1")
}

impl ServeArgs {
    /// Runs until stopped.
    ///
    /// # Errors
    /// What keeps the gateway from serving.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let start = if self.dev {
            Box::pin(self.dev(context)).await?
        } else {
            from_file(context, self.take_over)?
        };
        let logs_elsewhere = start.config.logging.target() != LogTarget::StandardError;
        let served = serve::serve(start).await.map_err(Failure::from);
        if let (Err(failure), true) = (&served, logs_elsewhere) {
            tracing::error!("{failure}");
        }
        logs::finish();
        served.map(|()| Outcome::Done)
    }

    async fn dev(&self, context: &Context) -> Result<Start, Failure> {
        if context.global.config.is_some() {
            return Err(Failure::usage("--dev takes no configuration file; leave --config out"));
        }
        let config = dev_config()?;
        let level = logs::init_server(&config.logging, context.global.verbosity())
            .map_err(Failure::usage)?;
        let dev = Box::pin(dev::prepare(config, self.backend.as_ref())).await?;
        Ok(Start {
            config: dev.config,
            reread: None,
            level,
            store: Some(dev.store),
            greeting: Some(dev.greeting),
            take_over: false,
        })
    }
}

/// Built-in values with the environment on top: `--dev` reads no file.
fn dev_config() -> Result<Config, Failure> {
    Ok(Config::load_from(None, std::env::vars_os()).map_err(Failure::usage)?.config)
}

fn from_file(context: &Context, take_over: bool) -> Result<Start, Failure> {
    let loaded = context.config()?;
    let level = logs::init_server(&loaded.config.logging, context.global.verbosity())
        .map_err(Failure::usage)?;
    loaded.check_secrets().map_err(Failure::usage)?;
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
    let path = context.global.config.clone();
    Ok(Start {
        config: loaded.config,
        reread: Some(Box::new(move || {
            let loaded = Config::load(path.as_deref())?;
            loaded.check_secrets()?;
            Ok(loaded)
        })),
        level,
        store: None,
        greeting: None,
        take_over,
    })
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Configuration(message) => Self::Usage(message),
            ServeError::Busy(message) => Self::Busy(message),
            ServeError::Failed(error) => Self::Failed(error),
        }
    }
}
