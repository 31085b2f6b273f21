//! `figw generate firewall`: who may reach which port.

use clap::{Args, ValueEnum};

use super::output::Destination;
use crate::{
    cli::{Context, Failure, Outcome},
    config::Network,
    ops::generate::{Firewall, FirewallTool},
};

/// Arguments of `generate firewall`.
#[derive(Debug, Args)]
pub struct FirewallArgs {
    /// The program that the rules are for
    #[arg(long, value_enum, default_value_t, value_name = "PROGRAM")]
    tool: Tool,
    /// Port that is open to everybody; repeatable [default: that of `server.listen`, or 80 and 443
    /// where nginx stands in front: `server.listen` is a loopback address, or
    /// `server.trusted_proxies` is set]
    #[arg(long = "public-port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    public_ports: Vec<u16>,
    /// Address or network, besides the instances', that may reach `server.admin_listen`, such as
    /// Prometheus'; repeatable
    #[arg(long, value_name = "NETWORK")]
    admin_from: Vec<Network>,
    #[command(flatten)]
    destination: Destination,
}

/// The program that the rules are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Tool {
    /// nftables: a table beside the others
    #[default]
    Nftables,
    /// ufw: a script that calls it
    Ufw,
    /// firewalld: a script that calls firewall-cmd
    Firewalld,
}

impl From<Tool> for FirewallTool {
    fn from(tool: Tool) -> Self {
        match tool {
            Tool::Nftables => Self::Nftables,
            Tool::Ufw => Self::Ufw,
            Tool::Firewalld => Self::Firewalld,
        }
    }
}

impl FirewallArgs {
    /// Prints the rules.
    ///
    /// # Errors
    /// When the configuration is wrong, or a port is open and closed at once.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let firewall = Firewall {
            tool: self.tool.into(),
            public_ports: self.public_ports,
            admin_from: self.admin_from,
        };
        let (file, names) = firewall.render(&context.config()?.config).map_err(Failure::usage)?;
        if !names.is_empty() {
            tracing::warn!(
                "a firewall cannot be given names; add the addresses of {} with --admin-from",
                names.join(", ")
            );
        }
        self.destination.deliver(context, &[file])
    }
}
