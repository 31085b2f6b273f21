//! `figw generate`: the files that surround a deployment.

mod cron;
mod globus_endpoint;

use clap::Subcommand;

use super::{Context, Failure, Outcome};

/// The files that surround a deployment
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// The jobs that make backups and prove them, for cron
    ///
    /// A backup as often as backup.objectives.rpo wants (at most hourly), and weekly a drill.
    Cron(cron::CronArgs),
    /// The config.yaml of a Globus Compute endpoint that serves models
    GlobusEndpoint(Box<globus_endpoint::GlobusEndpointArgs>),
}

impl GenerateCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Cron(args) => args.run(context),
            Self::GlobusEndpoint(args) => args.run(context).await,
        }
    }
}
