//! `figw endpoint test`: one real request to an endpoint's back end.

use clap::Args;
use secrecy::SecretString;

use super::{Context, Failure, Outcome, cluster, endpoint::find};
use crate::{
    backends::globus_compute::Compute,
    cache::Cache,
    domain::{Endpoint, EndpointSettings, Route},
    ops::{
        serve::compute,
        trial::{NotTried, Trial},
    },
};

/// Arguments of `endpoint test`.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// The endpoint's slug
    slug: String,
    /// The route to ask [default: the first of chat/completions, completions, … that the cluster offers]
    #[arg(long)]
    route: Option<Route>,
}

pub(super) async fn run(args: TestArgs, context: &Context) -> Result<Outcome, Failure> {
    let data = context.store().await?.catalog().await?;
    let endpoint = find(&data, &args.slug)?;
    let cluster = cluster::find(&data, &endpoint.cluster)?;
    let api_key = api_key(endpoint, context)?;
    let api_key = api_key.as_ref();
    let trial = Trial { endpoint, cluster, api_key, route: args.route, patience: None };
    let compute = way_to_globus(endpoint, context)?;
    let report = trial.run(compute.as_ref()).await?;
    context.print(&report, &report)?;
    Ok(if report.ok { Outcome::Done } else { Outcome::NotGood })
}

impl From<NotTried> for Failure {
    fn from(error: NotTried) -> Self {
        match error {
            NotTried::Misconfigured(reason) => Self::Usage(reason),
            NotTried::Failed(error) => Self::Failed(error),
        }
    }
}

/// The back end's key, where it wants one.
fn api_key(endpoint: &Endpoint, context: &Context) -> Result<Option<SecretString>, Failure> {
    let source = match &endpoint.settings {
        EndpointSettings::DirectApi(settings) => settings.api_key.as_ref(),
        EndpointSettings::Metis(settings) => settings.api_key.as_ref(),
        EndpointSettings::GlobusCompute(_) | EndpointSettings::Echo(_) => None,
    };
    let place = format!("API key of endpoint `{}`", endpoint.slug);
    source.map(|source| context.reveal(&place, source)).transpose()
}

fn way_to_globus(endpoint: &Endpoint, context: &Context) -> Result<Option<Compute>, Failure> {
    if !matches!(endpoint.settings, EndpointSettings::GlobusCompute(_)) {
        return Ok(None);
    }
    Ok(compute(&context.config()?.config, Cache::default()).map_err(anyhow::Error::new)?)
}
