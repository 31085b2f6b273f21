//! `figw generate prometheus`: what Prometheus scrapes and alerts of.

use std::path::PathBuf;

use clap::Args;

use super::output::Destination;
use crate::{
    cli::{Context, Failure, Outcome},
    ops::generate::Prometheus,
};

/// Arguments of `generate prometheus`.
#[derive(Debug, Args)]
pub struct PrometheusArgs {
    /// File with `server.admin_token`, where one is set, as Prometheus finds it
    #[arg(long, value_name = "PATH", default_value = "/etc/prometheus/figw-admin-token")]
    credentials_file: PathBuf,
    #[command(flatten)]
    destination: Destination,
}

impl PrometheusArgs {
    /// Prints both files.
    ///
    /// # Errors
    /// When the configuration is wrong, or something in it cannot be written into the files.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let prometheus = Prometheus { credentials_file: self.credentials_file };
        let config = context.config()?.config;
        let files = prometheus.render(&config).map_err(Failure::usage)?;
        if !config.telemetry.metrics {
            tracing::warn!(
                "telemetry.metrics is false, so Prometheus would find nothing to scrape; set it to true \
                 where figw serves"
            );
        }
        self.destination.deliver(context, &files)
    }
}
