//! What `figw endpoint register` asks Globus Compute before an endpoint is written down.

use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use super::{Context, Failure};
use crate::{
    config::Config,
    domain::{EndpointSettings, endpoint::GlobusCompute},
    globus::{ServiceAccount, functions, registry::Registry},
    ops::globus::{auth_service, compute_service},
};

/// How long one request to Globus may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `endpoint add` that concern Globus Compute itself.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct RegistrationArgs {
    /// globus-compute: register figw's own functions for vLLM and use them; the batch function if
    /// there is an endpoint for batches
    #[arg(long, conflicts_with_all = ["function_uuid", "batch_function_uuid"])]
    pub(super) register_functions: bool,
    /// globus-compute: do not ask whether the compute endpoint exists and is online
    #[arg(long)]
    no_check: bool,
}

impl RegistrationArgs {
    /// Checks the compute endpoints that `settings` name and registers functions, as asked for.
    pub(super) async fn carry_out(
        self,
        settings: &mut EndpointSettings,
        context: &Context,
    ) -> Result<(), Failure> {
        let adapter = settings.adapter();
        let EndpointSettings::GlobusCompute(settings) = settings else {
            if self.no_check {
                return Err(Failure::usage(format!(
                    "--no-check is for globus-compute, but the endpoint's adapter is {adapter}"
                )));
            }
            return Ok(());
        };
        if self.no_check && !self.register_functions {
            return Ok(());
        }
        let config = context.config()?.config;
        if !self.no_check {
            check(&settings.endpoint_uuid, &config).await?;
            if let Some(batches) = &settings.batch_endpoint_uuid {
                check(batches, &config).await?;
            }
        }
        if self.register_functions {
            register(settings, &config, context).await?;
        }
        Ok(())
    }
}

async fn check(id: &str, config: &Config) -> Result<(), Failure> {
    let endpoint = registry(id, config)?.endpoint(parsed(id)?).await.map_err(|error| {
        let unknown = error.refused_with() == Some(http::StatusCode::NOT_FOUND);
        let what = if unknown { "does not exist" } else { "cannot be checked" };
        anyhow::anyhow!("compute endpoint {id} {what}: {error}; --no-check skips this")
    })?;
    if endpoint.online {
        return Ok(());
    }
    let name = endpoint.name.map(|name| format!(" ({name})")).unwrap_or_default();
    Err(anyhow::anyhow!(
        "compute endpoint {id}{name} is offline; start it with `globus-compute-endpoint start`, \
         or give --no-check"
    )
    .into())
}

async fn register(
    settings: &mut GlobusCompute,
    config: &Config,
    context: &Context,
) -> Result<(), Failure> {
    let inference = registry(&settings.endpoint_uuid, config)?;
    settings.function_uuid = register_one(&inference, &functions::INFERENCE, context).await?;
    if let Some(batches) = &settings.batch_endpoint_uuid {
        let batches = registry(batches, config)?;
        let id = register_one(&batches, &functions::BATCH, context).await?;
        settings.batch_function_uuid = Some(id);
    }
    Ok(())
}

async fn register_one(
    registry: &Registry,
    function: &functions::Function,
    context: &Context,
) -> Result<String, Failure> {
    let id = registry.register(function).await.map_err(|error| {
        anyhow::anyhow!("function {} cannot be registered: {error}", function.name)
    })?;
    context.hint(format_args!("registered {} as {id}", function.name));
    Ok(id.to_string())
}

/// Globus Compute with the service account that the endpoint `id` demands.
fn registry(id: &str, config: &Config) -> Result<Registry, Failure> {
    let settings = &config.globus_compute;
    let endpoint = parsed(id)?;
    // Both may be written in capitals, with braces, or without dashes.
    let mut overrides = settings.credentials_overrides.iter();
    let override_of_it = overrides
        .find(|(overridden, _)| overridden.parse() == Ok(endpoint))
        .map(|(_, account)| account);
    let (client, secret) = match override_of_it {
        Some(account) => (Some(&account.client_id), Some(&account.client_secret)),
        None => (settings.client_id.as_ref(), settings.client_secret.as_ref()),
    };
    let (Some(client), Some(secret)) = (client, secret) else {
        return Err(Failure::usage(
            "Globus Compute cannot be asked about the endpoint: globus_compute.client_id and \
             client_secret are not set in the configuration; set them, or give --no-check and the \
             functions' ids",
        ));
    };
    let secret = secret.reveal().map_err(anyhow::Error::new)?;
    let auth = auth_service(&config.auth.globus, PATIENCE)?;
    let compute = compute_service(config, PATIENCE)?;
    Ok(Registry::new(auth, compute, ServiceAccount { id: client.clone(), secret }))
}

fn parsed(id: &str) -> Result<Uuid, Failure> {
    id.parse().map_err(|_| Failure::usage(format!("`{id}` is not the id of a compute endpoint")))
}
