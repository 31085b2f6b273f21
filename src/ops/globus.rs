//! The services of Globus, put together from the configuration.

use std::time::Duration;

use anyhow::{Context as _, Result};
use url::Url;

use crate::{
    auth::globus::Services,
    config::{Config, GlobusAuth, HttpUrl},
    globus::{AuthClient, GroupsClient, Service, ServiceAccount, auth, compute, groups, transfer},
};

/// How long one request about a login may take. Globus has answered after several seconds, and a
/// newcomer can do nothing better than wait; who is known does not.
const LONGEST_REQUEST: Duration = Duration::from_secs(12);

/// Globus Auth and Groups, and the registration in whose name they are asked; `None` when logins
/// with Globus are not configured.
///
/// # Errors
/// When the registration's secret cannot be read.
pub fn services(config: &GlobusAuth) -> Result<Option<(Services, ServiceAccount)>> {
    let (Some(id), Some(secret)) = (&config.application_id, &config.application_secret) else {
        return Ok(None);
    };
    let account = ServiceAccount { id: id.clone(), secret: secret.reveal()? };
    let groups = address(config.groups_url.as_ref(), groups::ADDRESS)?;
    let groups = Service::new("Globus Groups", groups, LONGEST_REQUEST)?;
    let services = Services {
        auth: AuthClient::new(auth_service(config, LONGEST_REQUEST)?, account.clone()),
        groups: GroupsClient::new(groups),
    };
    Ok(Some((services, account)))
}

/// Globus Auth; each request may take `timeout`.
///
/// # Errors
/// When the HTTP client cannot be set up.
pub fn auth_service(config: &GlobusAuth, timeout: Duration) -> Result<Service> {
    Ok(Service::new("Globus Auth", auth_address(config)?, timeout)?)
}

/// Globus Compute; each request may take `timeout`.
///
/// # Errors
/// When the HTTP client cannot be set up.
pub fn compute_service(config: &Config, timeout: Duration) -> Result<Service> {
    Ok(Service::new("Globus Compute", compute_address(config)?, timeout)?)
}

/// Globus Transfer; each request may take `timeout`.
///
/// # Errors
/// When the HTTP client cannot be set up.
pub fn transfer_service(config: &Config, timeout: Duration) -> Result<Service> {
    let transfer = address(config.staging.transfer_url.as_ref(), transfer::ADDRESS)?;
    Ok(Service::new("Globus Transfer", transfer, timeout)?)
}

/// Where Globus Auth is.
///
/// # Errors
/// Never; its own address is a valid one.
pub fn auth_address(config: &GlobusAuth) -> Result<Url> {
    address(config.auth_url.as_ref(), auth::ADDRESS)
}

/// Where Globus Compute is.
///
/// # Errors
/// Never; its own address is a valid one.
pub fn compute_address(config: &Config) -> Result<Url> {
    address(config.globus_compute.url.as_ref(), compute::ADDRESS)
}

fn address(configured: Option<&HttpUrl>, usual: &str) -> Result<Url> {
    match configured {
        Some(url) => Ok(url.as_url().clone()),
        None => Url::parse(usual).with_context(|| format!("the built-in address {usual}")),
    }
}
