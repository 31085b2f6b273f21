//! The running process, as it tells of itself at `/admin/status`, and its directory.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Subject};
use crate::ops::health;

/// Whoever watches asks more often than this.
const WATCHED: SignedDuration = SignedDuration::from_mins(10);

/// A gateway that has run for less says nothing of who watches it.
const SETTLED: SignedDuration = SignedDuration::from_mins(2);

/// Files for everything but connections.
const FOR_THE_REST: u64 = 256;

/// How long the file system may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What can only be told while the gateway runs.
fn not_running(reason: &str) -> Finding {
    Finding::warn(
        format!("the gateway cannot be asked: {reason}"),
        "start it (`systemctl start figw`), and run `figw doctor` again",
    )
}

/// A stranger who gets into the process does not have the machine.
pub(super) fn user(subject: &Subject) -> Finding {
    match &subject.running {
        Err(reason) => not_running(reason),
        Ok(status) => match status.user_id {
            Some(0) => Finding::fail(
                "the gateway runs as root",
                "run it as a user of its own: `figw generate systemd` has User=figw",
            ),
            Some(id) => Finding::pass(format!("the gateway runs as user {id}")),
            None => Finding::warn("it does not tell as whom it runs", "restart it with this figw"),
        },
    }
}

/// There are enough descriptors for the connections that are allowed.
pub(super) fn open_files(subject: &Subject) -> Finding {
    let allowed = match &subject.running {
        Err(reason) => return not_running(reason),
        Ok(status) => status.open_files.unwrap_or_default(),
    };
    let connections = u64::from(subject.server().max_connections);
    // Each may need another one to a back end.
    let wanted = 2 * connections + FOR_THE_REST;
    let remedy = format!("set LimitNOFILE={wanted} in the unit, or server.max_connections lower");
    if allowed < connections + FOR_THE_REST {
        let evidence =
            format!("{allowed} open files are allowed, {connections} connections are, too");
        return Finding::fail(evidence, remedy);
    }
    if allowed < wanted {
        let evidence = format!("{allowed} open files are allowed, {wanted} may be needed");
        return Finding::warn(evidence, remedy);
    }
    Finding::pass(format!("{allowed} open files are allowed"))
}

/// What waits in the spool is nobody else's.
pub(super) async fn state_dir(subject: &Subject) -> Finding {
    let path = subject.server().state_dir.clone();
    let looked_at = path.clone();
    let Some(found) = health::within(PATIENCE, move || fs::metadata(looked_at)).await else {
        let evidence = format!("{}: its file system does not answer", path.display());
        return Finding::fail(evidence, "look at its mount");
    };
    let Ok(found) = found else {
        return Finding::not_applicable(format!("{} is not there yet", path.display()));
    };
    let mode = found.permissions().mode() & 0o777;
    let shown = format!("{} has mode {mode:04o}", path.display());
    let remedy = format!("chmod 0750 {}", path.display());
    match mode {
        mode if mode & 0o002 != 0 => {
            Finding::fail(format!("{shown}: anybody may write there"), remedy)
        }
        mode if mode & 0o005 != 0 => {
            Finding::warn(format!("{shown}: anybody may read there"), remedy)
        }
        _ => Finding::pass(shown),
    }
}

/// Somebody collects the metrics.
pub(super) fn metrics_asked(subject: &Subject) -> Finding {
    if !subject.config().telemetry.metrics {
        return Finding::warn("telemetry.metrics is false", "set telemetry.metrics to true");
    }
    watched(
        subject,
        subject.running.as_ref().ok().and_then(|status| status.metrics_asked_at),
        "/metrics",
        "let Prometheus scrape the admin listener: `figw generate prometheus`",
    )
}

/// Somebody asks whether the gateway is ready.
pub(super) fn ready_asked(subject: &Subject) -> Finding {
    watched(
        subject,
        subject.running.as_ref().ok().and_then(|status| status.ready_asked_at),
        "/ready",
        "let the load balancer ask for /ready, or cron run `figw health --notify`",
    )
}

fn watched(subject: &Subject, last: Option<Timestamp>, what: &str, remedy: &str) -> Finding {
    let started_at = match &subject.running {
        Err(reason) => return not_running(reason),
        Ok(status) => status.started_at,
    };
    let ago = |moment| subject.now.duration_since(moment);
    match last {
        Some(last) if ago(last) <= WATCHED => {
            Finding::pass(format!("{what} was asked for {} s ago", ago(last).as_secs().max(0)))
        }
        Some(last) => Finding::warn(format!("{what} was asked for at {last}, not since"), remedy),
        None if ago(started_at) < SETTLED => Finding::warn(
            format!("nobody has asked for {what} since the gateway was started, just now"),
            remedy,
        ),
        None => Finding::warn(
            format!("nobody has asked for {what} since the gateway was started at {started_at}"),
            remedy,
        ),
    }
}

/// Nothing has gone wrong since the process began.
pub(super) fn logged_errors(subject: &Subject) -> Finding {
    match &subject.running {
        Err(reason) => Finding::fail(
            format!("the gateway cannot be asked: {reason}"),
            "start it (`systemctl start figw`), and look at its log",
        ),
        Ok(status) if status.errors == 0 => {
            Finding::pass(format!("no error was logged since {}", status.started_at))
        }
        Ok(status) => {
            let last = status.last_error_at.map(|at| format!(", the last at {at}"));
            Finding::warn(
                format!(
                    "{} errors were logged since {}{}",
                    status.errors,
                    status.started_at,
                    last.unwrap_or_default()
                ),
                "`journalctl -u figw -p err`, or search the log for ERROR",
            )
        }
    }
}
