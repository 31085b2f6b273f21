//! `figw wal`: what PostgreSQL calls to archive its write-ahead log, and to have it back.

use std::{ffi::OsString, panic, path::PathBuf, process, time::Duration};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{Context, Failure, Outcome, Output, backup::IdentityArgs};
use crate::{
    config::Backup,
    ops::backup::{
        archive::Sealing,
        wal::{self, Pushed, WalArchive, WalName},
    },
};

/// The lines that PostgreSQL needs, for the help of `figw wal` and `figw backup base`.
pub(super) const SETTING_UP: &str = "\
Setting up point-in-time recovery:

In postgresql.conf (the first three take effect with a restart of the server):

  wal_level = replica
  max_wal_senders = 10
  archive_mode = on
  archive_command = '/usr/local/bin/figw --config /etc/figw/config.yaml wal push %p %f'
  archive_timeout = 60s        # an idle server loses no more than the last minute

In pg_hba.conf, for the role of backup.replication_url (ALTER ROLE … REPLICATION):

  host  replication  ROLE  ADDRESS/32  scram-sha-256

Then, every day and once after each recovery: figw backup base
Back to a moment: figw restore latest --to-time 2026-01-31T12:00:00Z --into /srv/pgdata

PostgreSQL runs figw as its own user, in its data directory and with its own environment:
write every path in full, above all --config and backup.directory. That user must be able to read
the configuration, to write to backup.directory/wal and, when the archive is encrypted, to read
backup.identities in order to recover. Variables such as FIGW_BACKUP__DIRECTORY count only when
PostgreSQL was started with them. On one machine, let cron run figw backup as the same user.";

/// Exit status at which PostgreSQL stops recovery: up to 125 means that there is no such file, and
/// PostgreSQL goes on with what it has.
pub(super) const STOP_RECOVERY: u8 = 200;

/// What `figw wal` does.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Archive a file of WAL: PostgreSQL's `archive_command`
    ///
    /// Exit status 0 means that the file is safe: compressed and encrypted as the backups are, on
    /// the disk, and read back. The same name with the same content is success again; with another
    /// content it is an error.
    Push(PushArgs),
    /// Bring back an archived file of WAL: PostgreSQL's `restore_command`
    ///
    /// The file appears at PATH whole and checked, or not at all. Exit status 1 when the archive
    /// does not have it.
    Fetch(FetchArgs),
}

/// Arguments of `wal push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    /// The file: PostgreSQL's %p
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// Its name in the archive: PostgreSQL's %f
    #[arg(value_name = "NAME")]
    name: String,
    /// How long to wait for another push
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    lock_wait: Duration,
}

/// Arguments of `wal fetch`.
#[derive(Debug, Args)]
pub struct FetchArgs {
    /// Name of the file in the archive: PostgreSQL's %f
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to put it: PostgreSQL's %p
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// End with status 200 when anything but a missing file is the matter, so that PostgreSQL
    /// stops instead of ending recovery too early
    #[arg(long)]
    recovery: bool,
    #[command(flatten)]
    identity: IdentityArgs,
}

impl WalCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Push(args) => push(args, context).await,
            Self::Fetch(args) => fetch(args, context).await,
        }
    }

    /// Whether PostgreSQL recovers with it, so that every failure must stop it.
    pub(super) const fn is_recovery(&self) -> bool {
        matches!(self, Self::Fetch(FetchArgs { recovery: true, .. }))
    }
}

/// Whether these words are a `wal fetch --recovery`, also if the rest of them is wrong.
pub(super) fn asks_to_recover(words: impl IntoIterator<Item = OsString>) -> bool {
    let mut words = words.into_iter().skip(1);
    ["wal", "fetch", "--recovery"].iter().all(|wanted| words.any(|word| word == *wanted))
}

/// Makes a panic of a `wal fetch --recovery` stop the recovery, too: its usual status means that
/// there is no such file.
pub fn stop_recovery_on_panic(words: impl IntoIterator<Item = OsString>) {
    if !asks_to_recover(words) {
        return;
    }
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        report(what);
        process::exit(STOP_RECOVERY.into());
    }));
}

/// The archive of the configuration.
fn archive(backup: &Backup) -> Result<WalArchive, Failure> {
    let in_data_directory = std::path::Path::new("PG_VERSION").exists();
    if backup.directory.is_relative() && in_data_directory {
        return Err(Failure::usage(format!(
            "backup.directory is the relative path {}, which lies in PostgreSQL's data directory; \
             write an absolute one, and give figw its configuration with --config",
            backup.directory.display()
        )));
    }
    Ok(WalArchive::beside(&backup.directory))
}

async fn push(args: PushArgs, context: &Context) -> Result<Outcome, Failure> {
    let backup = context.config()?.config.backup;
    let name: WalName = args.name.parse()?;
    let sealing = Sealing::new(backup.compression, &backup.encrypt_to)?;
    let pushed = archive(&backup)?.push(&args.path, &name, &sealing, args.lock_wait).await?;
    let Pushed { archived, was_there } = pushed;
    let path = archived.path.display().to_string();
    // PostgreSQL writes into its log whatever is said, for each of thousands of segments.
    if context.global.output == Output::Json {
        context.print(&json!({ "name": args.name, "path": path, "was_there": was_there }), "")?;
    }
    tracing::debug!("{name} is {} {path}", if was_there { "already in" } else { "now in" });
    Ok(Outcome::Done)
}

async fn fetch(args: FetchArgs, context: &Context) -> Result<Outcome, Failure> {
    let backup = context.config()?.config.backup;
    let name: WalName = args.name.parse()?;
    let directory = archive(&backup)?.directory().display().to_string();
    let is_there = wal::fetch(&backup, &name, &args.path, &args.identity.identity).await?;
    if !is_there {
        // PostgreSQL asks for files that nobody has: that is how it finds the end.
        context.hint(format_args!("{} is not in {directory}", args.name));
        return Ok(Outcome::NotGood);
    }
    if context.global.output == Output::Json {
        context.print(&json!({ "name": args.name, "path": args.path }), "")?;
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANICS: &str = "FIGW_TEST_PANICS";

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_recovery_is_known_by_its_words() {
        assert!(asks_to_recover(words("figw --config c wal fetch --recovery --nonsense")));
        assert!(!asks_to_recover(words("figw wal fetch a b")));
        assert!(!asks_to_recover(words("figw wal push --recovery")));
    }

    /// Runs itself once more, to panic there.
    #[test]
    fn a_panic_stops_the_recovery() {
        if let Ok(line) = std::env::var(PANICS) {
            stop_recovery_on_panic(words(&line));
            panic!("as wanted");
        }
        let name = "cli::wal::tests::a_panic_stops_the_recovery";
        let status = |line: &str| {
            let mut command = process::Command::new(std::env::current_exe().unwrap());
            command.args([name, "--exact", "--nocapture"]).env(PANICS, line);
            command.output().unwrap().status.code()
        };
        assert_eq!(status("figw wal fetch --recovery a b"), Some(200));
        assert_eq!(status("figw wal fetch a b"), Some(101));
    }
}
