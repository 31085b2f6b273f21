//! `figw health`: the state of a gateway, as a monitoring plugin.

use std::{
    fmt::{self, Write as _},
    time::{Duration, Instant},
};

use clap::{Args, builder::PossibleValuesParser};
use serde::Serialize;
use url::Url;

use super::{Context, Failure, Outcome};
use crate::{
    config::Config,
    ops::{
        alert::{self, Notified},
        health::{self, Report, State, Subject},
        serve::instance_name,
    },
};

/// How often `--wait` looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Arguments of `health`.
#[derive(Debug, Args)]
#[command(after_long_help = about_checks())]
pub struct HealthArgs {
    /// Address of the gateway [default: as server.listen has it]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: Option<Url>,
    /// Check what stands behind the gateway, too, from the database to each endpoint
    #[arg(long)]
    deep: bool,
    /// Run this check only; repeatable
    #[arg(long, value_name = "CHECK", value_parser = PossibleValuesParser::new(health::names()))]
    only: Vec<String>,
    /// Tell whoever the section alerts names when the state of a check has changed, and remind them while
    /// it is not well; made for cron
    #[arg(long)]
    notify: bool,
    /// Look again and again until the result is OK or WARNING
    #[arg(long)]
    wait: bool,
    /// How long to do so at most
    #[arg(long, value_name = "DURATION", default_value = "1m", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// The checks, for the manual.
fn about_checks() -> String {
    let mut text = "Checks:\n".to_owned();
    for (name, about, measures) in health::catalogue() {
        let measures = measures.join(", ");
        let measures = if measures.is_empty() { measures } else { format!(" [{measures}]") };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: {about}{measures}");
    }
    text.push_str(
        "\nIn brackets: the numbers in its performance data. Every check but `gateway` needs --deep or --only. Endpoints that are disabled, in \
         maintenance, or without compute nodes (cold) are not asked, and it says so. Thresholds are \
         in the section health of the configuration; figw-faults(7) tells what each fault looks like. \
         In JSON each check has name, state, evidence, since and measures; a measure has name, \
         value, unit (s, B or none), warning, critical and alarm (above or below these).",
    );
    text
}

pub(super) fn http_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err("must be an http:// or https:// address".to_owned()),
    }
}

impl HealthArgs {
    /// Runs the checks.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let checked = match context.config() {
            Ok(loaded) => self.check(&loaded.config).await,
            // Monitoring systems read standard output only.
            Err(failure) => Checked::only(Report::unknown(failure.to_string())),
        };
        let state = checked.state();
        if !(context.global.quiet && state == State::Ok) {
            context.print(&checked, &checked)?;
        }
        Ok(Outcome::Health(state))
    }

    async fn check(&self, config: &Config) -> Checked {
        if self.notify && !config.alerts.is_set() {
            let reason =
                "--notify: nobody is to be told; set alerts.webhook.url or alerts.smtp.url";
            return Checked::only(Report::unknown(reason));
        }
        let report = self.examine(config).await;
        if !self.notify {
            return Checked::only(report);
        }
        let instance = match self.url.as_ref().and_then(Url::host_str) {
            Some(host) => host.to_owned(),
            None => instance_name(config),
        };
        match alert::notify(config, &instance, &report).await {
            Ok(notified) => Checked { report, notified: Some(notified) },
            Err(error) => {
                let reason = format!("{error:#}");
                Checked {
                    report,
                    notified: Some(Notified { sent: Vec::new(), failed: vec![reason] }),
                }
            }
        }
    }

    async fn examine(&self, config: &Config) -> Report {
        let since = Instant::now();
        loop {
            let subject = Subject::new(config.clone(), self.url.clone());
            let report = health::examine(&subject, &self.only, self.deep).await;
            if !self.wait || report.is_usable() || since.elapsed() >= self.timeout {
                return report;
            }
            tokio::time::sleep(PAUSE.min(self.timeout.saturating_sub(since.elapsed()))).await;
        }
    }
}

/// What was found, and who was told.
#[derive(Debug, Serialize)]
struct Checked {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    notified: Option<Notified>,
}

impl Checked {
    const fn only(report: Report) -> Self {
        Self { report, notified: None }
    }

    /// The report's, but never OK when somebody should have been told and was not.
    fn state(&self) -> State {
        let was_told = self.notified.as_ref().is_none_or(|notified| notified.failed.is_empty());
        if was_told { self.report.state } else { self.report.state.max(State::Warning) }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)?;
        let Some(Notified { sent, failed }) = &self.notified else { return Ok(()) };
        if !sent.is_empty() {
            write!(f, "\ntold: {}", sent.join(", "))?;
        }
        if !failed.is_empty() {
            write!(f, "\nNOT told, the next run tries again: {}", failed.join("; "))?;
        }
        Ok(())
    }
}
