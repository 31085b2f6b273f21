//! The dashboard that the configuration describes.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use secrecy::SecretString;
use url::Url;

use super::ServeError;
use crate::{
    cache::Cache,
    config::{self, Config, HttpUrl},
    globus::{WebClient, oauth::random_text},
    http::dashboard::{Dashboard, Options},
    ops::globus,
    store::Reader,
    workers,
};

/// How long one request to Globus may take.
const TIMEOUT: Duration = Duration::from_secs(12);

/// The dashboard, unless there is to be none.
pub(super) fn dashboard(
    config: &Config,
    reader: &Reader,
    cache: &Cache,
) -> Result<Option<Arc<Dashboard>>, ServeError> {
    let settings = &config.dashboard;
    if !settings.enabled {
        return Ok(None);
    }
    let public_url = settings.public_url.as_ref().map(HttpUrl::as_url);
    let is_https = public_url.is_some_and(|url| url.scheme() == "https");
    let options = Options {
        is_secure: config.server.tls.is_set() || is_https,
        admin_groups: settings.admin_groups.clone(),
        secret: secret(config)?,
        lifetime: settings.session_lifetime,
        idle: settings.session_idle,
        globus: public_url.map(|url| web_client(config, url)).transpose()?.flatten(),
    };
    let pages = workers::start_aside("pages").context("no thread for the dashboard's pages")?;
    let dashboard = Dashboard::new(options, reader.clone(), cache.clone(), pages);
    Ok(Some(Arc::new(dashboard.context("dashboard.session_secret cannot be used")?)))
}

/// The configured secret, or one that ends with this process.
fn secret(config: &Config) -> Result<SecretString, ServeError> {
    let Some(secret) = &config.dashboard.session_secret else {
        return Ok(random_text().context("the system has no random bytes")?);
    };
    let secret = secret.reveal().map_err(|error| ServeError::Configuration(error.to_string()))?;
    if let Some(complaint) = config::Dashboard::complain_of(&secret) {
        return Err(ServeError::Configuration(format!("dashboard.session_secret {complaint}")));
    }
    Ok(secret)
}

/// What logs people in with Globus, where that is set up.
fn web_client(config: &Config, public_url: &Url) -> Result<Option<WebClient>, ServeError> {
    let auth = &config.auth.globus;
    let services = globus::services(auth).context("cannot set up logins with Globus")?;
    let Some((_, account)) = services else { return Ok(None) };
    let origin = public_url.as_str().trim_end_matches('/');
    let client = WebClient::new(
        globus::auth_address(auth)?,
        account,
        format!("{origin}/dashboard/login/callback"),
        auth.policies.clone(),
        auth.authorized_idp_domains.clone(),
        TIMEOUT,
    );
    Ok(Some(client.context("cannot set up logins with Globus")?))
}
