//! `figw serve`

use clap::Args;
use reqwest::Url;

use super::{Context, Failure, Outcome};
use crate::{
    config::Config,
    ops::serve::{self, ServeError, Start, dev},
    telemetry::logs,
};

/// Run the gateway
///
/// Stops on SIGTERM or SIGINT: /ready answers 503 for `server.drain_grace`, then no new connection
/// is accepted, requests in flight are finished for up to `server.drain_timeout`, rows are
/// written, and the exit status is 0. A second signal ends it at once. SIGHUP reloads the
/// configuration file and the catalogue. Sockets may come from systemd (`LISTEN_FDS`; named public,
/// admin and redirect, or in this order), which is told when the gateway is ready, reloads and
/// stops.
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
        serve::serve(start).await?;
        Ok(Outcome::Done)
    }

    async fn dev(&self, context: &Context) -> Result<Start, Failure> {
        if context.global.config.is_some() {
            return Err(Failure::usage("--dev takes no configuration file; leave --config out"));
        }
        let config = dev_config()?;
        let level = logs::init_server(&config.logging, context.global.verbosity())
            .map_err(Failure::usage)?;
        let dev = dev::prepare(config, self.backend.as_ref()).await?;
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
