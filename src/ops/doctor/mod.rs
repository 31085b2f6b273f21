//! `figw doctor`: the production checklists, each line looked at and not asked about.
//!
//! A check is one line in [`CHECKS`]: its name, when it makes sense, and a function from the
//! [`Subject`] to a [`Finding`].

mod compute;
mod database;
mod globus;

use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use serde::Serialize;

use crate::config::Config;

pub use globus::check_logins;

/// How long one check may take.
const LONGEST: Duration = Duration::from_secs(20);

/// When a checklist is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Before figw goes into production.
    Pre,
    /// Once it is in production.
    Post,
}

/// How a check has come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// It works, but an operator should know, or it could not be looked at.
    Warn,
    /// Not as it should be.
    Fail,
    /// There is nothing to check in this configuration.
    NotApplicable,
}

/// What a check has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How it has come out.
    pub outcome: Outcome,
    /// What was seen.
    pub evidence: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn pass(evidence: impl Into<String>) -> Self {
        Self { outcome: Outcome::Pass, evidence: evidence.into(), remedy: None }
    }

    /// There is nothing to check.
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotApplicable, evidence: why.into(), remedy: None }
    }

    /// Something an operator should know.
    pub fn warn(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { outcome: Outcome::Warn, evidence: evidence.into(), remedy }
    }

    /// Not as it should be.
    pub fn fail(evidence: impl Into<String>, remedy: impl Into<String>) -> Self {
        let remedy = Some(remedy.into());
        Self { outcome: Outcome::Fail, evidence: evidence.into(), remedy }
    }
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The check's name, for scripts and for people: `globus.policies`.
    pub name: &'static str,
    /// What it has found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What is examined.
#[derive(Debug)]
pub struct Subject {
    /// The configuration that `serve` would start with.
    pub config: Config,
}

/// One check of the list.
struct Check {
    name: &'static str,
    stages: &'static [Stage],
    run: for<'a> fn(&'a Subject) -> BoxFuture<'a, Finding>,
}

const ALWAYS: &[Stage] = &[Stage::Pre, Stage::Post];

/// All checks, in the order of the report.
const CHECKS: &[Check] = &[
    Check { name: "database.replicas", stages: ALWAYS, run: |s| Box::pin(database::replicas(s)) },
    Check { name: "globus.openness", stages: ALWAYS, run: |s| Box::pin(globus::openness(s)) },
    Check { name: "globus.credentials", stages: ALWAYS, run: |s| Box::pin(globus::credentials(s)) },
    Check { name: "globus.policies", stages: ALWAYS, run: |s| Box::pin(globus::policies(s)) },
    Check { name: "globus.groups", stages: ALWAYS, run: |s| Box::pin(globus::groups(s)) },
    Check { name: "globus.compute", stages: ALWAYS, run: |s| Box::pin(compute::credentials(s)) },
];

/// Runs the checks of `stage`, or all of them, side by side.
pub async fn examine(subject: &Subject, stage: Option<Stage>) -> Vec<Line> {
    let wanted = |check: &&Check| stage.is_none_or(|stage| check.stages.contains(&stage));
    let lines = CHECKS.iter().filter(wanted).map(|check| async {
        let finding = tokio::time::timeout(LONGEST, (check.run)(subject)).await;
        let finding = finding.unwrap_or_else(|_| {
            let evidence = format!("the check has not ended within {} s", LONGEST.as_secs());
            Finding::warn(evidence, "look for what is slow, and run `figw doctor` again")
        });
        Line { name: check.name, finding }
    });
    join_all(lines).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[tokio::test]
    async fn names_are_unique_and_what_is_not_configured_is_not_held_against_anybody() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());

        let subject = Subject { config: Config::default() };
        for line in examine(&subject, Some(Stage::Pre)).await {
            assert_eq!(line.finding.outcome, Outcome::NotApplicable, "{line:?}");
        }
    }
}
