//! `figw doctor`: the production checklists, each line looked at and not asked about.
//!
//! A check is one line in [`CHECKS`]: its name, when it makes sense, and a function from the
//! [`Subject`] to a [`Finding`]. What `figw health` finds is taken from there ([`health`]); what only
//! a person can know is [`attestation`].

pub mod attestation;
mod certificate;
mod compute;
mod configuration;
mod database;
mod exposure;
mod finding;
mod firewall;
mod globus;
mod health;
mod keys;
mod process;
mod secrets;
mod service;
mod services;
mod subject;
mod transit;
mod urls;

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{LocalBoxFuture, join_all};
use serde::Serialize;

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

/// One check of the list.
struct Check {
    name: &'static str,
    stages: &'static [Stage],
    run: for<'a> fn(&'a Subject) -> LocalBoxFuture<'a, Finding>,
}

const PRE: &[Stage] = &[Stage::Pre];
const POST: &[Stage] = &[Stage::Post];
const BOTH: &[Stage] = &[Stage::Pre, Stage::Post];

/// Declares a check: its name, its stages, and a function that takes the subject.
macro_rules! check {
    ($name:literal, $stages:ident, async $run:path) => {
        Check { name: $name, stages: $stages, run: |s| Box::pin($run(s)) }
    };
    ($name:literal, $stages:ident, health $check:literal) => {
        Check { name: $name, stages: $stages, run: |s| Box::pin(health::find(s, $check)) }
    };
    ($name:literal, $stages:ident, attested $key:literal) => {
        Check {
            name: $name,
            stages: $stages,
            run: |s| Box::pin(async { attestation::find(s, $key) }),
        }
    };
    ($name:literal, $stages:ident, $run:path) => {
        Check { name: $name, stages: $stages, run: |s| Box::pin(async { $run(s) }) }
    };
}

/// All checks, in the order of the report.
const CHECKS: &[Check] = &[
    check!("secrets.outside", PRE, secrets::outside),
    check!("secrets.permissions", BOTH, async secrets::permissions),
    check!("secrets.strength", PRE, secrets::strength),
    check!("tls.listener", PRE, exposure::listener),
    check!("tls.key", PRE, certificate::key),
    check!("tls.certificate", BOTH, health "certificate"),
    check!("tls.addresses", PRE, transit::addresses),
    check!("database.encryption", PRE, transit::database_encryption),
    check!("firewall.admin", PRE, exposure::admin),
    check!("firewall.services", PRE, async services::check),
    check!("firewall.rules", PRE, async firewall::rules),
    check!("proxies.trusted", PRE, exposure::proxies),
    check!("debug.log_level", PRE, configuration::log_level),
    check!("debug.prompts", PRE, configuration::prompts),
    check!("debug.database", PRE, configuration::dev_database),
    check!("debug.echo", BOTH, async configuration::echo),
    check!("access.keys", BOTH, async keys::check),
    check!("limits.requests", PRE, configuration::request_limit),
    check!("limits.drain", PRE, configuration::drain),
    check!("database.schema", BOTH, health "database"),
    check!("database.instances", PRE, configuration::one_database),
    check!("database.connections", BOTH, async database::connections),
    check!("database.pooler", BOTH, async database::pooler),
    check!("database.performance", POST, async database::performance),
    check!("database.replicas", BOTH, async database::replicas),
    check!("backup.age", BOTH, health "backup"),
    check!("backup.encrypted", PRE, configuration::backup_encrypted),
    check!("backup.offsite", PRE, configuration::backup_offsite),
    check!("backup.wal", BOTH, health "wal"),
    check!("backup.drill", BOTH, health "drill"),
    check!("redis.answers", BOTH, health "redis"),
    check!("redis.memory", BOTH, async database::redis_memory),
    check!("system.user", BOTH, process::user),
    check!("system.files", BOTH, process::open_files),
    check!("system.state_dir", BOTH, async process::state_dir),
    check!("system.disk", BOTH, health "disk"),
    check!("system.clock", BOTH, health "clock"),
    check!("monitoring.metrics", BOTH, process::metrics_asked),
    check!("monitoring.ready", BOTH, process::ready_asked),
    check!("monitoring.alerts", BOTH, configuration::alerts),
    check!("logs.collected", PRE, configuration::logs_collected),
    check!("logs.errors", POST, process::logged_errors),
    check!("globus.openness", BOTH, globus::openness),
    check!("globus.credentials", BOTH, async globus::credentials),
    check!("globus.policies", BOTH, async globus::policies),
    check!("globus.groups", BOTH, async globus::groups),
    check!("globus.compute", BOTH, async compute::credentials),
    check!("service.gateway", POST, health "gateway"),
    check!("service.clusters", POST, health "clusters"),
    check!("service.endpoints", POST, health "endpoints"),
    check!("service.refuses", POST, async service::refuses_strangers),
    check!("service.admits", POST, async service::admits),
    check!("service.answers", POST, async service::answers),
    check!("attested.load_test", PRE, attested "load_test"),
    check!("attested.recovery_plan", PRE, attested "recovery_plan"),
    check!("attested.firewall", PRE, attested "firewall"),
    check!("attested.on_call", PRE, attested "on_call"),
];

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
        for name in names {
            if let Some(key) = name.strip_prefix("attested.") {
                assert!(attestation::question(key).is_some(), "{name}");
            }
        }
    }
}
