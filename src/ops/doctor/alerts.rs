//! Whether somebody is told when something is not well.

use std::{fs, io, io::ErrorKind, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Subject};
use crate::ops::{alert::MEMORY, health};

/// Whoever tells people does so more often.
const SILENT: SignedDuration = SignedDuration::from_hours(24);

/// How long the file system may take.
const PATIENCE: Duration = Duration::from_secs(5);

const REMEDY: &str = "let cron run `figw health --deep --notify` (`figw generate cron`), and see that it \
                      may write to server.state_dir";

/// Somebody is told when something is not well.
pub(super) async fn check(subject: &Subject) -> Finding {
    if !subject.config().alerts.is_set() {
        return Finding::warn(
            "nobody is told when something is not well, unless another system asks",
            "set alerts.webhook or alerts.smtp, and let cron run `figw health --deep --notify` \
             (`figw generate cron`)",
        );
    }
    let memory = subject.server().state_dir.join(MEMORY);
    let shown = memory.display().to_string();
    let looked = health::within(PATIENCE, move || fs::metadata(memory)?.modified());
    match looked.await {
        None => {
            Finding::fail(format!("{shown}: its file system does not answer"), "look at its mount")
        }
        Some(found) => {
            let ran_at = found.map(|at| Timestamp::try_from(at).unwrap_or_default());
            judge(&shown, ran_at, subject.now)
        }
    }
}

/// What it means that the memory of alerts was last written then.
fn judge(memory: &str, ran_at: io::Result<Timestamp>, now: Timestamp) -> Finding {
    match ran_at {
        Ok(at) if now.duration_since(at) <= SILENT => {
            Finding::pass(format!("`figw health --notify` tells somebody; it ran at {at:.0}"))
        }
        Ok(at) => {
            Finding::warn(format!("`figw health --notify` ran at {at:.0}, and not since"), REMEDY)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::warn(
            format!("nobody is told: `figw health --notify` has never run here (no {memory})"),
            REMEDY,
        ),
        Err(error) => Finding::warn(
            format!("when `figw health --notify` ran cannot be told: {memory}: {error}"),
            "run `figw doctor` as a user who may look there",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, subject::tests::subject};
    use super::*;

    #[test]
    fn alerts_that_have_stopped_are_noticed() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let ago = |hours| Ok(now - SignedDuration::from_hours(hours));
        for (ran_at, outcome, word) in [
            (ago(0), Outcome::Pass, "it ran at 2026-01-02T03:04:05Z"),
            (ago(25), Outcome::Warn, "ran at 2026-01-01T02:04:05Z, and not since"),
            (Err(ErrorKind::NotFound.into()), Outcome::Warn, "never run here (no alerts.json)"),
            (Err(ErrorKind::PermissionDenied.into()), Outcome::Warn, "cannot be told"),
        ] {
            let found = judge("alerts.json", ran_at, now);
            assert_eq!(found.outcome, outcome, "{found:?}");
            assert!(found.evidence.contains(word), "{found:?}");
        }
    }

    #[tokio::test]
    async fn a_run_leaves_its_trace() {
        let directory = tempfile::tempdir().unwrap();
        let subject = subject(&format!(
            "server: {{state_dir: {}}}\nalerts: {{webhook: {{url: 'https://hooks.example.org/T'}}}}",
            directory.path().display()
        ))
        .await;
        assert_eq!(check(&subject).await.outcome, Outcome::Warn);
        fs::write(directory.path().join(MEMORY), "{}").unwrap();
        assert_eq!(check(&subject).await.outcome, Outcome::Pass);
    }
}
