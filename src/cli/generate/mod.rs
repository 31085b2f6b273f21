//! `figw generate`: the files that surround a deployment.

mod compose;
mod cron;
mod firewall;
mod globus_endpoint;
mod grafana;
mod kubernetes;
mod logrotate;
mod nginx;
mod output;
mod pgbouncer;
mod prometheus;
mod systemd;

use clap::Subcommand;

use super::{Context, Failure, Outcome};

/// The image of this version.
const IMAGE: &str = concat!("figw:", env!("CARGO_PKG_VERSION"));

/// The files that surround a deployment
#[derive(Debug, Subcommand)]
pub enum GenerateCommand {
    /// nginx in front of all instances, with TLS
    ///
    /// Streams pass as they come, the longest request is waited for, and what one instance cannot
    /// take another gets, as long as nothing of the answer has gone out. One file for
    /// /etc/nginx/conf.d. nginx ends TLS with Mozilla's intermediate profile; `server.admin_listen`
    /// is not passed on.
    #[command(after_long_help = nginx::SWITCHING)]
    Nginx(nginx::NginxArgs),
    /// figw as a service of systemd: figw.service and its sockets
    ///
    /// systemd holds the public port, so that a restart refuses no connection, and takes from figw
    /// what a gateway does not need. Relative paths of the configuration begin in /var/lib/figw.
    Systemd(systemd::SystemdArgs),
    /// PgBouncer between the instances and PostgreSQL
    ///
    /// In transaction mode. PostgreSQL itself is `database.migration_url`, or else `database.url`.
    Pgbouncer(pgbouncer::PgBouncerArgs),
    /// The jobs that make backups and prove them, for cron
    ///
    /// A backup as often as backup.objectives.rpo wants (at most hourly), and weekly a drill.
    Cron(cron::CronArgs),
    /// logrotate for logging.file, where logrotate keeps all logs of a machine
    Logrotate(logrotate::LogrotateArgs),
    /// Everything on one host: figw, PostgreSQL, Redis and nginx, for Docker Compose
    ///
    /// compose.yaml with config.yaml, nginx.conf and a Dockerfile beside it. The head of compose.yaml
    /// says how the secrets are made: none is in a file, and none has a default.
    Compose(compose::ComposeArgs),
    /// Everything for Kubernetes, as one file for `kubectl apply`
    ///
    /// Deployment, Service, `PodDisruptionBudget`, `NetworkPolicy`, the configuration, a Job that
    /// migrates, and `CronJobs` for backups and drills. The head of the file says how the Secret is made.
    Kubernetes(kubernetes::KubernetesArgs),
    /// Who may reach which port: users the public one, the admin listener the instances alone
    ///
    /// The rules add to those of the machine and close nothing but figw's own ports.
    Firewall(firewall::FirewallArgs),
    /// What Prometheus scrapes of all instances, and what it alerts of
    ///
    /// Two files: prometheus.yml and figw-rules.yml. Instances have their own names as label `instance`.
    /// Thresholds that the configuration knows come from it: `database.replica_max_lag`,
    /// `backup.objectives.rpo`. figw-metrics(7) lists the metrics.
    Prometheus(prometheus::PrometheusArgs),
    /// The dashboard for Grafana, with a Prometheus as its data source
    ///
    /// One file, figw.json, to be imported, or put where Grafana provisions dashboards from. Data source,
    /// instances and endpoints are chosen at its head.
    Grafana(grafana::GrafanaArgs),
    /// The config.yaml of a Globus Compute endpoint that serves models
    GlobusEndpoint(Box<globus_endpoint::GlobusEndpointArgs>),
}

impl GenerateCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Nginx(args) => args.run(context),
            Self::Systemd(args) => args.run(context),
            Self::Pgbouncer(args) => args.run(context),
            Self::Cron(args) => args.run(context),
            Self::Logrotate(args) => args.run(context),
            Self::Compose(args) => args.run(context),
            Self::Kubernetes(args) => args.run(context),
            Self::Firewall(args) => args.run(context),
            Self::Prometheus(args) => args.run(context),
            Self::Grafana(args) => args.run(context),
            Self::GlobusEndpoint(args) => args.run(context).await,
        }
    }
}

fn user_name(name: &str) -> Result<String, String> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
    if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_fit) {
        Ok(name.to_owned())
    } else {
        Err("must be the name of a user".to_owned())
    }
}
