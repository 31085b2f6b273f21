//! `figw restore`: put a backup back.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::{
    Context, Failure, Outcome,
    backup::{IdentityArgs, LockArgs},
    progress,
    restore_to_time::{self, Aim},
    table::Table,
};
use crate::ops::restore::{self, Order, Restored};

/// Arguments of `figw restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup, or `latest` for the newest good one with a database
    #[arg(value_name = "ID|latest")]
    id: String,
    /// Database to fill: sqlite:PATH or postgres://… [default: the configuration's own]
    #[arg(long, value_name = "URL")]
    into: Option<SecretString>,
    /// Lay out a data directory from a base backup, which PostgreSQL then recovers to this moment
    /// with archived WAL; --into names the directory
    #[arg(long, value_name = "RFC3339", conflicts_with_all = ["replace", "config_to"])]
    to_time: Option<Timestamp>,
    /// Timeline to recover along, for the way that an earlier recovery left: its number, such as 1
    /// [default: the newest in the archive]
    #[arg(long, value_name = "N", requires = "to_time")]
    timeline: Option<u32>,
    /// Replace what is in the database, after a question. Gateways must be drained before
    /// (PostgreSQL) or stopped (SQLite)
    #[arg(long)]
    replace: bool,
    /// Make no backup of what is replaced
    #[arg(long, requires = "replace")]
    no_safety_backup: bool,
    /// Unpack the configuration that is in the backup, into a new or empty directory
    #[arg(long, value_name = "DIR")]
    config_to: Option<PathBuf>,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    lock: LockArgs,
}

impl RestoreArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let lock_wait: Duration = self.lock.lock_wait;
        if let Some(to_time) = self.to_time {
            let aim = Aim { to_time, timeline: self.timeline };
            let into = self.into.as_ref().map(ExposeSecret::expose_secret);
            let Self { id, identity, .. } = &self;
            return restore_to_time::run(id, aim, into, identity, lock_wait, context).await;
        }
        let order = Order {
            id: self.id,
            into: self.into,
            replace: self.replace,
            safety_backup: !self.no_safety_backup,
            config_to: self.config_to,
            identities: self.identity.identity,
        };
        let backups = context.backups(lock_wait)?;
        let shown = progress::show(&backups.meter, context);
        let prepared = restore::prepare(&backups, order).await?;
        drop(shown);
        if let Some(question) = prepared.question() {
            context.confirm(&question)?;
        }
        let shown = progress::show(&backups.meter, context);
        let restored = prepared.run(&|line| context.hint(line)).await?;
        drop(shown);
        for hint in &restored.hints {
            context.hint(hint);
        }
        let text = text_of(&restored);
        context.print(&restored, text)?;
        Ok(Outcome::Done)
    }
}

fn text_of(restored: &Restored) -> String {
    let mut lines = Vec::new();
    if let Some(directory) = &restored.config_to {
        lines.push(format!("{}  configuration in {}", restored.id, directory.display()));
    }
    if let Some(into) = &restored.into {
        let mut table = Table::new(&["TABLE", "ROWS"]);
        for (name, rows) in &restored.tables {
            table.row([name.clone(), rows.to_string()]);
        }
        lines.push(format!("{}  restored into {into} in {:.1} s", restored.id, restored.seconds));
        lines.push(table.to_string());
    }
    lines.join("\n")
}
