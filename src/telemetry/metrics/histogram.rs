//! A histogram with fixed buckets: counting is two atomic additions, and its memory never grows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use metrics::HistogramFn;

/// Counts observations by the first upper bound that holds them.
#[derive(Debug)]
pub(super) struct Buckets {
    bounds: &'static [f64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[AtomicU64]>,
    /// The sum of all observations, as the bits of an `f64`.
    sum: AtomicU64,
}

/// What has been counted by one moment.
#[derive(Debug, PartialEq)]
pub(super) struct Counted {
    /// Upper bounds with how many observations are not above them.
    pub(super) up_to: Vec<(f64, u64)>,
    /// How many there are.
    pub(super) count: u64,
    pub(super) sum: f64,
}

impl Buckets {
    /// Buckets with these upper bounds, in ascending order.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0.0_f64.to_bits()) }
    }

    pub(super) fn counted(&self) -> Counted {
        let mut count = 0;
        let mut add = |bucket: &AtomicU64| {
            count += bucket.load(Relaxed);
            count
        };
        let up_to =
            self.bounds.iter().zip(&self.counts).map(|(bound, bucket)| (*bound, add(bucket)));
        let up_to = up_to.collect();
        let above = self.counts.last().map_or(0, &mut add);
        Counted { up_to, count: above, sum: f64::from_bits(self.sum.load(Relaxed)) }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // Never fails: the function always gives a value.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_in_every_bucket_that_is_large_enough() {
        let buckets = Buckets::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 9.0] {
            buckets.record(value);
        }
        let counted = buckets.counted();
        assert_eq!(counted, Counted { up_to: vec![(1.0, 2), (2.0, 3)], count: 4, sum: 12.0 });
    }
}
