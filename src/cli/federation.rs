//! `figw federation`: one model name for several endpoints.

use std::str::FromStr;

use clap::{Args, Subcommand};

use super::{
    Context, Failure, Outcome, ask,
    changes::{self, missing, missing_flag},
    table::{Sheet, Table},
};
use crate::{
    catalog::Kind,
    domain::{Endpoint, Federation, Policy, Target},
    store::CatalogData,
};

/// Federations: one model name for several endpoints
#[derive(Debug, Subcommand)]
pub enum FederationCommand {
    /// Add a federation
    Add {
        /// The model name that people ask for
        model: Option<String>,
        /// The same, for those who name every value
        #[arg(long = "model", value_name = "MODEL", conflicts_with = "model", hide = true)]
        named: Option<String>,
        /// What it consists of
        #[command(flatten)]
        fields: FederationFields,
    },
    /// List every federation
    List,
    /// Show one federation in full
    Show {
        /// The federation's model name
        model: String,
    },
    /// Change what is given and leave the rest
    Set {
        /// The federation's model name
        model: String,
        /// What to change
        #[command(flatten)]
        fields: FederationFields,
    },
    /// Remove a federation; its endpoints stay
    Remove {
        /// The federation's model name
        model: String,
    },
}

/// What can be said about a federation.
#[derive(Debug, Clone, Default, Args)]
pub struct FederationFields {
    /// An endpoint behind the name; repeatable; when changing, replaces all targets
    #[arg(long = "target", value_name = "SLUG[,weight=N][,priority=N]")]
    targets: Vec<TargetFlag>,
    /// A line about it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// How a target is chosen [default when adding: least-busy]
    #[arg(long)]
    policy: Option<Policy>,
}

/// `SLUG[,weight=N][,priority=N]`
#[derive(Debug, Clone)]
struct TargetFlag(Target);

impl FromStr for TargetFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let endpoint = parts.next().unwrap_or_default().to_owned();
        let mut target = Target { endpoint, priority: 0, weight: 1 };
        for part in parts {
            let (key, number) = part.split_once('=').unwrap_or((part, ""));
            let field = match key {
                "weight" => &mut target.weight,
                "priority" => &mut target.priority,
                _ => return Err(format!("`{part}` is neither weight=N nor priority=N")),
            };
            *field =
                number.parse().map_err(|_| format!("`{number}` is no {key}; give a number"))?;
        }
        Ok(Self(target))
    }
}

impl FederationFields {
    fn apply(&self, federation: &mut Federation) {
        if !self.targets.is_empty() {
            federation.targets = self.targets.iter().map(|flag| flag.0.clone()).collect();
        }
        if let Some(description) = &self.description {
            federation.description.clone_from(description);
        }
        federation.policy = self.policy.unwrap_or(federation.policy);
    }

    fn ask(&mut self, endpoints: &[Endpoint]) -> Result<(), Failure> {
        if self.targets.is_empty() && !endpoints.is_empty() {
            let slugs: Vec<_> = endpoints.iter().map(|endpoint| endpoint.slug.as_str()).collect();
            for chosen in ask::choose_many("Endpoints", &slugs)? {
                let endpoint = slugs[chosen].to_owned();
                self.targets.push(TargetFlag(Target { endpoint, priority: 0, weight: 1 }));
            }
        }
        Ok(())
    }
}

impl FederationCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Add { model, named, fields } => add(model.or(named), fields, context).await,
            Self::List => show_all(context).await,
            Self::Show { model } => show(&model, context).await,
            Self::Set { model, fields } => {
                changes::put(context, |current| {
                    let mut federation = find(current, &model)?.clone();
                    fields.apply(&mut federation);
                    Ok(federation.into())
                })
                .await
            }
            Self::Remove { model } => changes::remove(context, Kind::Federation, &model).await,
        }
    }
}

fn find<'a>(current: &'a CatalogData, model: &str) -> Result<&'a Federation, Failure> {
    current.federations.iter().find(|federation| federation.model == model).ok_or_else(|| {
        missing(Kind::Federation, model, current.federations.iter().map(|f| f.model.as_str()))
    })
}

async fn add(
    model: Option<String>,
    mut fields: FederationFields,
    context: &Context,
) -> Result<Outcome, Failure> {
    let model = match model {
        Some(model) => model,
        None if context.is_interactive() => ask::text("Model", None)?,
        None => return Err(Failure::usage("the model's name is missing; give it after `add`")),
    };
    if context.is_interactive() {
        fields.ask(&context.store().await?.catalog().await?.endpoints)?;
    }
    if fields.targets.is_empty() {
        return Err(missing_flag("--target", "SLUG"));
    }
    let mut federation = Federation {
        model,
        description: String::new(),
        policy: Policy::default(),
        targets: Vec::new(),
    };
    fields.apply(&mut federation);
    changes::put(context, |current| {
        if current.federations.iter().any(|known| known.model == federation.model) {
            let model = &federation.model;
            return Err(anyhow::anyhow!(
                "there is a federation `{model}` already; change it with `figw federation set {model}`"
            )
            .into());
        }
        Ok(federation.clone().into())
    })
    .await
}

async fn show_all(context: &Context) -> Result<Outcome, Failure> {
    let federations = context.store().await?.catalog().await?.federations;
    let mut table = Table::new(&["MODEL", "POLICY", "TARGETS", "DESCRIPTION"]);
    for federation in &federations {
        let targets: Vec<_> = federation.targets.iter().map(|t| t.endpoint.as_str()).collect();
        table.row([
            federation.model.clone(),
            federation.policy.to_string(),
            targets.join(","),
            federation.description.clone(),
        ]);
    }
    context.print(&federations, table)?;
    Ok(Outcome::Done)
}

async fn show(model: &str, context: &Context) -> Result<Outcome, Failure> {
    let data = context.store().await?.catalog().await?;
    let federation = find(&data, model)?;
    let mut sheet = Sheet::default();
    sheet
        .line("model", &federation.model)
        .line("description", &federation.description)
        .line("policy", federation.policy);
    for Target { endpoint, priority, weight } in &federation.targets {
        sheet.line("target", format_args!("{endpoint}, priority {priority}, weight {weight}"));
    }
    context.print(federation, sheet)?;
    Ok(Outcome::Done)
}
