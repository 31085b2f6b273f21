//! The parts that talk to Globus, made from the configuration.

use std::collections::HashMap;

use anyhow::Context as _;
use url::Url;

use super::ServeError;
use crate::{
    backends::globus_compute::{Compute, ComputeOptions},
    config::{Config, Credentials, HttpUrl, ResultsBy, Secret},
    globus::{ServiceAccount, compute::PUBLIC_URL as PUBLIC_COMPUTE},
};

/// The public Globus Auth.
const PUBLIC_AUTH: &str = "https://auth.globus.org";

/// Globus Compute, when a service account is configured. Its tasks run on the current runtime.
pub(super) fn compute(config: &Config) -> Result<Option<Compute>, ServeError> {
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
        url: address(settings.url.as_ref(), PUBLIC_COMPUTE)?,
        auth_url: address(config.auth.globus.auth_url.as_ref(), PUBLIC_AUTH)?,
        account,
        overrides,
        amqp: settings.results == ResultsBy::Amqp,
        gather: settings.coalesce,
        requests_per_ten_seconds: settings.requests_per_ten_seconds,
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

fn address(configured: Option<&HttpUrl>, public: &str) -> anyhow::Result<Url> {
    match configured {
        Some(url) => Ok(url.as_url().clone()),
        None => Url::parse(public).context("the built-in address"),
    }
}
