//! `figw generate`: the files that surround a deployment.

mod globus_endpoint;

use clap::Subcommand;

use super::{Context, Failure, Outcome};

/// The files that surround a deployment
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
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
            Self::GlobusEndpoint(args) => args.run(context).await,
        }
    }
}
