//! The command line: one file per subcommand, each with its arguments and a `run`.

mod ask;
pub mod backup;
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
pub mod health;
pub mod key;
pub mod login;
pub mod logout;
pub mod maintenance;
pub mod man;
pub mod migrate;
mod progress;
pub mod restore;
mod restore_to_time;
pub mod rolling_restart;
pub mod serve;
mod table;
pub mod token;
pub mod usage;
pub mod wal;

use std::{path::PathBuf, process::ExitCode};

use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};

pub use context::{Context, Failure, Outcome};

use crate::{
    ops::health::State,
    telemetry::logs::{self, Verbosity},
};

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

impl Cli {
    /// Reads the command line.
    ///
    /// # Errors
    /// The exit status, once the help, the version or what is wrong has been printed.
    pub fn read() -> Result<Self, ExitCode> {
        Self::try_parse().map_err(|error| {
            // There is nobody left to tell when the output is gone.
            let _ = error.print();
            let is_wrong = error.exit_code() != 0;
            // For a monitoring system every other status would have a meaning.
            let lenient = Self::command().ignore_errors(true).try_get_matches().ok();
            match lenient.as_ref().and_then(clap::ArgMatches::subcommand_name) {
                Some("health") if is_wrong => {
                    let output = lenient.as_ref().and_then(|m| m.try_get_one("output").ok());
                    health::print_misuse(&error, output.flatten().copied().unwrap_or_default());
                    ExitCode::from(State::Unknown.exit_status())
                }
                Some("wal") if is_wrong && wal::asks_to_recover(std::env::args_os()) => {
                    ExitCode::from(wal::STOP_RECOVERY)
                }
                _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
            }
        })
    }
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Configuration file [default: ./config.yaml, then /etc/figw/config.yaml, else built-in values]
    #[arg(short, long, global = true, value_name = "FILE", env = "FIGW_CONFIG")]
    pub config: Option<PathBuf>,
    /// How results are written to standard output
    #[arg(long, global = true, default_value_t, value_name = "FORMAT", value_parser = Output::parser(Output::is_for_all))]
    pub output: Output,
    /// Say less on standard error
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on standard error; twice for everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Colours on standard error
    #[arg(long, global = true, default_value = "auto", value_name = "WHEN", value_parser = Color::parser(Color::is_for_terminals))]
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
            Color::Auto | Color::Blue | Color::Green => logs::wants_colors(),
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
    /// For `usage` alone: comma-separated values.
    Csv,
}

impl Output {
    /// Reads the values that are `wanted`.
    fn parser(wanted: fn(Self) -> bool) -> impl TypedValueParser<Value = Self> {
        values(wanted)
    }

    /// Whether every command knows it.
    const fn is_for_all(self) -> bool {
        matches!(self, Self::Text | Self::Json)
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Csv => "csv",
        })
    }
}

/// Reads the values that are `wanted`.
fn values<V: ValueEnum + Copy + Send + Sync + 'static>(
    wanted: fn(V) -> bool,
) -> impl TypedValueParser<Value = V> {
    let possible = V::value_variants().iter().filter(|value| wanted(**value));
    PossibleValuesParser::new(possible.filter_map(ValueEnum::to_possible_value))
        .try_map(|name| V::from_str(&name, false))
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
    /// For `generate nginx` alone: the instances that are blue.
    Blue,
    /// For `generate nginx` alone: the instances that are green.
    Green,
}

impl Color {
    /// Reads the values that are `wanted`.
    fn parser(wanted: fn(Self) -> bool) -> impl TypedValueParser<Value = Self> {
        values(wanted)
    }

    /// Whether it says something about a terminal.
    const fn is_for_terminals(self) -> bool {
        matches!(self, Self::Auto | Self::Always | Self::Never)
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway
    ///
    /// Stops on SIGTERM or SIGINT: /ready answers 503 for `server.drain_grace`, then no new connection
    /// is accepted, requests in flight are finished for up to `server.drain_timeout`, rows are
    /// written, and the exit status is 0. A second signal ends it at once. SIGHUP reloads the
    /// configuration file and the catalogue. Sockets may come from systemd (`LISTEN_FDS`; named public,
    /// admin and redirect, or in this order), which is told when the gateway is ready, reloads and
    /// stops.
    #[command(after_long_help = serve::FAILING_OVER)]
    Serve(serve::ServeArgs),
    /// Bring the database to this program's schema
    ///
    /// Before anything is changed, a backup of the database is made and verified. Each migration
    /// runs in a transaction of its own: when one fails, the database is as it was before that
    /// migration. On PostgreSQL none of them waits for a lock, or keeps others from using a table,
    /// for longer than `migrate.lock_timeout`.
    Migrate(migrate::MigrateArgs),
    /// Make one backup, verify it, and apply retention
    ///
    /// The backup appears in `backup.directory` under its name only when it is whole and has been
    /// read back. Whatever goes wrong, earlier backups stay as they are. Secrets that the
    /// configuration takes from variables or files are copied only when `backup.encrypt_to` is set.
    Backup(backup::BackupArgs),
    /// Put a backup back
    ///
    /// Into an empty database or a new file, unless --replace is given. Everything that can be
    /// checked is checked before anything is touched: the manifest, the schema, the checksums, the
    /// keys, the programs, the target. The old data stays in place until the new data is whole and
    /// its rows have been counted; whoever interrupts a restore loses nothing.
    Restore(restore::RestoreArgs),
    /// PostgreSQL's write-ahead log: archive it, and bring it back
    #[command(subcommand, after_long_help = wal::SETTING_UP)]
    Wal(wal::WalCommand),
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
    /// Restart the fleet one instance at a time, losing no request
    ///
    /// Each instance is told to take no more requests, finishes those it has, is restarted by its own
    /// command, must become ready as a new process, and is watched for `rolling_restart.stabilise`;
    /// no instance is touched unless all others are ready. The first thing that goes wrong stops
    /// everything and leaves the rest untouched. Interrupted, it takes back what it had drained.
    RollingRestart(rolling_restart::RollingRestartArgs),
    /// Say whether the gateway is well, as monitoring plugins do
    ///
    /// Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN; wrong usage and a wrong configuration
    /// are UNKNOWN, too. The first line ends with performance data. With --quiet nothing is printed
    /// while all is well, or with --notify while people know all that there is to know, for cron.
    Health(health::HealthArgs),
    /// Go through the production checklists
    ///
    /// Each line is checked, not asked: what was seen, and what to do about it. Exit status: 0 when no
    /// check fails, 1 when one does or nothing was looked at, 2 for wrong usage and a wrong
    /// configuration; warnings and what does not apply to this configuration do not count.
    ///
    /// What only a person can know (`attested.*`) is asked for on a terminal, once, and kept with name
    /// and date; without one, `--attest` does it. It is asked for again after
    /// `doctor.attestation_valid`.
    #[command(after_long_help = doctor::checks())]
    Doctor(doctor::DoctorArgs),
    /// Say who used what
    ///
    /// Counted is what was sent to an endpoint, whatever came of it, once its row is in the database: a
    /// second or so after its end. What was refused before is not. Sums of days whose rows retention has
    /// deleted stay.
    /// A request counts for the day on which it began, in UTC.
    Usage(usage::UsageArgs),
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
            // By far the largest: a gateway is put together in it.
            Self::Serve(args) => Box::pin(args.run(context)).await,
            Self::Migrate(args) => migrate::run(args, context).await,
            Self::Backup(args) => args.run(context).await,
            Self::Restore(args) => Box::pin(args.run(context)).await,
            Self::Wal(command) => command.run(context).await,
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
            Self::RollingRestart(args) => args.run(context).await,
            Self::Health(args) => args.run(context).await,
            Self::Doctor(args) => Box::pin(args.run(context)).await,
            Self::Usage(args) => args.run(context).await,
            Self::Completions(args) => args.run(context),
            Self::Man(args) => args.run(context),
        }
    }

    /// The exit status of a failure: `health` has an own one for all, and so has a recovery.
    #[must_use]
    pub const fn failure_status(&self) -> fn(&Failure) -> u8 {
        match self {
            Self::Health(_) => |_| State::Unknown.exit_status(),
            Self::Wal(command) if command.is_recovery() => |_| wal::STOP_RECOVERY,
            _ => Failure::exit_status,
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

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }
}
