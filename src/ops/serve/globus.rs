//! The parts that talk to Globus, made from the configuration.

use std::collections::HashMap;

use anyhow::Context as _;

use super::ServeError;
use crate::{
    backends::globus_compute::{Compute, ComputeOptions},
    cache::Cache,
    config::{Config, Credentials, ResultsBy, Secret},
    globus::ServiceAccount,
    ops::globus::{auth_address, compute_address},
};

/// Globus Compute, when a service account is configured. Its tasks run on the current runtime; what
/// Globus says of endpoints is shared through `cache`.
///
/// # Errors
/// When its settings or secrets cannot be used.
pub fn compute(config: &Config, cache: Cache) -> Result<Option<Compute>, ServeError> {
    let settings = &config.globus_compute;
    let account = match (&settings.client_id, &settings.client_secret) {
        (Some(id), Some(secret)) => Some(account(id, secret)?),
        _ => None,
    };
    let mut overrides = HashMap::new();
    for (endpoint, credentials) in &settings.credentials_overrides {
        let endpoint = endpoint.parse().map_err(|_| {
            let key = format!("globus_compute.credentials_overrides.{endpoint}");
            ServeError::Configuration(format!("{key}: must be the UUID of a compute endpoint"))
        })?;
        overrides.insert(endpoint, account_of(credentials)?);
    }
    if account.is_none() && overrides.is_empty() {
        return Ok(None);
    }
    let options = ComputeOptions {
        url: compute_address(config)?,
        auth_url: auth_address(&config.auth.globus)?,
        account,
        overrides,
        amqp: settings.results == ResultsBy::Amqp,
        gather: settings.coalesce,
        requests_per_ten_seconds: settings.requests_per_ten_seconds,
        cache,
    };
    Ok(Some(Compute::start(options).context("cannot set up Globus Compute")?))
}

fn account_of(credentials: &Credentials) -> Result<ServiceAccount, ServeError> {
    account(&credentials.client_id, &credentials.client_secret)
}

fn account(id: &str, secret: &Secret) -> Result<ServiceAccount, ServeError> {
    let secret = secret.reveal().map_err(|error| ServeError::Configuration(error.to_string()))?;
    Ok(ServiceAccount { id: id.to_owned(), secret })
}
