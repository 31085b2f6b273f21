//! The way back from clusters, made from the configuration.

use secrecy::ExposeSecret;

use super::ServeError;
use crate::{
    backends::globus_compute::streams::{Connected, StreamHub},
    cache::Cache,
    config::Config,
};

/// Where functions on clusters post their streams, when that is configured.
pub(super) fn hub(config: &Config) -> Result<Option<StreamHub>, ServeError> {
    let compute = &config.globus_compute;
    let (Some(url), Some(secret)) = (&compute.streaming_public_url, &compute.streaming_secret)
    else {
        return Ok(None);
    };
    let secret = secret.reveal().map_err(|error| ServeError::Configuration(error.to_string()))?;
    if is_weak(secret.expose_secret()) {
        tracing::warn!(
            "globus_compute.streaming_secret is easily guessed; make one with `openssl rand -hex 32`, \
             also for INTERNAL_STREAMING_SECRET on the clusters"
        );
    }
    let hub = StreamHub::new(&secret, url.as_url()).map_err(|complaint| {
        ServeError::Configuration(format!("globus_compute.streaming_public_url: {complaint}"))
    })?;
    Ok(Some(hub))
}

/// Opens the ways between the instances, for as long as what is returned is kept.
pub(super) async fn connect(
    hub: Option<&StreamHub>,
    config: &Config,
    cache: &Cache,
) -> Option<Connected> {
    Some(hub?.connect(&config.server.state_dir, cache).await)
}

/// Whether a streaming secret is short, or the one in FIRST's public source.
fn is_weak(secret: &str) -> bool {
    const SHORTEST: usize = 16;
    secret.len() < SHORTEST || secret == "default-secret-change-me"
}
