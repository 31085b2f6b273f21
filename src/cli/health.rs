//! `figw health`: the state of a gateway, as a monitoring plugin.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, builder::PossibleValuesParser};
use serde::Serialize;
use url::Url;

use super::{Context, Failure, Outcome, Output, context::print_as};
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

/// How long it may take to read the configuration.
const LONGEST_READ: Duration = Duration::from_secs(20);

/// What is wrong when it takes longer.
const HANGS: &str = "the configuration cannot be read to its end; look at the mount of its file";

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
    /// it is not well; made for cron: with --quiet it prints only what they could not be told
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
         In JSON each check has name, state, evidence and, where there is one, since and measures; a \
         measure has name, value, unit (s, B or none), warning, critical and alarm (above or below these).",
    );
    text
}

/// Says on standard output, too, what is wrong with the command line: monitoring systems read nothing
/// else.
pub(super) fn print_misuse(error: &clap::Error, output: Output) {
    let text = error.render().to_string();
    // What follows is about the usage.
    let reason = text.split("\n\n").next().unwrap_or_default();
    let checked = Checked::only(Report::unknown(reason.trim_start_matches("error: ")));
    // There is nobody left to tell when the output is gone.
    let _ = print_as(output, &checked, &checked);
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
        let from = context.clone();
        let loaded = health::within(LONGEST_READ, move || from.config()).await;
        let checked = match loaded {
            Some(Ok(loaded)) => self.check(&loaded.config).await,
            // Monitoring systems read standard output only.
            Some(Err(failure)) => Checked::only(Report::unknown(failure.to_string())),
            None => Checked::only(Report::unknown(HANGS)),
        };
        let is_told = if self.notify { checked.is_known() } else { checked.is_well() };
        if !(context.global.quiet && is_told) {
            context.print(&checked, &checked)?;
        }
        Ok(Outcome::Health(checked.report.state))
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
        let instance = self.url.as_ref().map_or_else(|| instance_name(config), name_of);
        match alert::notify(config, &instance, &report).await {
            Ok(notified) => Checked::new(report, notified),
            Err(error) => {
                let reason = format!("{error:#}");
                Checked::new(report, Notified { failed: vec![reason], ..Notified::default() })
            }
        }
    }

    async fn examine(&self, config: &Config) -> Report {
        if !self.wait {
            return self.look(config, Duration::MAX).await;
        }
        let since = Instant::now();
        let left = || self.timeout.saturating_sub(since.elapsed());
        let mut last = None;
        loop {
            let report = self.look(config, left()).await;
            if left().is_zero() {
                // A look that was cut short says less than a whole one.
                return last.unwrap_or(report);
            }
            if report.is_usable() {
                return report;
            }
            last = Some(report);
            tokio::time::sleep(PAUSE.min(left())).await;
        }
    }

    /// Looks once, for at most as long as `patience`.
    async fn look(&self, config: &Config, patience: Duration) -> Report {
        let subject = Arc::new(Subject::new(config.clone(), self.url.clone()));
        health::examine(&subject, &self.only, self.deep, patience).await
    }
}

/// What people call the gateway at `url`, and no other one: never with a password.
fn name_of(url: &Url) -> String {
    let (host, path) = (url.host_str().unwrap_or_default(), url.path().trim_end_matches('/'));
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}{path}"),
        None => format!("{host}{path}"),
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

    /// Whether there is nothing to say.
    fn is_well(&self) -> bool {
        self.report.state == State::Ok
    }

    /// Whether whoever alerts names knows all there is to know.
    fn is_known(&self) -> bool {
        self.report.reason.is_none()
            && self
                .notified
                .as_ref()
                .is_some_and(|notified| notified.failed.is_empty() && notified.forgotten.is_none())
    }

    /// Never OK when somebody should have been told and was not, or is told again and again.
    fn new(mut report: Report, notified: Notified) -> Self {
        let trouble = if !notified.failed.is_empty() {
            Some("nobody, or not everybody, could be told; see below")
        } else if notified.forgotten.is_some() {
            Some("what was told cannot be remembered; see below")
        } else {
            None
        };
        if let (Some(trouble), State::Ok) = (trouble, report.state) {
            report.state = State::Warning;
            report.reason = Some(trouble.to_owned());
        }
        Self { report, notified: Some(notified) }
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.report.fmt(f)?;
        let Some(Notified { sent, failed, forgotten }) = &self.notified else { return Ok(()) };
        if !sent.is_empty() {
            write!(f, "\ntold: {}", sent.join(", "))?;
        }
        if !failed.is_empty() {
            write!(f, "\nNOT told, the next run tries again: {}", failed.join("; "))?;
        }
        if let Some(reason) = forgotten {
            write!(f, "\nNOT remembered, the next run may tell the same again: {reason}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gateway_has_a_name_of_its_own_without_a_password() {
        let name = |url: &str| name_of(&Url::parse(url).unwrap());
        assert_eq!(name("https://gw.example.org/"), "gw.example.org:443");
        assert_eq!(name("http://user:secret@gw:8000/a/"), "gw:8000/a");
        assert_eq!(name("http://[::1]:8000"), "[::1]:8000");
    }

    #[tokio::test]
    async fn waiting_ends_with_its_time_whatever_hangs() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
        let timeout = Duration::from_millis(300);
        let (deep, only, notify) = (false, Vec::new(), false);
        let args = HealthArgs { url: Some(url), deep, only, notify, wait: true, timeout };
        let since = Instant::now();
        let report = args.examine(&Config::default()).await;
        assert_eq!(report.state, State::Unknown, "{report}");
        assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    }
}
