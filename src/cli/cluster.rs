//! `figw cluster`: the places that serve models.

use clap::{Args, Subcommand};
use serde_json::{Map, Value};

use super::{
    Context, Failure, Outcome, ask,
    changes::{self, list, missing, missing_flag},
    table::{Sheet, Table},
};
use crate::{
    catalog::Kind,
    domain::{AccessPolicy, Adapter, Cluster, Route},
    store::CatalogData,
};

/// Clusters: the places that serve models
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Add a cluster
    Add(AddArgs),
    /// List every cluster
    List,
    /// Show one cluster in full
    Show {
        /// The cluster's name
        name: String,
    },
    /// Change what is given and leave the rest; an empty value clears a list
    Set {
        /// The cluster's name
        name: String,
        /// What to change
        #[command(flatten)]
        fields: ClusterFields,
    },
    /// Remove a cluster that no endpoint uses
    Remove {
        /// The cluster's name
        name: String,
    },
}

/// Arguments of `cluster add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Unique name, also the first path segment of its routes
    name: Option<String>,
    /// The same, for those who name every value
    #[arg(long = "name", value_name = "NAME", conflicts_with = "name", hide = true)]
    named: Option<String>,
    #[command(flatten)]
    fields: ClusterFields,
}

/// What can be said about a cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterFields {
    /// How its endpoints are reached: direct-api, globus-compute, metis or echo
    #[arg(long)]
    adapter: Option<Adapter>,
    /// Serving frameworks, such as vllm; separated by commas
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    frameworks: Option<Vec<String>>,
    /// Routes it offers, separated by commas [default when adding: all]
    #[arg(long, value_delimiter = ',', value_name = "ROUTE")]
    routes: Option<Vec<String>>,
    /// Groups of which a caller must be in one, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "GROUP")]
    groups: Option<Vec<String>>,
    /// Domains of which a caller's address must have one, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "DOMAIN")]
    domains: Option<Vec<String>>,
    /// What its adapter needs, such as `status_url`; repeatable; an empty value removes the key
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

impl ClusterCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Add(args) => add(args, context).await,
            Self::List => show_all(context).await,
            Self::Show { name } => show(&name, context).await,
            Self::Set { name, fields } => {
                changes::put(context, |current| {
                    let mut cluster = find(current, &name)?.clone();
                    fields.apply(&mut cluster)?;
                    Ok(cluster.into())
                })
                .await
            }
            Self::Remove { name } => changes::remove(context, Kind::Cluster, &name).await,
        }
    }
}

/// The stored cluster of that name.
pub(super) fn find<'a>(current: &'a CatalogData, name: &str) -> Result<&'a Cluster, Failure> {
    current.clusters.iter().find(|cluster| cluster.name == name).ok_or_else(|| {
        missing(Kind::Cluster, name, current.clusters.iter().map(|c| c.name.as_str()))
    })
}

impl ClusterFields {
    fn apply(&self, cluster: &mut Cluster) -> Result<(), Failure> {
        if let Some(adapter) = self.adapter {
            cluster.adapter = adapter;
        }
        if let Some(frameworks) = &self.frameworks {
            cluster.frameworks = list(frameworks.clone());
        }
        if let Some(routes) = &self.routes {
            cluster.routes = parse_routes(routes)?;
        }
        apply_access(&mut cluster.access, self.groups.as_ref(), self.domains.as_ref());
        apply_settings(&mut cluster.settings, &self.settings)
    }
}

fn parse_routes(names: &[String]) -> Result<Vec<Route>, Failure> {
    let parse = |name: &String| name.parse().map_err(|e| Failure::usage(format!("--routes: {e}")));
    list(names.to_vec()).iter().map(parse).collect()
}

/// Applies `--groups` and `--domains`.
pub(super) fn apply_access(
    access: &mut AccessPolicy,
    groups: Option<&Vec<String>>,
    domains: Option<&Vec<String>>,
) {
    if let Some(groups) = groups {
        access.groups = list(groups.clone());
    }
    if let Some(domains) = domains {
        access.domains = list(domains.clone());
    }
}

/// Applies `--setting KEY=VALUE`; values are text unless they are a number, true or false.
pub(super) fn apply_settings(
    settings: &mut Map<String, Value>,
    pairs: &[String],
) -> Result<(), Failure> {
    for pair in pairs {
        let (key, value) = pair
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| Failure::usage(format!("--setting {pair}: expected KEY=VALUE")))?;
        if value.is_empty() {
            settings.shift_remove(key);
        } else {
            let plain = serde_json::from_str(value).ok();
            let plain = plain.filter(|v: &Value| v.is_number() || v.is_boolean());
            settings.insert(key.to_owned(), plain.unwrap_or_else(|| value.into()));
        }
    }
    Ok(())
}

async fn add(args: AddArgs, context: &Context) -> Result<Outcome, Failure> {
    let AddArgs { name, named, mut fields } = args;
    let name = name.or(named);
    let name = match name {
        Some(name) => name,
        None if context.is_interactive() => ask::text("Name", None)?,
        None => return Err(Failure::usage("the cluster's name is missing; give it after `add`")),
    };
    if context.is_interactive() {
        fields.ask()?;
    }
    let mut cluster = Cluster {
        name,
        adapter: fields.adapter.ok_or_else(|| missing_flag("--adapter", "direct-api"))?,
        frameworks: Vec::new(),
        routes: Route::ALL.to_vec(),
        access: AccessPolicy::default(),
        settings: Map::new(),
        maintenance: None,
    };
    if fields.frameworks.is_none() {
        return Err(missing_flag("--frameworks", "vllm"));
    }
    fields.apply(&mut cluster)?;
    changes::put(context, |current| {
        if current.clusters.iter().any(|known| known.name == cluster.name) {
            let name = &cluster.name;
            return Err(anyhow::anyhow!(
                "there is a cluster `{name}` already; change it with `figw cluster set {name}`"
            )
            .into());
        }
        Ok(cluster.clone().into())
    })
    .await
}

impl ClusterFields {
    /// Asks for what no flag gave and adding needs.
    fn ask(&mut self) -> Result<(), Failure> {
        if self.adapter.is_none() {
            self.adapter = Some(Adapter::ALL[ask::choose("Adapter", &Adapter::ALL)?]);
        }
        if self.frameworks.is_none() {
            let answer = ask::text("Frameworks, separated by commas", Some("vllm".into()))?;
            self.frameworks = Some(answer.split(',').map(str::to_owned).collect());
            if self.routes.is_none() {
                let chosen = ask::choose_many("Routes", &Route::ALL)?;
                self.routes = Some(chosen.iter().map(|i| Route::ALL[*i].to_string()).collect());
            }
        }
        Ok(())
    }
}

async fn show_all(context: &Context) -> Result<Outcome, Failure> {
    let clusters = context.store().await?.catalog().await?.clusters;
    let mut table = Table::new(&["NAME", "ADAPTER", "FRAMEWORKS", "ROUTES", "ACCESS", "STATE"]);
    for cluster in &clusters {
        table.row([
            cluster.name.clone(),
            cluster.adapter.to_string(),
            cluster.frameworks.join(","),
            joined(&cluster.routes),
            access_summary(&cluster.access),
            if cluster.maintenance.is_some() { "maintenance" } else { "in service" }.to_owned(),
        ]);
    }
    context.print(&clusters, table)?;
    Ok(Outcome::Done)
}

async fn show(name: &str, context: &Context) -> Result<Outcome, Failure> {
    let data = context.store().await?.catalog().await?;
    let cluster = find(&data, name)?;
    let mut sheet = Sheet::default();
    sheet
        .line("name", &cluster.name)
        .line("adapter", cluster.adapter)
        .line("frameworks", cluster.frameworks.join(", "))
        .line("routes", joined(&cluster.routes))
        .line("groups", cluster.access.groups.join(", "))
        .line("domains", cluster.access.domains.join(", "));
    for (key, value) in &cluster.settings {
        sheet.line(key, plain_text(value));
    }
    match &cluster.maintenance {
        None => sheet.line("maintenance", "off"),
        Some(outage) => {
            sheet.line("maintenance", format_args!("since {}: {}", outage.since, outage.notice))
        }
    };
    context.print(cluster, sheet)?;
    Ok(Outcome::Done)
}

fn joined(routes: &[Route]) -> String {
    routes.iter().map(|route| route.as_str()).collect::<Vec<_>>().join(",")
}

/// A setting's value without the quotes of JSON.
pub(super) fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Who may use something, in a few words.
pub(super) fn access_summary(access: &AccessPolicy) -> String {
    match (access.groups.len(), access.domains.as_slice()) {
        (0, []) => "everybody".to_owned(),
        (0, domains) => domains.join(","),
        (groups, []) => format!("{groups} group(s)"),
        (groups, domains) => format!("{groups} group(s) and {}", domains.join(",")),
    }
}
