//! `figw generate kubernetes`: figw on Kubernetes.

use clap::Args;

use super::{IMAGE, output::Destination};
use crate::{
    cli::{Context, Failure, Outcome},
    ops::generate::Kubernetes,
};

/// Arguments of `generate kubernetes`.
#[derive(Debug, Args)]
pub struct KubernetesArgs {
    /// figw's image
    #[arg(long, value_name = "NAME", default_value = IMAGE)]
    image: String,
    /// Namespace of all objects
    #[arg(long, value_name = "NAME", default_value = "figw")]
    namespace: String,
    /// Pods that serve [default: as many as instances are configured, or else 3]
    #[arg(long, value_name = "COUNT")]
    replicas: Option<usize>,
    #[command(flatten)]
    destination: Destination,
}

impl KubernetesArgs {
    /// Prints all objects.
    ///
    /// # Errors
    /// When the configuration is wrong, or its database is an SQLite file.
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let kubernetes =
            Kubernetes { image: self.image, namespace: self.namespace, replicas: self.replicas };
        let file = kubernetes.render(&context.config()?.config).map_err(Failure::usage)?;
        self.destination.deliver(context, &[file])
    }
}
