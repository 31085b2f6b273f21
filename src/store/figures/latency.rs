//! How long requests took.

use super::{
    super::{Reader, record::Unfit, select::Row},
    Answer, within,
};
use crate::domain::figures::{LatencyBin, LatencySample, Measure, Scope, Source};

/// The most requests of which [`Reader::latency_samples`] tells.
pub const MOST_SAMPLES: usize = 20_000;

impl Reader {
    /// The roll-up of everybody's latencies by days (UTC), each model's bins in their order.
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn latency_bins(&self, scope: &Scope) -> Answer<Vec<LatencyBin>> {
        let draft = within(&Scope { source: Source::Days, user: None, ..scope.clone() });
        let conditions = draft.conditions();
        let select = draft.ask(None, |dialect| {
            format!(
                "SELECT model, measure, bucket, {} FROM usage_latency WHERE {conditions} \
                 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
                dialect.sum("requests")
            )
        });
        let rows = self.rows(&select).await?;
        Ok(rows.iter().filter_map(|row| read_bin(row).transpose()).collect::<Result<_, _>>()?)
    }

    /// The newest requests that succeeded, at most [`MOST_SAMPLES`].
    ///
    /// # Errors
    /// As the database has it, or that it takes too long.
    pub async fn latency_samples(&self, scope: &Scope) -> Answer<Vec<LatencySample>> {
        let mut draft = within(&Scope { source: Source::Rows, ..scope.clone() });
        draft.only("status < 400");
        let conditions = draft.conditions();
        let select = draft.ask(scope.user.as_deref(), |_| {
            format!(
                "SELECT model, duration_us, first_byte_us, completion_tokens FROM usage \
                 WHERE {conditions} ORDER BY started_at DESC LIMIT {MOST_SAMPLES}"
            )
        });
        let rows = self.rows(&select).await?;
        Ok(rows.iter().map(read_sample).collect::<Result<_, _>>()?)
    }
}

/// Nothing for a measure that a newer figw may have added.
fn read_bin(row: &Row) -> Result<Option<LatencyBin>, Unfit> {
    let number = row.int(1)?;
    let known = Measure::ALL.into_iter().find(|measure| i64::from(measure.number()) == number);
    let Some(measure) = known else { return Ok(None) };
    let bucket = i16::try_from(row.int(2)?).unwrap_or(i16::MAX);
    Ok(Some(LatencyBin { model: row.text(0)?, measure, bucket, requests: row.count(3)? }))
}

fn read_sample(row: &Row) -> Result<LatencySample, Unfit> {
    Ok(LatencySample {
        model: row.text(0)?,
        duration_us: row.count(1)?,
        first_byte_us: row.optional_count(2)?,
        completion_tokens: row.count(3)?,
    })
}
