//! `figw logout`: give the login's tokens back and remove them.

use std::path::Path;

use clap::Args;
use serde::Serialize;

use super::{Context, Failure, Outcome, login::TargetArgs};
use crate::ops::login::Extent;

/// Arguments of `logout`.
#[derive(Debug, Args)]
pub struct LogoutArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Give back and remove every token in this application's file, whoever obtained it
    #[arg(long)]
    all: bool,
    /// Remove the tokens from this machine even when Globus Auth cannot be reached
    #[arg(long)]
    force: bool,
}

/// What `logout` did. The JSON form of its result.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Resource servers whose tokens were removed.
    removed: &'a [String],
    /// Whether the tokens are worthless now.
    revoked: bool,
    file: &'a Path,
}

impl LogoutArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the tokens cannot be given back or removed.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let app = self.target.app(context, Vec::new(), Vec::new())?;
        let extent = Extent { all: self.all, force: self.force };
        let done = app.log_out(extent).await?;
        if let Some(error) = &done.still_valid {
            context.hint(format_args!(
                "warning: the tokens were not given back ({error}); they stay valid until they end, or until you remove the consent on Globus' web page"
            ));
        }
        let report = Report {
            removed: &done.removed,
            revoked: done.still_valid.is_none(),
            file: app.path(),
        };
        let text = match done.removed.as_slice() {
            [] => "You were not logged in.".to_owned(),
            removed if report.revoked => {
                format!("Gave back and removed the tokens for {}.", removed.join(", "))
            }
            removed => format!("Removed the tokens for {}.", removed.join(", ")),
        };
        context.print(&report, text)?;
        Ok(Outcome::Done)
    }
}
