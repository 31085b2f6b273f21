//! Logins with Globus at the start: set up, and checked as far as Globus can be reached.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{runtime::Handle, time::timeout};

use super::ServeError;
use crate::{
    auth::globus::{Logins, Rules, Services},
    cache::Cache,
    config::{Config, GlobusAuth},
    ops::{
        doctor::{self, Finding, Outcome},
        globus,
    },
};

/// How long the start may wait for Globus.
const AT_THE_START: Duration = Duration::from_secs(5);

/// How often it is looked again what could not be looked at.
const AGAIN: Duration = Duration::from_mins(1);

/// What the instances share, where they do.
pub(super) fn cache(config: &Config) -> Result<Cache, ServeError> {
    let Some(url) = &config.cache.redis_url else { return Ok(Cache::default()) };
    let wrong = |error: &dyn std::fmt::Display| ServeError::Configuration(error.to_string());
    let url = url.reveal().map_err(|error| wrong(&error))?;
    let cache = Cache::connect(&url).map_err(|error| wrong(&error))?;
    tokio::spawn(cache.clone().watch());
    Ok(cache)
}

/// Logins with Globus, where they are configured. Globus being away is no reason not to start.
///
/// # Errors
/// When the registration or a policy is definitely not as it should be.
pub(super) async fn logins(config: &Config, cache: Cache) -> Result<Option<Logins>, ServeError> {
    let config = &config.auth.globus;
    let services = globus::services(config).context("cannot set up logins with Globus")?;
    let Some((services, account)) = services else { return Ok(None) };
    if config.is_open_to_all() {
        tracing::warn!(
            "everybody with a Globus account may come in: no auth.globus.authorized_idp_domains, policies or groups"
        );
    }
    match timeout(AT_THE_START, doctor::check_logins(&services, config)).await {
        Ok(finding) if finding.outcome == Outcome::Fail => {
            return Err(ServeError::Configuration(told(&finding)));
        }
        Ok(finding) if finding.outcome == Outcome::Warn => {
            tracing::warn!("auth.globus could not be checked: {}", finding.evidence);
            tokio::spawn(check_later(services.clone(), config.clone()));
        }
        Ok(_) => {}
        Err(_) => {
            tracing::warn!("auth.globus could not be checked: Globus is slow");
            tokio::spawn(check_later(services.clone(), config.clone()));
        }
    }
    let rules = Rules::new(config);
    Ok(Some(Logins::new(services, &account, rules, cache, Handle::current())))
}

/// Looks again until there is something to be said. A gateway that serves goes on serving: its
/// rules are checked with each login anyway.
async fn check_later(services: Services, config: GlobusAuth) {
    loop {
        tokio::time::sleep(AGAIN).await;
        let finding = doctor::check_logins(&services, &config).await;
        match finding.outcome {
            Outcome::Warn => {}
            Outcome::Fail => {
                return tracing::error!("this gateway will not start again: {}", told(&finding));
            }
            Outcome::Pass | Outcome::NotApplicable => {
                return tracing::info!("auth.globus has been checked: {}", finding.evidence);
            }
        }
    }
}

fn told(finding: &Finding) -> String {
    let remedy = finding.remedy.as_deref().unwrap_or("run `figw doctor`");
    format!("auth.globus: {}; {remedy}", finding.evidence)
}
