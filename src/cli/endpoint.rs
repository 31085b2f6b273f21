//! `figw endpoint`: models on clusters.

use clap::{Args, Subcommand};

use super::{
    Context, Failure, Outcome, ask,
    changes::{self, missing, missing_flag},
    cluster::{access_summary, apply_access, plain_text},
    endpoint_registration::RegistrationArgs,
    endpoint_settings::SettingsFields,
    endpoint_test::{self, TestArgs},
    table::{Sheet, Table},
};
use crate::{
    catalog::Kind,
    domain::{AccessPolicy, Adapter, Cluster, Endpoint, SecretSource},
    store::CatalogData,
};

/// Endpoints: models on clusters
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    /// Add an endpoint; on a terminal, asks for what no flag gives
    #[command(visible_alias = "register")]
    Add(Box<AddArgs>),
    /// List every endpoint
    List,
    /// Show one endpoint in full
    Show {
        /// The endpoint's slug
        slug: String,
    },
    /// Change what is given and leave the rest; an empty value clears a list or a setting
    Set {
        /// The endpoint's slug
        slug: String,
        /// What to change
        #[command(flatten)]
        fields: Box<EndpointFields>,
    },
    /// Remove an endpoint that no federation uses
    Remove {
        /// The endpoint's slug
        slug: String,
    },
    /// Send one real request to an endpoint's back end
    Test(TestArgs),
}

/// Arguments of `endpoint add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Unique name [default: made of cluster, framework and model]
    #[arg(long)]
    slug: Option<String>,
    #[command(flatten)]
    fields: EndpointFields,
    #[command(flatten)]
    registration: RegistrationArgs,
}

/// What can be said about an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct EndpointFields {
    /// The cluster it runs on
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// One of the cluster's frameworks
    #[arg(long, value_name = "NAME")]
    framework: Option<String>,
    /// The model's name, as callers write it and as the back end knows it
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// direct-api, globus-compute, metis or echo [default when adding: the cluster's]
    #[arg(long)]
    adapter: Option<Adapter>,
    #[command(flatten)]
    settings: SettingsFields,
    /// Groups of which a caller must be in one, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "GROUP")]
    groups: Option<Vec<String>>,
    /// Domains of which a caller's address must have one, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "DOMAIN")]
    domains: Option<Vec<String>>,
    /// Tokens per minute that all callers together may use; 0 for no limit
    #[arg(long, value_name = "TOKENS")]
    tpm_model: Option<u64>,
    /// Tokens per minute that one caller may use; 0 for no limit
    #[arg(long, value_name = "TOKENS")]
    tpm_user: Option<u64>,
    /// Whether it takes requests [default when adding: true]
    #[arg(long, value_name = "true|false")]
    enabled: Option<bool>,
}

impl EndpointCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Add(args) => add(*args, context).await,
            Self::List => show_all(context).await,
            Self::Show { slug } => show(&slug, context).await,
            Self::Set { slug, fields } => {
                changes::put(context, |current| {
                    let mut endpoint = find(current, &slug)?.clone();
                    fields.apply(&mut endpoint)?;
                    Ok(endpoint.into())
                })
                .await
            }
            Self::Remove { slug } => changes::remove(context, Kind::Endpoint, &slug).await,
            Self::Test(args) => endpoint_test::run(args, context).await,
        }
    }
}

/// The stored endpoint with that slug.
pub(super) fn find<'a>(current: &'a CatalogData, slug: &str) -> Result<&'a Endpoint, Failure> {
    current.endpoints.iter().find(|endpoint| endpoint.slug == slug).ok_or_else(|| {
        missing(Kind::Endpoint, slug, current.endpoints.iter().map(|e| e.slug.as_str()))
    })
}

async fn add(args: AddArgs, context: &Context) -> Result<Outcome, Failure> {
    let AddArgs { slug, mut fields, registration } = args;
    if registration.register_functions {
        fields.settings.await_functions();
    }
    let current = context.store().await?.catalog().await?;
    if context.is_interactive() {
        fields.ask(&current.clusters)?;
    }
    // Mistakes are found before Globus is asked for anything.
    let mut endpoint = fields.create(slug, &current)?;
    refuse_known(&endpoint.slug, &current)?;
    registration.carry_out(&mut endpoint.settings, context).await?;
    changes::put(context, |current| {
        refuse_known(&endpoint.slug, current)?;
        Ok(endpoint.clone().into())
    })
    .await
}

fn refuse_known(slug: &str, current: &CatalogData) -> Result<(), Failure> {
    if current.endpoints.iter().all(|known| known.slug != slug) {
        return Ok(());
    }
    Err(anyhow::anyhow!(
        "there is an endpoint `{slug}` already; change it with `figw endpoint set {slug}`"
    )
    .into())
}

impl EndpointFields {
    fn create(&self, slug: Option<String>, current: &CatalogData) -> Result<Endpoint, Failure> {
        let given = |value: &Option<String>, flag, example| {
            value.clone().ok_or_else(|| missing_flag(flag, example))
        };
        let cluster = given(&self.cluster, "--cluster", "sophia")?;
        // A flag that does not fit is said before one that is missing.
        let adapter = match self.adapter {
            Some(adapter) => adapter,
            None => self.adapter_of(super::cluster::find(current, &cluster)?)?,
        };
        let framework = given(&self.framework, "--framework", "vllm")?;
        let model = given(&self.model, "--model", "openai/gpt-oss-20b")?;
        let mut endpoint = Endpoint {
            slug: slug.unwrap_or_else(|| Endpoint::default_slug(&cluster, &framework, &model)),
            cluster,
            framework,
            model,
            settings: self.settings.create(adapter)?,
            access: AccessPolicy::default(),
            tpm_model: 0,
            tpm_user: 0,
            enabled: true,
        };
        self.apply_rest(&mut endpoint);
        Ok(endpoint)
    }

    /// The cluster's adapter, if every given setting is one of its.
    fn adapter_of(&self, cluster: &Cluster) -> Result<Adapter, Failure> {
        let Cluster { name, adapter, .. } = cluster;
        self.settings.foreign_flag(*adapter).map_or(Ok(*adapter), |(flag, owner)| {
            Err(Failure::usage(format!(
                "{flag} does not fit cluster `{name}`, whose adapter is {adapter}; with \
                 --adapter {owner} this endpoint is reached otherwise than its cluster"
            )))
        })
    }

    fn apply(&self, endpoint: &mut Endpoint) -> Result<(), Failure> {
        for (given, field) in [
            (&self.cluster, &mut endpoint.cluster),
            (&self.framework, &mut endpoint.framework),
            (&self.model, &mut endpoint.model),
        ] {
            if let Some(given) = given {
                field.clone_from(given);
            }
        }
        let adapter = self.adapter.unwrap_or(endpoint.settings.adapter());
        endpoint.settings = if adapter == endpoint.settings.adapter() {
            self.settings.change(&endpoint.settings)?
        } else {
            self.settings.create(adapter)?
        };
        self.apply_rest(endpoint);
        Ok(())
    }

    fn apply_rest(&self, endpoint: &mut Endpoint) {
        apply_access(&mut endpoint.access, self.groups.as_ref(), self.domains.as_ref());
        endpoint.tpm_model = self.tpm_model.unwrap_or(endpoint.tpm_model);
        endpoint.tpm_user = self.tpm_user.unwrap_or(endpoint.tpm_user);
        endpoint.enabled = self.enabled.unwrap_or(endpoint.enabled);
    }

    /// Asks for what no flag gave: everything when there was no flag at all, else what is required.
    fn ask(&mut self, clusters: &[Cluster]) -> Result<(), Failure> {
        if clusters.is_empty() {
            return Err(anyhow::anyhow!(
                "there is no cluster yet; add one with `figw cluster add`"
            )
            .into());
        }
        let everything = *self == Self::default();
        let cluster = if let Some(name) = &self.cluster {
            clusters.iter().find(|cluster| cluster.name == *name)
        } else {
            let names: Vec<_> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
            clusters.get(ask::choose("Cluster", &names)?)
        };
        // An unknown cluster is refused with the other mistakes.
        let Some(cluster) = cluster else { return Ok(()) };
        if self.adapter.is_none() {
            self.adapter_of(cluster)?;
        }
        self.cluster = Some(cluster.name.clone());
        if self.framework.is_none() {
            let chosen = ask::choose("Framework", &cluster.frameworks)?;
            self.framework = cluster.frameworks.get(chosen).cloned();
        }
        if self.model.is_none() {
            self.model = Some(ask::text("Model", None)?);
        }
        if everything {
            let mut adapters = Adapter::ALL;
            // The cluster's own comes first and is thereby the default.
            adapters.sort_by_key(|adapter| *adapter != cluster.adapter);
            self.adapter = Some(adapters[ask::choose("Adapter", &adapters)?]);
        }
        self.settings.ask(self.adapter.unwrap_or(cluster.adapter), everything)?;
        if everything {
            let comma = |answer: String| answer.split(',').map(str::to_owned).collect();
            self.groups = ask::optional_text("Allowed groups, separated by commas")?.map(comma);
            self.domains = ask::optional_text("Allowed domains, separated by commas")?.map(comma);
            self.tpm_model =
                Some(ask::number("Tokens per minute for all callers, 0 for no limit")?);
            self.tpm_user = Some(ask::number("Tokens per minute for one caller, 0 for no limit")?);
        }
        Ok(())
    }
}

async fn show_all(context: &Context) -> Result<Outcome, Failure> {
    let endpoints = context.store().await?.catalog().await?.endpoints;
    let mut table =
        Table::new(&["SLUG", "CLUSTER", "FRAMEWORK", "MODEL", "ADAPTER", "ACCESS", "STATE"]);
    for endpoint in &endpoints {
        table.row([
            endpoint.slug.clone(),
            endpoint.cluster.clone(),
            endpoint.framework.clone(),
            endpoint.model.clone(),
            endpoint.settings.adapter().to_string(),
            access_summary(&endpoint.access),
            state(endpoint).to_owned(),
        ]);
    }
    let masked: Vec<_> = endpoints.into_iter().map(masked).collect();
    context.print(&masked, table)?;
    Ok(Outcome::Done)
}

const fn state(endpoint: &Endpoint) -> &'static str {
    if endpoint.enabled { "enabled" } else { "disabled" }
}

/// The endpoint as it may be shown: a secret's place, but not a secret's text.
fn masked(mut endpoint: Endpoint) -> Endpoint {
    if let Some(SecretSource::Plain(secret)) = endpoint.settings.api_key_mut() {
        "***".clone_into(secret);
    }
    endpoint
}

async fn show(slug: &str, context: &Context) -> Result<Outcome, Failure> {
    let data = context.store().await?.catalog().await?;
    let endpoint = masked(find(&data, slug)?.clone());
    let mut sheet = Sheet::default();
    sheet
        .line("slug", &endpoint.slug)
        .line("cluster", &endpoint.cluster)
        .line("framework", &endpoint.framework)
        .line("model", &endpoint.model)
        .line("adapter", endpoint.settings.adapter());
    for (key, value) in endpoint.settings.to_values() {
        sheet.line(&key, plain_text(&value));
    }
    sheet
        .line("groups", endpoint.access.groups.join(", "))
        .line("domains", endpoint.access.domains.join(", "))
        .line("tpm_model", limit(endpoint.tpm_model))
        .line("tpm_user", limit(endpoint.tpm_user))
        .line("state", state(&endpoint));
    context.print(&endpoint, sheet)?;
    Ok(Outcome::Done)
}

fn limit(tokens: u64) -> String {
    if tokens == 0 { "no limit".to_owned() } else { tokens.to_string() }
}
