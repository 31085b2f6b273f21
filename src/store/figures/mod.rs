//! What the dashboard asks: sums, latencies, the log of requests, batches. Each question reads a
//! bounded part of the database, and is given up after a few seconds.

mod batches;
mod latency;
mod log;
mod usage;

use super::{
    ReadStore, Reader, StoreError,
    record::Unfit,
    select::{Draft, Row, Select, Selected, TimeColumn, Value},
};
use crate::domain::figures::{Scope, Source};

pub use batches::BatchFilter;
pub use latency::MOST_SAMPLES;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FiguresError {
    /// It would have taken too long.
    #[error("this would take too long to find")]
    TooSlow,
    /// As the database has it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is asked and not answered is this.
pub type Answer<T> = Result<T, FiguresError>;

impl From<Unfit> for FiguresError {
    fn from(unfit: Unfit) -> Self {
        let target = "rows".to_owned();
        StoreError::Failed { target, reason: unfit.to_string() }.into()
    }
}

impl Reader {
    async fn rows(&self, select: &Select) -> Answer<Vec<Row>> {
        match self.select(select).await? {
            Selected::Rows(rows) => Ok(rows),
            Selected::TooSlow => Err(FiguresError::TooSlow),
        }
    }
}

/// Where a source is kept.
struct Table {
    name: &'static str,
    time: &'static str,
    kind: TimeColumn,
}

const fn table(source: Source) -> Table {
    let (name, time, kind) = match source {
        Source::Rows => ("usage", "started_at", TimeColumn::Moment),
        Source::Hours => ("usage_hourly", "hour", TimeColumn::Moment),
        Source::Days => ("usage_daily", "day", TimeColumn::Day),
    };
    Table { name, time, kind }
}

/// A question about what lies in `scope`.
fn within(scope: &Scope) -> Draft {
    let mut draft = Draft::default();
    let table = table(scope.source);
    match table.kind {
        TimeColumn::Moment => {
            draft.only_if(&format!("{} >=", table.time), Value::Time(scope.from));
            draft.only_if(&format!("{} <", table.time), Value::Time(scope.until));
        }
        TimeColumn::Day => {
            draft.only_if("day >=", Value::Day(day(scope.from)));
            // The last day counts as soon as it has begun.
            let last = scope.until.as_microsecond().saturating_sub(1);
            let last = jiff::Timestamp::from_microsecond(last).unwrap_or(scope.until);
            draft.only_if("day <=", Value::Day(day(last)));
        }
    }
    if let Some(user) = &scope.user {
        draft.only_if("username =", Value::Text(user.clone()));
    }
    draft
}

/// The day on which a moment lies, in UTC.
fn day(moment: jiff::Timestamp) -> jiff::civil::Date {
    moment.to_zoned(jiff::tz::TimeZone::UTC).date()
}
