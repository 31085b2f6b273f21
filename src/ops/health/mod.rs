//! `figw health`: is the gateway up, and could it be recovered? In the form of monitoring plugins.
//!
//! A check is one line in [`CHECKS`]: its name, whether only `--deep` asks for it, and a function
//! from the [`Subject`] to a [`Finding`], or to none when it does not apply to this configuration.

pub mod admin;
mod back_ends;
mod backups;
mod certificate;
mod clock;
mod database;
mod disk;
pub mod faults;
mod gateway;
mod globus;
mod measure;
mod redis;
mod report;
mod subject;

use std::{sync::Arc, time::Duration};

use futures_util::future::{LocalBoxFuture, join_all};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

pub use self::{
    measure::{Alarm, Measure, Unit},
    report::Report,
    subject::Subject,
};
use crate::config::LONGEST_ROUND;

/// How long a check may take; those of several back ends have a limit for each.
const LONGEST: Duration = Duration::from_secs(20);

/// What a check is given beyond that, to end by itself and with words of its own.
const GRACE: Duration = Duration::from_secs(5);

/// The same for a check that does not even notice that its time is over.
const LAST_GRACE: Duration = Duration::from_millis(250);

/// The state of a check, or of all together; from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It cannot be told.
    Unknown,
    /// It works, but somebody should look.
    Warning,
    /// It does not work, or a disaster now would cost more than it may.
    Critical,
}

impl State {
    /// The exit status of monitoring plugins.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// What monitoring plugins call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How it has come out.
    pub state: State,
    /// What was seen, and what to do about it.
    pub evidence: String,
    /// Since when it has been so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The first of the numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// All numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub measures: Vec<Measure>,
}

impl Finding {
    fn new(state: State, evidence: impl Into<String>) -> Self {
        let evidence = evidence.into();
        Self { state, evidence, since: None, value: None, measures: Vec::new() }
    }

    fn since(self, since: Option<Timestamp>) -> Self {
        Self { since, ..self }
    }

    fn measuring(self, measures: impl IntoIterator<Item = Measure>) -> Self {
        let measures: Vec<_> = measures.into_iter().collect();
        Self { value: measures.first().map(|measure| measure.value), measures, ..self }
    }
}

/// A check with what it has found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// The check's name, for `--only`.
    pub name: &'static str,
    /// What it has found.
    #[serde(flatten)]
    pub finding: Finding,
}

#[cfg(test)]
impl Line {
    /// A check that has come out like this.
    pub(crate) fn seen(name: &'static str, state: State) -> Self {
        Self { name, finding: Finding::new(state, "seen") }
    }
}

struct Check {
    name: &'static str,
    /// What it is about, for the manual.
    about: &'static str,
    /// What its measures may be called.
    measures: &'static [&'static str],
    is_deep: bool,
    run: for<'a> fn(&'a Subject) -> LocalBoxFuture<'a, Option<Finding>>,
}

/// Declares a check: its name, whether only `--deep` asks for it, its function, what it is about, and
/// the names of its measures.
macro_rules! check {
    ($name:literal, $is_deep:literal, $run:path, $about:literal, $measures:expr) => {
        Check {
            name: $name,
            about: $about,
            measures: $measures,
            is_deep: $is_deep,
            run: |s| Box::pin($run(s)),
        }
    };
}

/// All checks, in the order of the report.
const CHECKS: &[Check] = &[
    check!(
        "gateway",
        false,
        gateway::check,
        "what the gateway says of itself at /ready",
        &["gateway_time"]
    ),
    check!(
        "admin",
        true,
        admin::check,
        "its admin listener: version, requests in flight",
        &["requests_in_flight", "uptime"]
    ),
    check!(
        "database",
        true,
        database::check,
        "it answers, with the schema that figw expects",
        &["database_time"]
    ),
    check!(
        "replicas",
        true,
        database::replicas,
        "each may be read from; how far it is behind",
        &["replica_lag"]
    ),
    check!(
        "redis",
        true,
        redis::check,
        "it answers, and takes what is written",
        &["redis_time", "redis_memory"]
    ),
    check!(
        "globus_auth",
        true,
        globus::auth,
        "it answers, and accepts the application's secret",
        &["globus_auth_time"]
    ),
    check!("globus_groups", true, globus::groups, "it answers", &["globus_groups_time"]),
    check!(
        "globus_compute",
        true,
        globus::compute,
        "it answers, and accepts the service accounts",
        &["globus_compute_time"]
    ),
    check!(
        "clusters",
        true,
        back_ends::clusters,
        "each cluster's own status",
        &["clusters_ok", "clusters_failed", "clusters_slowest"]
    ),
    check!(
        "endpoints",
        true,
        back_ends::endpoints,
        "one tiny real request to each endpoint",
        &["endpoints_ok", "endpoints_failed", "endpoints_slowest"]
    ),
    check!(
        "disk",
        true,
        disk::check,
        "free space where figw writes",
        &["disk_free_state", "disk_free_backup", "disk_free_database", "disk_free_log"]
    ),
    check!(
        "certificate",
        true,
        certificate::check,
        "the end of the certificate: file, and served",
        &["certificate_left_file", "certificate_left_served"]
    ),
    check!(
        "clock",
        true,
        clock::check,
        "this machine's clock against everybody else's",
        &["clock_offset"]
    ),
    check!("backup", true, backups::age, "the age of the newest good backup", &["backup_age"]),
    check!("wal", true, backups::wal, "no gap in the archived WAL", &[]),
    check!(
        "drill",
        true,
        backups::drill,
        "the newest proof that a backup can be restored",
        &["drill_age", "recovery_time", "recovery_point"]
    ),
];

/// The names of all checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

/// Each check's name, what it is about, and what its measures are called.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    CHECKS.iter().map(|check| (check.name, check.about, check.measures))
}

/// What one check finds; nothing when it does not apply, or there is none of that name.
pub async fn find(subject: &Subject, name: &str) -> Option<Finding> {
    let check = CHECKS.iter().find(|check| check.name == name)?;
    (check.run)(subject).await
}

/// What `look` finds, which may hang as the file system does that it looks at; nothing when it has not
/// ended within `longest`.
pub(crate) async fn within<T: Send + 'static>(
    longest: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let looking = tokio::task::spawn_blocking(look);
    tokio::time::timeout(longest, looking).await.ok()?.ok()
}

fn does_not_apply() -> Finding {
    Finding::new(State::Unknown, "does not apply: the configuration has nothing of the kind")
}

impl Check {
    /// How long it may take in all.
    fn longest(&self) -> Duration {
        match self.name {
            // What asks many ends by itself, and knows whom it has not come to.
            "clusters" | "endpoints" => LONGEST_ROUND + LONGEST,
            _ => LONGEST + GRACE,
        }
    }

    /// What it finds within `longest`, on a thread of its own: what blocks, such as a secret's file on a
    /// file system that hangs, keeps nobody else waiting.
    async fn find(&'static self, subject: &Arc<Subject>, longest: Duration) -> Option<Finding> {
        let (subject, runtime) = (Arc::clone(subject), Handle::current());
        let look = move || {
            // Whatever can be cut short is, and leaves no thread behind.
            runtime
                .block_on(async { tokio::time::timeout(longest, (self.run)(&subject)).await.ok() })
        };
        let looking = tokio::task::spawn_blocking(look);
        let seconds = longest.as_secs_f64();
        let reason = match tokio::time::timeout(longest + LAST_GRACE, looking).await {
            Ok(Ok(Some(finding))) => return finding,
            Ok(Ok(None)) => format!("no result within {seconds:.0} s"),
            Ok(Err(error)) => format!("the check has crashed: {error}"),
            Err(_) => format!(
                "no result within {seconds:.0} s: a file, such as that of a secret, cannot be read to its \
                 end; look at the mounts of the files that the configuration names"
            ),
        };
        Some(Finding::new(State::Unknown, reason))
    }
}

/// Runs the checks named in `only`, side by side; without any, those that are quick, or with `deep`
/// all of them. A check that has not ended within `patience` is unknown.
pub async fn examine(
    subject: &Arc<Subject>,
    only: &[String],
    deep: bool,
    patience: Duration,
) -> Report {
    let wanted = |check: &&Check| {
        if only.is_empty() { deep || !check.is_deep } else { only.iter().any(|n| n == check.name) }
    };
    let lines = CHECKS.iter().filter(wanted).map(|check| async {
        let finding = check.find(subject, patience.min(check.longest())).await;
        // Who has asked for it is not left to think that it was looked at.
        let asked_for = !only.is_empty();
        let finding = finding.or_else(|| asked_for.then(does_not_apply))?;
        Some(Line { name: check.name, finding })
    });
    Report::new(join_all(lines).await.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn what_hangs_is_not_waited_for() {
        let (end, hang) = std::sync::mpsc::channel::<()>();
        let looked = within(Duration::from_millis(50), move || hang.recv().is_ok()).await;
        assert_eq!(looked, None);
        drop(end);
        assert_eq!(within(LONGEST, || 1).await, Some(1));
    }

    #[test]
    fn names_are_unique_and_fit_into_performance_data() {
        let all: BTreeSet<_> = names().collect();
        assert_eq!(all.len(), CHECKS.len());
        assert!(all.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
