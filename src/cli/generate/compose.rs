//! `figw generate compose`: everything on one host.

use clap::Args;
use ipnet::Ipv4Net;

use super::{IMAGE, output::Destination};
use crate::{
    cli::{Context, Failure, Outcome},
    ops::generate::Compose,
};

/// Arguments of `generate compose`.
#[derive(Debug, Args)]
pub struct ComposeArgs {
    /// figw's image
    #[arg(long, value_name = "NAME", default_value = IMAGE)]
    image: String,
    /// Instances of figw [default: as many as the configuration has, at least 2]
    #[arg(long, value_name = "COUNT")]
    instances: Option<usize>,
    /// Name of the site, such as figw.example.org; repeatable [default: every name]
    #[arg(long = "server-name", value_name = "NAME")]
    server_names: Vec<String>,
    /// Addresses for nginx and the instances, which nothing else around uses
    #[arg(long, value_name = "NETWORK", default_value = "172.30.77.0/24")]
    subnet: Ipv4Net,
    #[command(flatten)]
    destination: Destination,
}

impl ComposeArgs {
    /// Prints or writes the files.
    ///
    /// # Errors
    /// When the configuration is wrong, or something in it cannot be written into a file.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let compose = Compose {
            image: self.image,
            instances: self.instances,
            server_names: self.server_names,
            subnet: self.subnet.trunc(),
        };
        let files = compose.render(&context.config()?.config).map_err(Failure::usage)?;
        self.destination.deliver(context, &files)
    }
}
