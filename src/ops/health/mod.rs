//! `figw health`: is the gateway up, and could it be recovered? In the form of monitoring plugins.
//!
//! A check is one line in [`CHECKS`]: its name, whether only `--deep` asks for it, and a function
//! from the [`Subject`] to a [`Finding`], or to none when it does not apply to this configuration.

mod backups;
mod database;
mod gateway;
mod report;

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use jiff::Timestamp;
use serde::Serialize;
use url::Url;

pub use self::report::Report;
use crate::config::Config;

/// How long one check may take.
const LONGEST: Duration = Duration::from_secs(20);

/// The state of a check, or of all together; from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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

/// A number that a monitoring system may draw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// In seconds.
    pub value: f64,
    /// From where on it is a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<f64>,
    /// From where on it is critical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical: Option<f64>,
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

/// What is looked at.
#[derive(Debug)]
pub struct Subject {
    /// The configuration.
    pub config: Config,
    /// Where the gateway answers; as `server.listen` has it when this is not given.
    pub url: Option<Url>,
}

struct Check {
    name: &'static str,
    is_deep: bool,
    run: for<'a> fn(&'a Subject) -> BoxFuture<'a, Option<Finding>>,
}

/// All checks, in the order of the report.
const CHECKS: &[Check] = &[
    Check { name: "gateway", is_deep: false, run: |s| Box::pin(gateway::check(s)) },
    Check { name: "database", is_deep: true, run: |s| Box::pin(database::check(s)) },
    Check { name: "replicas", is_deep: true, run: |s| Box::pin(database::replicas(s)) },
    Check { name: "backup", is_deep: true, run: |s| Box::pin(backups::age(s)) },
    Check { name: "wal", is_deep: true, run: |s| Box::pin(backups::wal(s)) },
    Check { name: "drill", is_deep: true, run: |s| Box::pin(backups::drill(s)) },
];

/// The names of all checks.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

/// Runs the checks named in `only`, side by side; without any, those that are quick, or with `deep`
/// all of them.
pub async fn examine(subject: &Subject, only: &[String], deep: bool) -> Report {
    let wanted = |check: &&Check| {
        if only.is_empty() { deep || !check.is_deep } else { only.iter().any(|n| n == check.name) }
    };
    let lines = CHECKS.iter().filter(wanted).map(|check| async {
        let finding = tokio::time::timeout(LONGEST, (check.run)(subject)).await;
        let finding = finding.unwrap_or_else(|_| {
            let evidence = format!("no result within {} s", LONGEST.as_secs());
            Some(Finding::new(State::Unknown, evidence))
        });
        Some(Line { name: check.name, finding: finding? })
    });
    Report::new(join_all(lines).await.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_fit_into_performance_data() {
        let all: BTreeSet<_> = names().collect();
        assert_eq!(all.len(), CHECKS.len());
        assert!(all.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
    }
}
