//! The staging area that the configuration describes.

use std::time::Duration;

use url::Url;

use super::ServeError;
use crate::{
    config::{Config, HttpUrl, Secret},
    gateway::StagingArea,
    globus::{
        GlobusError, Service, ServiceAccount, Tokens,
        oauth::AUTH_URL,
        transfer::{Collection, TRANSFER_RESOURCE_SERVER, TRANSFER_SCOPE, TRANSFER_URL},
    },
};

/// How long one request to Globus may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The staging area, when there is to be one.
pub(super) fn area(config: &Config) -> Result<Option<StagingArea>, ServeError> {
    let Some(collection) = &config.staging.collection_id else { return Ok(None) };
    let Some(account) = account(config)? else { return Ok(None) };
    let auth = service("Globus Auth", config.auth.globus.auth_url.as_ref(), AUTH_URL)?;
    let transfer = service("Globus Transfer", config.staging.transfer_url.as_ref(), TRANSFER_URL)?;
    let tokens = Tokens::new(auth, account, TRANSFER_SCOPE, TRANSFER_RESOURCE_SERVER);
    let collection = Collection::new(transfer, tokens, collection);
    Ok(Some(StagingArea::new(collection, &config.staging.base_path)))
}

/// The service account of its own, or else that of Globus Compute.
fn account(config: &Config) -> Result<Option<ServiceAccount>, ServeError> {
    let (staging, compute) = (&config.staging, &config.globus_compute);
    let pair = |id: &Option<String>, secret: &Option<Secret>| id.clone().zip(secret.clone());
    let found = pair(&staging.client_id, &staging.client_secret)
        .or_else(|| pair(&compute.client_id, &compute.client_secret));
    let Some((id, secret)) = found else { return Ok(None) };
    let secret = secret.reveal().map_err(|error| ServeError::Configuration(error.to_string()))?;
    Ok(Some(ServiceAccount { id, secret }))
}

fn service(
    name: &'static str,
    configured: Option<&HttpUrl>,
    usual: &str,
) -> Result<Service, ServeError> {
    let failed = |error: GlobusError| ServeError::Failed(error.into());
    let base = match configured {
        Some(url) => url.as_url().clone(),
        None => Url::parse(usual).map_err(|error| ServeError::Failed(error.into()))?,
    };
    Service::new(name, base, TIMEOUT).map_err(failed)
}
