//! `figw maintenance`: take a cluster out of service with a notice.

use clap::{Args, Subcommand};
use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::{Context, Failure, Outcome, changes::Refused, cluster::find, table::Table};
use crate::{
    catalog::edits,
    domain::{Cluster, Maintenance},
};

const DEFAULT_NOTICE: &str = "The cluster is under maintenance.";

/// Take a cluster out of service, and put it back
#[derive(Debug, Subcommand)]
pub enum MaintenanceCommand {
    /// Take a cluster out of service
    On(OnArgs),
    /// Put a cluster back into service
    Off {
        /// The cluster's name
        cluster: String,
    },
    /// Show which clusters are out of service
    Status {
        /// Only this cluster
        cluster: Option<String>,
    },
}

/// Arguments of `maintenance on`.
#[derive(Debug, Args)]
pub struct OnArgs {
    /// The cluster's name
    cluster: String,
    /// What callers are told
    #[arg(long, value_name = "TEXT", default_value = DEFAULT_NOTICE)]
    notice: String,
}

#[derive(Debug, Serialize)]
struct State<'a> {
    cluster: &'a str,
    maintenance: bool,
    notice: Option<&'a str>,
    since: Option<Timestamp>,
}

impl<'a> From<&'a Cluster> for State<'a> {
    fn from(cluster: &'a Cluster) -> Self {
        let outage = cluster.maintenance.as_ref();
        Self {
            cluster: &cluster.name,
            maintenance: outage.is_some(),
            notice: outage.map(|outage| outage.notice.as_str()),
            since: outage.map(|outage| outage.since),
        }
    }
}

impl MaintenanceCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::On(OnArgs { cluster, notice }) => switch(&cluster, Some(&notice), context).await,
            Self::Off { cluster } => switch(&cluster, None, context).await,
            Self::Status { cluster: Some(name) } => {
                let data = context.store().await?.catalog().await?;
                print(find(&data, &name)?, context)
            }
            Self::Status { cluster: None } => {
                let clusters = context.store().await?.catalog().await?.clusters;
                let states: Vec<_> = clusters.iter().map(State::from).collect();
                context.print(&states, table(&states))?;
                Ok(Outcome::Done)
            }
        }
    }
}

/// Switches maintenance on with a notice or off, keeping the moment at which it began.
async fn switch(name: &str, notice: Option<&str>, context: &Context) -> Result<Outcome, Failure> {
    let store = context.store().await?;
    // Whole seconds survive every database and file as they are.
    let now = Timestamp::now().round(Unit::Second).map_err(anyhow::Error::new)?;
    let cluster = edits::apply(store.as_ref(), |current| {
        let mut cluster = find(current, name)?.clone();
        let since = cluster.maintenance.map_or(now, |outage| outage.since);
        cluster.maintenance = notice.map(|text| Maintenance { notice: text.to_owned(), since });
        let plan = edits::put(current, &cluster.clone().into())?;
        Ok::<_, Refused>((plan.edits, cluster))
    })
    .await
    .map_err(|Refused(failure)| failure)?;
    print(&cluster, context)
}

fn print(cluster: &Cluster, context: &Context) -> Result<Outcome, Failure> {
    let state = State::from(cluster);
    let text = table(std::slice::from_ref(&state));
    context.print(&state, text)?;
    Ok(Outcome::Done)
}

fn table(states: &[State<'_>]) -> Table {
    let mut table = Table::new(&["CLUSTER", "MAINTENANCE", "SINCE", "NOTICE"]);
    for state in states {
        table.row([
            state.cluster.to_owned(),
            if state.maintenance { "on" } else { "off" }.to_owned(),
            state.since.map(|since| since.to_string()).unwrap_or_default(),
            state.notice.unwrap_or_default().to_owned(),
        ]);
    }
    table
}
