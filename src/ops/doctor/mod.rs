//! `figw doctor`: the production checklists, each line looked at and not asked about.
//!
//! A check is one line in [`list`]: its name, when it makes sense, a function from the [`Subject`] to a
//! [`Finding`], and what it is about. What `figw health` finds is taken from there ([`health`]); what only
//! a person can know is [`attestation`].

mod alerts;
pub mod attestation;
mod certificate;
mod compute;
mod configuration;
mod data;
mod database;
mod exposure;
mod finding;
mod firewall;
mod globus;
mod health;
mod keys;
mod list;
mod process;
mod secrets;
mod service;
mod services;
mod subject;
mod transit;
mod urls;

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use serde::Serialize;

use self::list::{CHECKS, Check};
pub use self::{
    finding::{Finding, Outcome},
    globus::check_logins,
    subject::Subject,
};

/// How long one check may take; asking every endpoint takes longest.
const LONGEST: Duration = Duration::from_secs(90);

/// When a checklist is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Before figw goes into production.
    Pre,
    /// Once it is in production.
    Post,
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

/// Each check: its name, its stages, and what it is about.
pub fn catalogue() -> impl Iterator<Item = (&'static str, &'static [Stage], &'static str)> {
    CHECKS.iter().map(|check| (check.name, check.stages, check.about))
}

/// The names of all checks, and of the groups that they belong to.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let groups: BTreeSet<_> =
        CHECKS.iter().filter_map(|check| check.name.split('.').next()).collect();
    groups.into_iter().chain(CHECKS.iter().map(|check| check.name)).collect()
}

/// Runs the checks of `stage`, or all of them, side by side; those named in `only` (a check, or a
/// group of them such as `globus`) when it names any.
pub async fn examine(subject: &Subject, stage: Option<Stage>, only: &[String]) -> Vec<Line> {
    let named = |name: &str| {
        only.iter().any(|wanted| {
            name.strip_prefix(wanted.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let wanted = |check: &&Check| {
        stage.is_none_or(|stage| check.stages.contains(&stage))
            && (only.is_empty() || named(check.name))
    };
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
    use super::*;

    #[test]
    fn names_are_unique_and_what_is_attested_is_known() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(catalogue().all(|(_, stages, about)| !stages.is_empty() && !about.is_empty()));
        for name in names {
            if let Some(key) = name.strip_prefix("attested.") {
                assert!(attestation::question(key).is_some(), "{name}");
            }
        }
    }
}
