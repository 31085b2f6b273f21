//! `figw health`: the state of a gateway, as a monitoring plugin.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use clap::{Args, builder::PossibleValuesParser};
use url::Url;

use super::{Context, Failure, Outcome};
use crate::{
    config::Config,
    ops::health::{self, Report, Subject},
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
    for (name, about) in health::catalogue() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: {about}");
    }
    text.push_str(
        "\nEvery check but `gateway` needs --deep or --only. Endpoints that are disabled, in \
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
        let report = match context.config() {
            Ok(loaded) => self.examine(&loaded.config).await,
            // Monitoring systems read standard output only.
            Err(failure) => Report::unknown(failure.to_string()),
        };
        if !(context.global.quiet && report.state == health::State::Ok) {
            context.print(&report, &report)?;
        }
        Ok(Outcome::Health(report.state))
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
