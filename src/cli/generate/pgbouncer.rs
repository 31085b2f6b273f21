//! `figw generate pgbouncer`: PgBouncer between the instances and PostgreSQL.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use super::output::Destination;
use crate::{
    cli::{Context, Failure, Outcome},
    ops::generate::PgBouncer,
};

/// Arguments of `generate pgbouncer`.
#[derive(Debug, Args)]
pub struct PgBouncerArgs {
    /// Where PgBouncer listens [default: as `database.url` has it where `database.migration_url` is set,
    /// or else 127.0.0.1:6432]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// File with the roles' password hashes
    #[arg(long, value_name = "PATH", default_value = "/etc/pgbouncer/userlist.txt")]
    auth_file: PathBuf,
    /// Connections to PostgreSQL [default: `database.max_connections` of all instances, at most 60]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pool_size: Option<u32>,
    #[command(flatten)]
    destination: Destination,
}

impl PgBouncerArgs {
    /// Prints `pgbouncer.ini`.
    ///
    /// # Errors
    /// When the configuration is wrong, or its database is no PostgreSQL.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let pgbouncer = PgBouncer {
            auth_file: self.auth_file,
            listen: self.listen.map(|address| (address.ip(), address.port())),
            pool_size: self.pool_size,
        };
        let file = pgbouncer.render(&context.config()?.config).map_err(Failure::usage)?;
        self.destination.deliver(context, &[file])
    }
}
