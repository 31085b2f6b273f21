//! `figw backup`: make a backup, and look after those that are there.

mod list;
mod sync;

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::BinaryBytes;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;

use super::{Context, Failure, Outcome, progress, table::Table, wal};
use crate::ops::{
    backup::{
        self, BackupError, Backups, Pruned,
        manifest::{self, Manifest},
        offsite::Synced,
        retention::Verdict,
        verify::Depth,
    },
    drill,
};

/// Arguments of `figw backup`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BackupArgs {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    /// What to back up
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    kind: Kind,
    #[command(flatten)]
    lock: LockArgs,
}

/// How long to wait for another run.
#[derive(Debug, Clone, Args)]
pub struct LockArgs {
    /// How long to wait for another run that works on the backups
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub lock_wait: Duration,
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The database
    Database,
    /// The configuration
    Config,
    /// Both
    #[default]
    Complete,
}

impl From<Kind> for manifest::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Database => Self::Database,
            Kind::Config => Self::Config,
            Kind::Complete => Self::Complete,
        }
    }
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// List the backups, oldest first, and whether each is good
    ///
    /// A look at manifests and sizes; `figw backup verify` reads everything.
    ///
    /// Those off-site are listed with them, unless the store cannot be reached.
    List(list::ListArgs),
    /// Copy the whole PostgreSQL server while it runs, for point-in-time recovery
    ///
    /// A base backup with the archived WAL after it brings the server back as it was at any moment:
    /// `figw restore latest --to-time TIME --into DIR`. It is made with `pg_basebackup`, verified,
    /// and kept under the rules of backup.keep; WAL that no base backup needs any more is removed.
    #[command(after_long_help = wal::SETTING_UP)]
    Base(LockArgs),
    /// Prove that backups are good: checksums, archives, and the rows of each table
    ///
    /// One that is off-site alone is brought here first. Without an ID, the archived WAL after the
    /// newest base backup must have no gap, too.
    Verify(VerifyArgs),
    /// Remove the backups that backup.keep does not keep
    Prune(PruneArgs),
    /// Restore the newest backup into a scratch database, by the clock
    ///
    /// Reports how long the recovery took and how old the backup was, against backup.objectives;
    /// exit status 1 when either is missed or the restore fails. The scratch database is a
    /// temporary file beside the backups, or, for PostgreSQL, a database that is created on the
    /// same server; it is removed afterwards.
    Drill(DrillArgs),
    /// Upload what is missing off-site, and apply retention there
    ///
    /// `figw backup` does so after each backup; this goes on where a failed upload stopped. A file
    /// that is there whole is not uploaded again.
    ///
    /// The first run marks the place with a file figw-offsite.json. A place that was used before
    /// and has lost it, such as a disk that is not mounted, is refused: nothing is created in its
    /// stead. --new-place begins anew there, and is also for a second disk that takes turns.
    ///
    /// What a killed run has sent to S3 in pieces is taken back by the next one. A rule of the bucket
    /// (`AbortIncompleteMultipartUpload` after 7 days) is for machines that never run again.
    Sync(sync::SyncArgs),
}

/// Arguments of `backup verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The backup, or `latest` [default: all]
    #[arg(value_name = "ID")]
    id: Option<String>,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    lock: LockArgs,
}

/// Keys that open encrypted backups.
#[derive(Debug, Clone, Args)]
pub struct IdentityArgs {
    /// File with secret keys of age, besides those of backup.identities
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}

/// Arguments of `backup prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Say of each backup why it stays or goes, and remove nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    lock: LockArgs,
}

/// Arguments of `backup drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// An empty database to use instead: sqlite:PATH or postgres://…; it is emptied again
    #[arg(long, value_name = "URL")]
    into: Option<SecretString>,
    #[command(flatten)]
    identity: IdentityArgs,
    #[command(flatten)]
    lock: LockArgs,
}

impl BackupArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self.command {
            None => make(self.kind.into(), self.lock.lock_wait, context).await,
            Some(BackupCommand::Base(lock)) => base(lock.lock_wait, context).await,
            Some(BackupCommand::List(args)) => list::run(args, context).await,
            Some(BackupCommand::Verify(args)) => verify(args, context).await,
            Some(BackupCommand::Prune(args)) => prune(args, context).await,
            Some(BackupCommand::Drill(args)) => drill(args, context).await,
            Some(BackupCommand::Sync(args)) => sync::run(args, context).await,
        }
    }
}

impl Context {
    /// The backups of the configuration.
    ///
    /// # Errors
    /// When the configuration is wrong.
    pub(super) fn backups(&self, lock_wait: Duration) -> Result<Backups, Failure> {
        let loaded = self.config()?;
        Ok(Backups::new(loaded.config, loaded.path.as_deref(), lock_wait)?)
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Busy { .. } => Self::Busy(error.to_string()),
            BackupError::Invalid(message) => Self::Usage(message),
            other => Self::Failed(other.into()),
        }
    }
}

/// What `figw backup` has made.
#[derive(Debug, Serialize)]
struct Made<'a> {
    id: &'a str,
    kind: manifest::Kind,
    directory: String,
    moment: Timestamp,
    seconds: f64,
    bytes: u64,
    encrypted: bool,
    /// Backups that retention has removed.
    removed: Vec<&'a str>,
    /// Files of archived WAL that retention has removed.
    removed_wal: usize,
    /// What was done off-site; null when there is no place for copies.
    offsite: Option<&'a Synced>,
}

async fn make(
    kind: manifest::Kind,
    lock_wait: Duration,
    context: &Context,
) -> Result<Outcome, Failure> {
    let backups = context.backups(lock_wait)?;
    let shown = progress::show(&backups.meter, context);
    let made = backups.make(kind).await?;
    drop(shown);
    report(made, context)
}

async fn base(lock_wait: Duration, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(lock_wait)?;
    let shown = progress::show(&backups.meter, context);
    let made = backups.make_base().await?;
    drop(shown);
    report(made, context)
}

fn report(made: backup::Made, context: &Context) -> Result<Outcome, Failure> {
    let manifest = &made.manifest;
    for swept in &made.swept {
        tracing::info!("removed {swept}, left by a run that was interrupted");
    }
    warn_of_what_is_missing(manifest);
    let offsite = made.offsite?;
    let report = Made {
        id: &manifest.id,
        kind: manifest.kind,
        directory: made.stored.directory.display().to_string(),
        moment: manifest.moment,
        seconds: seconds_between(manifest.started_at, manifest.finished_at),
        bytes: manifest.bytes(),
        encrypted: !manifest.encrypted_to.is_empty(),
        removed: removed(&made.pruned.verdicts),
        removed_wal: made.pruned.wal.files,
        offsite: offsite.as_ref(),
    };
    let mut text = format!(
        "{}  {} backup, {} in {:.1} s, verified: {}",
        report.id,
        report.kind,
        BinaryBytes(report.bytes),
        report.seconds,
        report.directory
    );
    if !report.removed.is_empty() {
        let removed = report.removed.join(", ");
        let _ = write!(text, "\nremoved, as backup.keep has it: {removed}");
    }
    for line in offsite.iter().flat_map(|synced| sync::lines(synced, "")) {
        text.push('\n');
        text.push_str(&line);
    }
    context.print(&report, text)?;
    Ok(Outcome::Done)
}

fn warn_of_what_is_missing(manifest: &Manifest) {
    for left_out in manifest.configuration.iter().flat_map(|facts| &facts.left_out) {
        tracing::warn!("left out of the backup: {left_out}");
    }
}

fn removed(verdicts: &[Verdict]) -> Vec<&str> {
    verdicts.iter().filter(|verdict| !verdict.keep).map(|verdict| verdict.id.as_str()).collect()
}

#[allow(clippy::cast_precision_loss, reason = "a duration for people")]
fn seconds_between(start: Timestamp, end: Timestamp) -> f64 {
    end.duration_since(start).as_millis() as f64 / 1000.0
}

/// What was found about one backup.
#[derive(Debug, Serialize)]
struct Verified {
    id: String,
    ok: bool,
    /// How far it was looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    depth: Option<Depth>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

async fn verify(args: VerifyArgs, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(args.lock.lock_wait)?;
    let shown = progress::show(&backups.meter, context);
    let verified = backups.verify(args.id.as_deref(), &args.identity.identity).await?;
    drop(shown);
    let verified: Vec<_> = verified
        .into_iter()
        .map(|(stored, depth)| Verified {
            id: stored.id,
            ok: depth.is_ok(),
            depth: depth.as_ref().ok().copied(),
            reason: depth.err().map(|error| error.to_string()),
        })
        .collect();
    let gap = match args.id {
        None => gap_in_wal(&backups).await?,
        Some(_) => None,
    };
    let ok = verified.iter().all(|one| one.ok) && gap.is_none();
    let lines = verified.iter().map(|one| match (&one.reason, one.depth) {
        (Some(reason), _) => format!("{}  BAD   {reason}", one.id),
        (None, Some(Depth::Checksums)) => format!(
            "{}  good  checksums only: it is encrypted, and no key was given (--identity FILE)",
            one.id
        ),
        (None, _) => format!("{}  good", one.id),
    });
    let gap_line = gap.iter().map(|why| format!("archived WAL  BAD   {why}"));
    let text = lines.chain(gap_line).collect::<Vec<_>>().join("\n");
    context.print(&serde_json::json!({ "ok": ok, "backups": verified, "wal_gap": gap }), text)?;
    Ok(if ok { Outcome::Done } else { Outcome::NotGood })
}

/// Why a recovery with the newest base backup would break off.
async fn gap_in_wal(backups: &Backups) -> Result<Option<String>, BackupError> {
    let repository = backups.repository().clone();
    let found = backup::blocking(move || repository.gap_in_wal()).await?;
    Ok(found.and_then(|(id, missing)| Some(backup::wal::describe_gap(&id, &missing?))))
}

async fn prune(args: PruneArgs, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(args.lock.lock_wait)?;
    let Pruned { verdicts, wal } = backups.prune(args.dry_run).await?;
    let mut table = Table::new(&["ID", "VERDICT", "WHY"]);
    for verdict in &verdicts {
        let word = match (verdict.keep, args.dry_run) {
            (true, _) => "keep",
            (false, true) => "would remove",
            (false, false) => "removed",
        };
        table.row([verdict.id.clone(), word.to_owned(), verdict.reasons.join(", ")]);
    }
    let mut lines = vec![table.to_string()];
    if wal.files > 0 {
        let word = if args.dry_run { "would be removed" } else { "removed" };
        let first = wal.needed_from.as_deref().unwrap_or_default();
        lines.push(format!("archived WAL: {} files {word}, all before {first}", wal.files));
    }
    let value = serde_json::json!({ "dry_run": args.dry_run, "backups": verdicts, "wal": wal });
    context.print(&value, lines.join("\n"))?;
    Ok(Outcome::Done)
}

async fn drill(args: DrillArgs, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(args.lock.lock_wait)?;
    let shown = progress::show(&backups.meter, context);
    let report = drill::run(&backups, args.into.as_ref(), &args.identity.identity).await?;
    drop(shown);
    let id = report.id.as_deref().unwrap_or("-");
    let seconds = |seconds: Option<f64>| {
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        duration.map_or_else(|| "-".to_owned(), drill::for_people)
    };
    let objectives = &report.objectives;
    let mut text = format!(
        "{id}  recovered in {} (objective {}), from {} before (objective {})",
        seconds(report.recovery_time_seconds),
        seconds(Some(objectives.rto_seconds)),
        seconds(report.recovery_point_seconds),
        seconds(Some(objectives.rpo_seconds)),
    );
    if let Some(reason) = &report.reason {
        text = format!("{text}\nNOT GOOD: {reason}");
    }
    context.print(&report, text)?;
    Ok(if report.ok { Outcome::Done } else { Outcome::NotGood })
}
