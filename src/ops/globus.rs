//! Logins with Globus, put together from the configuration.

use std::time::Duration;

use anyhow::{Context as _, Result};
use url::Url;

use crate::{
    auth::globus::Services,
    config::{GlobusAuth, HttpUrl},
    globus::{
        AuthClient, GroupsClient, Service, ServiceAccount, auth::ADDRESS as AUTH,
        groups::ADDRESS as GROUPS,
    },
};

/// How long one request to Globus Auth or Groups may take.
const LONGEST_REQUEST: Duration = Duration::from_secs(6);

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
    let auth = auth(config)?;
    let groups = service("Globus Groups", config.groups_url.as_ref(), GROUPS)?;
    let services = Services {
        auth: AuthClient::new(auth, account.clone()),
        groups: GroupsClient::new(groups),
    };
    Ok(Some((services, account)))
}

/// Globus Auth.
///
/// # Errors
/// When HTTPS cannot be set up.
pub fn auth(config: &GlobusAuth) -> Result<Service> {
    service("Globus Auth", config.auth_url.as_ref(), AUTH)
}

fn service(name: &'static str, configured: Option<&HttpUrl>, usual: &str) -> Result<Service> {
    let address = configured.map_or_else(|| usual.to_owned(), ToString::to_string);
    let address = Url::parse(&address).with_context(|| format!("the address of {name}"))?;
    Ok(Service::new(name, address, LONGEST_REQUEST)?)
}
