//! `figw token`: a fresh access token for scripts.

use clap::Args;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;

use super::{Context, Failure, Outcome, login::TargetArgs};

/// Arguments of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// A token's JSON form.
#[derive(Debug, Serialize)]
struct Report<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    scope: &'a str,
    identity_id: Option<&'a str>,
    token_type: &'static str,
    expires_at: Timestamp,
    access_token: &'a str,
}

impl TokenArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When there is no login, or it cannot be renewed.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let app = self.target.app(context, Vec::new(), Vec::new())?;
        let token = app.token().await?;
        let access_token = token.access_token.expose_secret();
        let report = Report {
            scope: &token.scope,
            identity_id: token.identity_id.as_deref(),
            token_type: "Bearer",
            expires_at: token.expires_at,
            access_token,
        };
        context.print(&report, access_token)?;
        Ok(Outcome::Done)
    }
}
