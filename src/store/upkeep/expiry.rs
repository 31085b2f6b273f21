//! Deleting much, a little at a time.

use std::time::Duration;

use jiff::Timestamp;
use metrics::counter;
use tokio::time::Instant;

use super::{Aging, Span};
use crate::store::{Store, StoreError};

/// Rows of one step, at first.
const FIRST_STEP: u32 = 100;

/// Rows of one step, at most.
const LARGEST_STEP: u32 = 500;

/// How long one step should take: what is served meanwhile waits for no longer.
const STEP_TIME: Duration = Duration::from_millis(3);

/// The database rests so many times as long as a step has taken: of a hundred requests, hardly one meets
/// a step. Thousands of rows still go in a second.
const REST: u32 = 40;

/// Old rows of one table on their way out.
#[derive(Debug)]
pub(super) struct Expiry {
    table: Aging,
    span: Span,
    step: u32,
    deleted: u64,
}

impl Expiry {
    pub(super) const fn new(table: Aging, until: Timestamp) -> Self {
        let span = Span { from: Timestamp::MIN, until };
        Self { table, span, step: FIRST_STEP, deleted: 0 }
    }

    /// Deletes some rows. Returns how long to rest then, or nothing when none were left.
    pub(super) async fn step(&mut self, store: &dyn Store) -> Result<Option<Duration>, StoreError> {
        let begun = Instant::now();
        let deleted = store.delete_old(self.table, self.span, self.step).await?;
        let took = begun.elapsed();
        self.deleted += deleted.rows;
        counter!("figw_rows_expired_total", "table" => self.table.table()).increment(deleted.rows);
        let Some(up_to) = deleted.up_to else { return Ok(None) };
        // Not from the beginning again: what is deleted still stands in the index for a while.
        self.span.from = up_to;
        self.step = next_step(self.step, took);
        Ok(Some(took * REST))
    }

    /// How many rows have gone.
    pub(super) const fn deleted(&self) -> u64 {
        self.deleted
    }
}

/// More rows after a quick step, fewer after a slow one.
fn next_step(step: u32, took: Duration) -> u32 {
    if took > STEP_TIME { step / 2 } else { step + step / 4 }.clamp(FIRST_STEP / 4, LARGEST_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_large_as_the_database_is_quick() {
        let mut step = FIRST_STEP;
        for _ in 0..100 {
            step = next_step(step, Duration::from_millis(1));
        }
        assert_eq!(step, LARGEST_STEP);
        for _ in 0..100 {
            step = next_step(step, Duration::from_secs(1));
        }
        assert_eq!(step, FIRST_STEP / 4, "never none");
    }
}
