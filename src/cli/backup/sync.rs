//! `figw backup sync`: the off-site copies alone, for a line of cron of its own.

use clap::Args;
use indicatif::BinaryBytes;

use super::{
    super::{Context, Failure, Outcome, progress},
    LockArgs,
};
use crate::ops::backup::offsite::Synced;

/// Arguments of `backup sync`.
#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// Say what would be uploaded and removed, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Let copies go to a place that is not the one that was used before
    #[arg(long)]
    new_place: bool,
    #[command(flatten)]
    lock: LockArgs,
}

pub(super) async fn run(args: SyncArgs, context: &Context) -> Result<Outcome, Failure> {
    let backups = context.backups(args.lock.lock_wait)?;
    let shown = progress::show(&backups.meter, context);
    let synced = backups.sync(args.dry_run, args.new_place).await?;
    drop(shown);
    let value = serde_json::json!({
        "dry_run": args.dry_run,
        "uploaded": synced.uploaded,
        "bytes": synced.bytes,
        "removed": synced.removed,
        "wal_uploaded": synced.wal_uploaded,
        "wal_removed": synced.wal_removed,
        "backups": synced.verdicts,
    });
    let lines = lines(&synced, if args.dry_run { "would have " } else { "" });
    let text = if lines.is_empty() { "nothing to do".to_owned() } else { lines.join("\n") };
    context.print(&value, text)?;
    Ok(Outcome::Done)
}

/// What was done, for people; nothing when nothing was.
pub(super) fn lines(synced: &Synced, would: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if !synced.uploaded.is_empty() {
        lines.push(format!(
            "{would}uploaded off-site: {}, {}",
            synced.uploaded.join(", "),
            BinaryBytes(synced.bytes)
        ));
    }
    if !synced.removed.is_empty() {
        lines.push(format!("{would}removed off-site: {}", synced.removed.join(", ")));
    }
    if synced.wal_uploaded + synced.wal_removed > 0 {
        lines.push(format!(
            "{would}uploaded {} and removed {} files of archived WAL off-site",
            synced.wal_uploaded, synced.wal_removed
        ));
    }
    lines
}
