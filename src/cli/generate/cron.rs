//! `figw generate cron`: the jobs that make backups and prove them.

use std::env;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::user_name;
use crate::{
    cli::{Context, Failure, Outcome},
    ops::cron::Crontab,
};

/// Arguments of `generate cron`.
#[derive(Debug, Args)]
pub struct CronArgs {
    /// Run the jobs as this user, in the form of /etc/cron.d [default: the form of a user's crontab]
    #[arg(long, value_name = "NAME", value_parser = user_name)]
    user: Option<String>,
}

impl CronArgs {
    /// Prints the crontab.
    ///
    /// # Errors
    /// When the configuration is wrong, or a path cannot be written into a crontab.
    pub fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let loaded = context.config()?;
        let file = loaded.path.map(|path| {
            path.canonicalize().with_context(|| format!("cannot find {} again", path.display()))
        });
        let program = env::current_exe().context("cannot tell where this program is")?;
        let directory = env::current_dir().context("cannot tell the working directory")?;
        let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let search = env::var_os("PATH");
        let file = file.transpose()?;
        let crontab =
            Crontab::new(program, &loaded.config, file, directory, search.as_deref(), variables);
        let crontab = Crontab { user: self.user, ..crontab };
        let text = crontab.render().map_err(Failure::usage)?;
        if crontab.is_postgres && crontab.tools.is_none() {
            tracing::warn!(
                "pg_dump is not on the search path: install postgresql-client (Debian's name) or set \
                 backup.postgres_bin, and generate again"
            );
        }
        if let Some(directory) = &crontab.directory {
            tracing::warn!(
                "the configuration has relative paths, and these jobs begin in {}; the service of \
                 `figw generate systemd` begins in /var/lib/figw: make the paths absolute",
                directory.display()
            );
        }
        if !crontab.variables.is_empty() {
            tracing::warn!(
                "cron does not have {}: see the remark in the crontab",
                crontab.variables.join(", ")
            );
        }
        context.print(&json!({ "crontab": text }), text.trim_end())?;
        Ok(Outcome::Done)
    }
}
