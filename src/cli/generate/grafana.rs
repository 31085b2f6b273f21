//! `figw generate grafana`: the dashboard.

use clap::Args;

use super::output::Destination;
use crate::{
    cli::{Context, Failure, Outcome},
    ops::generate::grafana,
};

/// Arguments of `generate grafana`.
#[derive(Debug, Args)]
pub struct GrafanaArgs {
    #[command(flatten)]
    destination: Destination,
}

impl GrafanaArgs {
    /// Prints the dashboard.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        self.destination.deliver(context, &[grafana()])
    }
}
