//! The command line: one file per subcommand, each with its arguments and a `run`.

mod ask;
mod changes;
pub mod cluster;
pub mod completions;
pub mod config;
pub mod context;
pub mod doctor;
pub mod endpoint;
mod endpoint_registration;
mod endpoint_settings;
mod endpoint_test;
pub mod federation;
pub mod fixtures;
pub mod generate;
pub mod key;
pub mod login;
pub mod logout;
pub mod maintenance;
pub mod man;
pub mod migrate;
pub mod serve;
mod table;
pub mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use context::{Context, Failure, Outcome};

use crate::telemetry::logs::{self, Verbosity};

/// A production inference gateway, with its operator's tools, in one program.
#[derive(Debug, Parser)]
#[command(name = "figw", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct GlobalArgs {
    /// Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]
    #[arg(short, long, global = true, value_name = "FILE", env = "FIGW_CONFIG")]
    pub config: Option<PathBuf>,
    /// How results are written to standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
    /// Say less on standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours on standard error
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: Color,
    /// Answer every confirmation with yes
    #[arg(short, long, global = true)]
    pub yes: bool,
}

impl GlobalArgs {
    /// What these options say about logs.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        let colors = match self.color {
            Color::Auto => logs::wants_colors(),
            Color::Always => true,
            Color::Never => false,
        };
        Verbosity { quiet: self.quiet, verbose: self.verbose, colors }
    }
}

/// The form of a command's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON document with stable keys.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    Serve(serve::ServeArgs),
    /// Bring the database to this program's schema
    Migrate(migrate::MigrateArgs),
    /// Clusters: the places that serve models
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Endpoints: models on clusters
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    /// Federations: one model name for several endpoints
    #[command(subcommand)]
    Federation(federation::FederationCommand),
    /// Take a cluster out of service, and put it back
    #[command(subcommand)]
    Maintenance(maintenance::MaintenanceCommand),
    /// The catalogue as files: FIRST's Django JSON or figw's own YAML
    #[command(subcommand)]
    Fixtures(fixtures::FixturesCommand),
    /// API keys for people and services without another login
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Log in with Globus, in the browser
    ///
    /// figw opens the browser, or names the address to be opened. The tokens are kept where the
    /// Globus SDK keeps them, so that FIRST's helper and figw share one login: below
    /// ~/.globus/app, readable by you alone. What no option says comes from the configuration's
    /// sections login and auth.globus, or else from the last login on this account.
    Login(login::LoginArgs),
    /// Print an access token, renewed if need be
    ///
    /// The token stands alone on standard output, for $(figw token). It is renewed when it would
    /// end within a minute. Exit status 1 means that you must log in again.
    Token(token::TokenArgs),
    /// Give the login's tokens back and remove them
    ///
    /// The tokens for the gateway become worthless everywhere, also for other programs that share
    /// this login, such as FIRST's helper. Tokens that other programs obtained for other services
    /// stay.
    Logout(logout::LogoutArgs),
    /// The files that surround a deployment
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
    /// Check, show or convert the configuration
    Config(config::ConfigArgs),
    /// Go through the production checklists
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write the manual pages to a directory
    Man(man::ManArgs),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done, with the exit status that it means.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Serve(args) => args.run(context).await,
            Self::Migrate(args) => migrate::run(args, context).await,
            Self::Cluster(command) => command.run(context).await,
            Self::Endpoint(command) => command.run(context).await,
            Self::Federation(command) => command.run(context).await,
            Self::Maintenance(command) => command.run(context).await,
            Self::Fixtures(command) => command.run(context).await,
            Self::Key(command) => command.run(context).await,
            Self::Login(args) => args.run(context).await,
            Self::Token(args) => args.run(context).await,
            Self::Logout(args) => args.run(context).await,
            Self::Generate(command) => command.run(context).await,
            Self::Config(args) => args.run(context),
            Self::Doctor(args) => args.run(context).await,
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
        }
    }

    /// Whether the command sets up logs itself, once it has read the configuration.
    #[must_use]
    pub const fn sets_up_logs(&self) -> bool {
        matches!(self, Self::Serve(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }
}
