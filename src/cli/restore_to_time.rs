//! `figw restore --to-time`: a data directory that PostgreSQL recovers to a moment.

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;

use super::{Context, Failure, Outcome, backup::IdentityArgs, progress};
use crate::ops::recovery::{LaidOut, Order};

/// Where in the log to go.
pub(super) struct Aim {
    pub(super) to_time: Timestamp,
    /// None for the newest timeline.
    pub(super) timeline: Option<u32>,
}

/// Lays the data directory out and says what to do next.
///
/// # Errors
/// Whatever kept it from being done.
pub(super) async fn run(
    id: &str,
    aim: Aim,
    into: Option<&str>,
    identity: &IdentityArgs,
    lock_wait: Duration,
    context: &Context,
) -> Result<Outcome, Failure> {
    let into = into.ok_or_else(|| {
        Failure::usage(
            "--to-time lays out a data directory for PostgreSQL; name it with --into DIR",
        )
    })?;
    if into.contains("://") || into.starts_with("sqlite:") {
        return Err(Failure::usage(
            "with --to-time, --into names a directory and not a database; PostgreSQL recovers a \
             whole server",
        ));
    }
    let backups = context.backups(lock_wait)?;
    let figw = std::env::current_exe()
        .map_err(|error| anyhow::Error::new(error).context("cannot tell where figw itself is"))?;
    let order = Order {
        id: id.to_owned(),
        to_time: aim.to_time,
        timeline: aim.timeline,
        into: PathBuf::from(into),
        identities: identity.identity.clone(),
        figw,
    };
    let shown = progress::show(&backups.meter, context);
    let laid_out = backups.lay_out(order).await?;
    drop(shown);
    warn(&laid_out);
    context.print(&laid_out, next_steps(&laid_out))?;
    Ok(Outcome::Done)
}

fn warn(laid_out: &LaidOut) {
    let LaidOut { into, target_time, major, .. } = laid_out;
    let into = into.display();
    if laid_out.is_after_archive {
        tracing::warn!(
            "no WAL was archived after {target_time}: if PostgreSQL stops with `recovery ended \
             before configured recovery target was reached`, the archive holds nothing later; \
             remove recovery_target_time from {into}/postgresql.auto.conf and start it again"
        );
    }
    if !laid_out.has_configuration {
        tracing::warn!(
            "the backup holds no postgresql.conf, for the server keeps it elsewhere (Debian: \
             /etc/postgresql/{major}/main); start it with -o '-c config_file=… -c \
             data_directory={into}'"
        );
    }
}

fn next_steps(laid_out: &LaidOut) -> String {
    let LaidOut { id, into, target_time, timeline, major, start_wal, seconds, pg_ctl, .. } =
        laid_out;
    let (into, pg_ctl) = (into.display(), pg_ctl.display());
    format!(
        "{id} laid out in {into} in {seconds:.1} s, to be recovered to {target_time}\n\
         Next, as the owner of that directory, start it with PostgreSQL {major}:\n\
         \x20 {pg_ctl} -D {into} -l {into}/recovery.log start\n\
         It fetches WAL from {start_wal} on with `figw wal fetch`, along timeline {timeline}, stops \
         at that moment and opens for writing.\n\
         It archives as the old server did, on a timeline of its own, which disturbs nothing in the \
         archive. Once it is open, make a new base backup: figw backup base"
    )
}
