//! `figw generate logrotate`: logrotate for figw's log file.

use clap::Args;

use super::{output::Destination, user_name};
use crate::{
    cli::{Context, Failure, Outcome},
    ops::generate::Logrotate,
};

/// Arguments of `generate logrotate`.
#[derive(Debug, Args)]
pub struct LogrotateArgs {
    /// Whose log it is
    #[arg(long, value_name = "NAME", default_value = "figw", value_parser = user_name)]
    user: String,
    #[command(flatten)]
    destination: Destination,
}

impl LogrotateArgs {
    /// Prints the file for `/etc/logrotate.d`.
    ///
    /// # Errors
    /// When the configuration is wrong, or names no log file.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let logrotate = Logrotate { user: self.user };
        let file = logrotate.render(&context.config()?.config).map_err(Failure::usage)?;
        self.destination.deliver(context, &[file])
    }
}
