//! The staging area that the configuration describes.

use std::time::Duration;

use super::ServeError;
use crate::{
    config::{Config, Secret},
    gateway::StagingArea,
    globus::{
        ServiceAccount, Tokens,
        transfer::{Collection, RESOURCE_SERVER, SCOPE},
    },
    ops::globus::{auth_service, transfer_service},
};

/// How long one request to Globus may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The staging area, when there is to be one.
pub(super) fn area(config: &Config) -> Result<Option<StagingArea>, ServeError> {
    let Some(collection) = &config.staging.collection_id else { return Ok(None) };
    let Some(account) = account(config)? else { return Ok(None) };
    let tokens =
        Tokens::new(auth_service(&config.auth.globus, TIMEOUT)?, account, SCOPE, RESOURCE_SERVER);
    let transfer = transfer_service(config, TIMEOUT)?;
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
