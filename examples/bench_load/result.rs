//! What was measured, and what it comes to.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// Measurements of one or several connections.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// All answers, also those before and after the time that counts.
    pub(crate) total: usize,
    latencies: Vec<Duration>,
    first_chunks: Vec<Duration>,
    between_chunks: Vec<Duration>,
    errors: BTreeMap<String, usize>,
}

impl Samples {
    pub(crate) fn answered(&mut self, start: Instant, end: Instant, arrivals: &[Instant]) {
        self.latencies.push(end - start);
        self.first_chunks.extend(arrivals.first().map(|first| *first - start));
        self.between_chunks.extend(arrivals.windows(2).map(|pair| pair[1] - pair[0]));
    }

    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        *self.errors.entry(format!("{error:#}")).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.total += other.total;
        self.latencies.extend(other.latencies);
        self.first_chunks.extend(other.first_chunks);
        self.between_chunks.extend(other.between_chunks);
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }
}

/// The result as it is printed; times in microseconds.
pub(crate) fn report(mut samples: Samples, seconds: f64) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let rate = samples.latencies.len() as f64 / seconds;
    json!({
        "total": samples.total,
        "answered": samples.latencies.len(),
        "per_second": rate,
        "latency_us": distribution(&mut samples.latencies),
        "first_chunk_us": distribution(&mut samples.first_chunks),
        "between_chunks_us": distribution(&mut samples.between_chunks),
        "errors": samples.errors.values().sum::<usize>(),
        "error_messages": samples.errors,
    })
}

fn distribution(times: &mut [Duration]) -> Value {
    if times.is_empty() {
        return Value::Null;
    }
    times.sort_unstable();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let at = |percent: usize| micros(times[(times.len() - 1) * percent / 100]);
    let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
    let mean = micros(times.iter().sum::<Duration>() / count);
    json!({"mean": mean, "p50": at(50), "p99": at(99)})
}
