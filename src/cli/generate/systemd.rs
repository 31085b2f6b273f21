//! `figw generate systemd`: figw as a service.

use std::{env, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{output::Destination, user_name};
use crate::{
    cli::{Context, Failure, Outcome},
    ops::{cron::has_relative_paths, generate::Systemd},
};

/// Arguments of `generate systemd`.
#[derive(Debug, Args)]
pub struct SystemdArgs {
    /// Run figw as this user and group
    #[arg(long, value_name = "NAME", default_value = "figw", value_parser = user_name)]
    user: String,
    /// Where figw is [default: where this program is]
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    #[command(flatten)]
    destination: Destination,
}

impl SystemdArgs {
    /// Prints both units.
    ///
    /// # Errors
    /// When the configuration is wrong, or a path cannot be written into a unit.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let loaded = context.config()?;
        let file = loaded.path.map(|path| {
            path.canonicalize().with_context(|| format!("cannot find {} again", path.display()))
        });
        let program = match self.program {
            Some(path) if path.is_relative() => {
                return Err(Failure::usage("--program must be an absolute path"));
            }
            Some(path) => path,
            None => env::current_exe().context("cannot tell where this program is")?,
        };
        let systemd = Systemd { program, config_file: file.transpose()?, user: self.user };
        let files = systemd.render(&loaded.config).map_err(Failure::usage)?;
        let outcome = self.destination.deliver(context, &files)?;
        if has_relative_paths(&loaded.config) {
            tracing::warn!(
                "the configuration has relative paths, and the service begins in /var/lib/figw, not where \
                 commands are run: make the paths absolute"
            );
        }
        Ok(outcome)
    }
}
