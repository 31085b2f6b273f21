//! `figw health`: the state of a gateway, as a monitoring plugin.

use std::time::{Duration, Instant};

use clap::{Args, builder::PossibleValuesParser};
use url::Url;

use super::{Context, Failure, Outcome};
use crate::ops::health::{self, Report, Subject};

/// How often `--wait` looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Address of the gateway [default: as server.listen has it]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    url: Option<Url>,
    /// Check what stands behind the gateway, too: the database, backups and drills
    #[arg(long)]
    deep: bool,
    /// Run this check only; repeatable
    #[arg(long, value_name = "CHECK", value_parser = PossibleValuesParser::new(health::names()))]
    only: Vec<String>,
    /// Look again and again until the result is OK or WARNING
    #[arg(long)]
    wait: bool,
    /// How long to do so at most
    #[arg(long, value_name = "DURATION", default_value = "1m", requires = "wait", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

fn http_url(text: &str) -> Result<Url, String> {
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
        let report = match context.config() {
            Ok(loaded) => {
                let subject = Subject { config: loaded.config, url: self.url.clone() };
                self.examine(&subject).await
            }
            // Monitoring systems read standard output only.
            Err(failure) => Report::unknown(failure.to_string()),
        };
        if !(context.global.quiet && report.state == health::State::Ok) {
            context.print(&report, &report)?;
        }
        Ok(Outcome::Health(report.state))
    }

    async fn examine(&self, subject: &Subject) -> Report {
        let since = Instant::now();
        loop {
            let report = health::examine(subject, &self.only, self.deep).await;
            if !self.wait || report.is_usable() || since.elapsed() >= self.timeout {
                return report;
            }
            tokio::time::sleep(PAUSE.min(self.timeout.saturating_sub(since.elapsed()))).await;
        }
    }
}
