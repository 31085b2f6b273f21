//! `figw usage`: who used what.

use std::fmt::Write as _;

use anyhow::Context as _;
use clap::{Args, ValueEnum, builder::TypedValueParser};
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};
use serde_json::{Value, json};

use super::{Context, Failure, Outcome, Output, table::Table};
use crate::{
    domain::report::{Days, Grouping, UsageSum},
    ops::database,
    spreadsheet,
};

/// Arguments of `usage`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// What the report has a line for
    #[arg(long, value_enum, value_name = "WHAT")]
    by: By,
    /// First day, of UTC: a date such as 2026-01-31, or an age such as 7d
    #[arg(long, value_name = "DAY", default_value = "29d", value_parser = day)]
    since: Date,
    /// Last day, of UTC, which counts whole
    #[arg(long, value_name = "DAY", default_value = "0d", value_parser = day)]
    until: Date,
    // The same option as everywhere, with one value more: clap knows an option by its name alone.
    /// How the report is written to standard output
    #[arg(id = "output", long = "output", value_name = "FORMAT", default_value_t, value_parser = any_output())]
    output: Output,
}

/// What a report has a line for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Each user, the one with the most requests first
    User,
    /// Each model that was asked for
    Model,
    /// Each cluster
    Cluster,
    /// Each day
    Day,
}

impl From<By> for Grouping {
    fn from(by: By) -> Self {
        match by {
            By::User => Self::User,
            By::Model => Self::Model,
            By::Cluster => Self::Cluster,
            By::Day => Self::Day,
        }
    }
}

fn any_output() -> impl TypedValueParser<Value = Output> {
    Output::parser(|_| true)
}

/// A date, or how many days ago.
fn day(text: &str) -> Result<Date, String> {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok());
    let parsed = match days {
        Some(days) => {
            let span = Span::new().try_days(days).ok();
            span.and_then(|span| today.checked_sub(span).ok())
        }
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| {
        "must be a date such as 2026-01-31, or a number of days ago such as 7d".to_owned()
    })
}

impl UsageArgs {
    /// Makes the report.
    ///
    /// # Errors
    /// When the configuration is wrong, or the database cannot be read.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let days = Days { first: self.since, last: self.until };
        if days.first > days.last {
            let message = format!("--since {} is after --until {}", days.first, days.last);
            return Err(Failure::usage(message));
        }
        let by = Grouping::from(self.by);
        let store = database::open(&context.store_options()?).await?;
        let mut sums = store.usage_sums(by, days).await?;
        let total = sums.pop().unwrap_or_default();
        match self.output {
            Output::Csv => {
                let report = csv(by, &sums).context("cannot write the report")?;
                context.print_raw(&report)?;
            }
            Output::Text | Output::Json => {
                context.print(&document(by, days, &sums, &total), text(by, days, &sums, &total))?;
            }
        }
        Ok(Outcome::Done)
    }
}

fn csv(by: Grouping, sums: &[UsageSum]) -> Result<Vec<u8>, csv::Error> {
    let headings = [
        by.name(),
        "users",
        "requests",
        "succeeded",
        "client_errors",
        "server_errors",
        "prompt_tokens",
        "completion_tokens",
        "duration_us",
    ];
    let rows = sums.iter().map(|sum| {
        let numbers = [
            sum.users,
            sum.requests,
            sum.succeeded,
            sum.client_errors,
            sum.server_errors,
            sum.prompt_tokens,
            sum.completion_tokens,
            sum.duration_us,
        ];
        std::iter::once(sum.name.clone()).chain(numbers.map(|number| number.to_string()))
    });
    spreadsheet::csv(&headings, rows)
}

fn document(by: Grouping, days: Days, sums: &[UsageSum], total: &UsageSum) -> Value {
    let mut total = json!(total);
    if let Some(total) = total.as_object_mut() {
        total.shift_remove("name");
    }
    json!({
        "by": by.name(),
        "since": days.first,
        "until": days.last,
        "rows": sums,
        "total": total,
    })
}

fn text(by: Grouping, days: Days, sums: &[UsageSum], total: &UsageSum) -> String {
    let mut text = format!("Usage by {}, {} to {} (UTC)\n\n", by.name(), days.first, days.last);
    let name = by.name().to_uppercase();
    let mut table = Table::new(&[
        &name,
        "USERS",
        "REQUESTS",
        "SUCCEEDED",
        "CLIENT ERRORS",
        "SERVER ERRORS",
        "PROMPT TOKENS",
        "COMPLETION TOKENS",
        "MEAN TIME",
    ]);
    let rows = sums.iter().map(|sum| (sum.name.as_str(), sum));
    let total = (!sums.is_empty()).then_some(("total", total));
    for (name, sum) in rows.chain(total) {
        table.row([
            name.to_owned(),
            sum.users.to_string(),
            sum.requests.to_string(),
            share(sum),
            sum.client_errors.to_string(),
            sum.server_errors.to_string(),
            sum.prompt_tokens.to_string(),
            sum.completion_tokens.to_string(),
            mean(sum),
        ]);
    }
    // Writing to a string cannot fail.
    let _ = write!(text, "{table}");
    text
}

#[allow(clippy::cast_precision_loss, reason = "shown with one digit")]
fn share(sum: &UsageSum) -> String {
    if sum.requests == 0 {
        return String::new();
    }
    format!("{:.1} %", 100.0 * sum.succeeded as f64 / sum.requests as f64)
}

fn mean(sum: &UsageSum) -> String {
    let Some(mean) = sum.duration_us.checked_div(sum.requests) else { return String::new() };
    format!("{:.3} s", std::time::Duration::from_micros(mean).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_a_date_or_an_age() {
        assert_eq!(day("2026-01-31"), Ok(jiff::civil::date(2026, 1, 31)));
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        assert!(day("0d").unwrap() >= today);
        assert!(day("7d").unwrap() < today);
        for wrong in ["", "yesterday", "2026-02-30", "-1d", "99999999d", "7"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }
}
