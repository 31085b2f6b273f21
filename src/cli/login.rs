//! `figw login`: a person's Globus login from the terminal.

use std::{
    env,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Serialize;
use url::Url;
use uuid::Uuid;

use super::{Context, Failure, Outcome, ask};
use crate::ops::{
    globus::auth_address,
    login::{
        App, Attempt, LoginError,
        callback::Callback,
        choice::{self, Choice, Wanted},
        file::FileError,
    },
};

/// For which gateway a login is.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Client id of the application that logs you in; the gateway's operator knows it
    #[arg(long, value_name = "UUID")]
    client_id: Option<Uuid>,
    /// Client id of the gateway that the login is for
    #[arg(long, value_name = "UUID")]
    gateway: Option<Uuid>,
    /// The application's name, which tells its token file from others [default: `inference_app`]
    #[arg(long, value_name = "NAME")]
    app_name: Option<String>,
}

impl TargetArgs {
    /// The application that these arguments, the configuration and the last login mean.
    pub(super) fn app(
        self,
        context: &Context,
        policies: Vec<String>,
        domains: Vec<String>,
    ) -> Result<App, Failure> {
        let config = context.config()?.config;
        let home = choice::home().map_err(Failure::usage)?;
        let Self { client_id, gateway: gateway_id, app_name } = self;
        let wanted = Wanted { client_id, gateway_id, app_name, policies, domains };
        let choice = Choice::make(wanted, &config, Choice::last(&home)).map_err(Failure::usage)?;
        let auth_url = auth_address(&config.auth.globus)?;
        Ok(App::new(choice, auth_url, &home)?)
    }
}

impl From<LoginError> for Failure {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::File(held @ FileError::Held { .. }) => Self::Busy(held.to_string()),
            other => Self::Failed(other.into()),
        }
    }
}

/// Arguments of `login`.
#[derive(Debug, Args)]
pub struct LoginArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Ids of Globus policies that the login must satisfy, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "UUID")]
    policy: Vec<Uuid>,
    /// Domains of identity providers, separated by commas; you must log in with one of them
    #[arg(long, value_delimiter = ',', value_name = "DOMAIN")]
    domain: Vec<String>,
    /// Open no browser; name the address, and ask for the code that Globus shows there
    #[arg(long)]
    no_browser: bool,
    /// Wait for the browser on this port of localhost, 0 for a free one. With a browser on another
    /// machine, reach it through `ssh -L PORT:localhost:PORT HOST`
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// How long to wait for the browser
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// What `login` did. The JSON form of its result.
#[derive(Debug, Serialize)]
struct Report<'a> {
    client_id: Uuid,
    gateway_id: Uuid,
    identity_id: Option<&'a str>,
    username: Option<&'a str>,
    expires_at: Timestamp,
    file: &'a Path,
}

/// How the person's answer comes back.
enum Way {
    /// The browser brings it to this port.
    Callback { port: u16, open: bool },
    /// The person copies a code.
    Paste,
}

impl LoginArgs {
    /// Runs the command.
    ///
    /// # Errors
    /// When the login is not made, or cannot be kept.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let way = self.way(context.is_interactive())?;
        let policies = self.policy.iter().map(Uuid::to_string).collect();
        let app = self.target.app(context, policies, self.domain)?;
        let logged_in = match way {
            Way::Callback { port, open } => {
                let callback = Callback::bind(port)
                    .await
                    .with_context(|| format!("cannot wait on port {port} of localhost"))?;
                let attempt = app.begin(Some(callback.redirect_uri()))?;
                show(&attempt.url)?;
                if open {
                    open_browser(attempt.url.clone(), context.clone());
                }
                let code = callback.wait(&attempt.state, self.timeout).await;
                app.finish(&attempt, &code.map_err(anyhow::Error::new)?).await?
            }
            Way::Paste => {
                let attempt = app.begin(None)?;
                let code = paste(&attempt)?;
                app.finish(&attempt, &code).await?
            }
        };
        remember(&app, context);
        let identity = logged_in.identity.as_ref();
        let choice = app.choice();
        let report = Report {
            client_id: choice.client_id,
            gateway_id: choice.gateway_id,
            identity_id: identity.map(|identity| identity.sub.as_str()),
            username: identity.and_then(|identity| identity.preferred_username.as_deref()),
            expires_at: logged_in.expires_at,
            file: app.path(),
        };
        let who = report.username.or(report.identity_id);
        let who = who.map(|who| format!(" as {who}")).unwrap_or_default();
        context.print(&report, format_args!("Logged in{who}; `figw token` prints a token."))?;
        Ok(Outcome::Done)
    }

    fn way(&self, interactive: bool) -> Result<Way, Failure> {
        let open = !self.no_browser && has_browser();
        match self.port {
            Some(port) => Ok(Way::Callback { port, open }),
            None if !interactive => Err(Failure::usage(
                "there is no terminal to answer on; run `figw login` in one, or give --port PORT, \
                 and open the address that is then printed in a browser that reaches that port of \
                 this machine's localhost",
            )),
            None if open => Ok(Way::Callback { port: 0, open }),
            None => Ok(Way::Paste),
        }
    }
}

/// Whether a browser can be opened that can come back to this machine.
fn has_browser() -> bool {
    /// They take the terminal, and Globus' pages need more than they can do.
    const TEXT_ONLY: [&str; 5] = ["lynx", "www-browser", "links", "elinks", "w3m"];
    let value = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(browser) = value("BROWSER") {
        return !TEXT_ONLY.iter().any(|name| Path::new(&browser).ends_with(name));
    }
    let is_remote = value("SSH_CONNECTION").or_else(|| value("SSH_TTY")).is_some();
    let has_display = value("DISPLAY").or_else(|| value("WAYLAND_DISPLAY")).is_some();
    !is_remote && (has_display || cfg!(target_os = "macos"))
}

/// Opens the browser aside; some of those that can be set as `BROWSER` do not return.
fn open_browser(url: Url, context: Context) {
    std::thread::spawn(move || {
        let mut options = webbrowser::BrowserOptions::new();
        options.with_suppress_output(true);
        let browser = webbrowser::Browser::Default;
        if let Err(error) = webbrowser::open_browser_with_options(browser, url.as_str(), &options) {
            context.hint(format_args!("The browser cannot be opened ({error}); do it yourself."));
        }
    });
}

/// Names the address, also with `--quiet`: nothing goes on without it.
fn show(url: &Url) -> Result<(), Failure> {
    writeln!(io::stderr().lock(), "To log in, open this address in a browser:\n\n{url}\n")
        .context("cannot write to standard error")
        .map_err(Failure::Failed)
}

fn paste(attempt: &Attempt) -> Result<SecretString, Failure> {
    show(&attempt.url)?;
    let code = ask::text("The code that Globus shows there", None)?;
    Ok(code.trim().to_owned().into())
}

fn remember(app: &App, context: &Context) {
    let remembered = choice::home().map(|home| app.choice().remember(&home));
    if let Ok(Err(error)) = remembered {
        context.hint(format_args!(
            "This gateway cannot be remembered for the next commands ({error}); give them the same options."
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(no_browser: bool, port: Option<u16>) -> LoginArgs {
        LoginArgs {
            target: TargetArgs { client_id: None, gateway: None, app_name: None },
            policy: vec![],
            domain: vec![],
            no_browser,
            port,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn without_a_terminal_only_a_port_helps() {
        let Err(failure) = args(true, None).way(false) else { panic!("nobody can answer") };
        assert_eq!(failure.exit_status(), 2);
        assert!(failure.to_string().contains("--port"), "{failure}");
        assert!(matches!(
            args(true, Some(7)).way(false),
            Ok(Way::Callback { port: 7, open: false })
        ));
    }

    #[test]
    fn without_a_browser_the_code_is_asked_for() {
        assert!(matches!(args(true, None).way(true), Ok(Way::Paste)));
    }
}
