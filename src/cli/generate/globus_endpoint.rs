//! `figw generate globus-endpoint`: the configuration of a Globus Compute endpoint.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    cli::{Context, Failure, Outcome, endpoint},
    domain::EndpointSettings,
    globus::endpoint_config::{Plan, Scheduler},
};

/// What stands above the configuration.
const HEADER: &str = "\
# Made by `figw generate globus-endpoint`. worker_init has to start the model's server; for streamed
# answers it also exports INTERNAL_STREAMING_SECRET, the gateway's globus_compute.streaming_secret.
";

/// Arguments of `generate globus-endpoint`.
#[derive(Debug, Args)]
pub struct GlobusEndpointArgs {
    /// What starts the nodes
    #[arg(long, value_enum)]
    scheduler: SchedulerName,
    /// Name in Globus' web pages
    #[arg(long, value_name = "NAME")]
    display_name: Option<String>,
    /// Run this function only; repeatable
    #[arg(long = "allowed-function", value_name = "UUID")]
    allowed_functions: Vec<Uuid>,
    /// Run the functions of this endpoint in the catalogue only; repeatable
    #[arg(long = "for", value_name = "SLUG")]
    slugs: Vec<String>,
    /// Queue of PBS, partition of Slurm
    #[arg(long, visible_alias = "partition", value_name = "NAME")]
    queue: Option<String>,
    /// Account that is charged
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// slurm: quality of service
    #[arg(long, value_name = "NAME")]
    qos: Option<String>,
    /// pbs: what `select` gets besides nodes and CPUs, such as ngpus=4
    #[arg(long, value_name = "OPTIONS")]
    select_options: Option<String>,
    /// pbs: CPUs of each node
    #[arg(long, value_name = "COUNT")]
    cpus_per_node: Option<u32>,
    /// slurm: GPUs of each node
    #[arg(long, value_name = "COUNT")]
    gpus_per_node: Option<u32>,
    /// Another option of the scheduler, such as `-l filesystems=home`; repeatable
    #[arg(long = "scheduler-option", value_name = "OPTION", allow_hyphen_values = true)]
    scheduler_options: Vec<String>,
    /// Nodes of one job
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    nodes_per_block: u32,
    /// Jobs that are kept however idle
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    min_blocks: u32,
    /// Jobs at the start
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    init_blocks: u32,
    /// Most jobs at once
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    max_blocks: u32,
    /// How long a job may run, such as 24h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    walltime: Duration,
    /// How long a job is kept without requests
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = humantime::parse_duration)]
    idle_timeout: Duration,
    /// Requests that a node works on at once
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    workers_per_node: u32,
    /// Network interface by which nodes reach the endpoint, such as bond0
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// Shell command before the workers start; repeatable
    #[arg(long, value_name = "COMMAND", conflicts_with = "worker_init_file")]
    worker_init: Vec<String>,
    /// File with the shell commands before the workers start
    #[arg(long, value_name = "PATH")]
    worker_init_file: Option<PathBuf>,
}

/// What starts the nodes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchedulerName {
    /// PBS
    Pbs,
    /// Slurm
    Slurm,
    /// The endpoint's own machine
    Local,
}

impl From<SchedulerName> for Scheduler {
    fn from(name: SchedulerName) -> Self {
        match name {
            SchedulerName::Pbs => Self::Pbs,
            SchedulerName::Slurm => Self::Slurm,
            SchedulerName::Local => Self::Local,
        }
    }
}

/// The file, for programs.
#[derive(Serialize)]
struct Generated {
    name: &'static str,
    content: String,
}

impl GlobusEndpointArgs {
    pub(super) async fn run(mut self, context: &Context) -> Result<Outcome, Failure> {
        if !self.slugs.is_empty() {
            let functions = self.functions_of_endpoints(context).await?;
            self.allowed_functions.extend(functions);
        }
        self.allowed_functions.sort_unstable();
        self.allowed_functions.dedup();
        let plan = self.plan()?;
        let file = format!("{HEADER}{}", plan.render().map_err(Failure::usage)?);
        if context.global.output == crate::cli::Output::Json {
            context.print(&Generated { name: "config.yaml", content: file }, "")?;
        } else {
            context.print_raw(file.as_bytes())?;
        }
        Ok(Outcome::Done)
    }

    /// The registered functions of the endpoints that `--for` names.
    async fn functions_of_endpoints(&self, context: &Context) -> Result<Vec<Uuid>, Failure> {
        let catalog = context.store().await?.catalog().await?;
        let mut functions = Vec::new();
        for slug in &self.slugs {
            let EndpointSettings::GlobusCompute(settings) =
                &endpoint::find(&catalog, slug)?.settings
            else {
                return Err(Failure::usage(format!(
                    "endpoint `{slug}` is not reached through Globus Compute"
                )));
            };
            for id in [Some(&settings.function_uuid), settings.batch_function_uuid.as_ref()] {
                let Some(id) = id else { continue };
                functions.push(id.parse().map_err(|_| {
                    Failure::usage(format!("endpoint `{slug}` has `{id}` for a function's id"))
                })?);
            }
        }
        Ok(functions)
    }

    fn plan(self) -> Result<Plan, Failure> {
        let worker_init = match &self.worker_init_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
            None => self.worker_init.join("\n"),
        };
        Ok(Plan {
            scheduler: self.scheduler.into(),
            display_name: self.display_name,
            allowed_functions: self.allowed_functions,
            queue: self.queue,
            account: self.account,
            qos: self.qos,
            select_options: self.select_options,
            cpus_per_node: self.cpus_per_node,
            gpus_per_node: self.gpus_per_node,
            scheduler_options: self.scheduler_options,
            nodes_per_block: self.nodes_per_block,
            min_blocks: self.min_blocks,
            init_blocks: self.init_blocks,
            max_blocks: self.max_blocks,
            walltime: self.walltime,
            idle_timeout: self.idle_timeout,
            workers_per_node: self.workers_per_node,
            interface: self.interface,
            worker_init,
        })
    }
}
