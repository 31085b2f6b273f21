//! Rows written of late, for a failover: a replica that is promoted lacks what the primary had not
//! yet sent to it when it died, though the primary had said that it was kept.

use std::{
    collections::VecDeque,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::store::RowBatch;

/// How far a replica may have been behind without loss of rows.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// More rows are not kept, so that their memory stays bounded.
const MOST_ROWS: usize = 20_000;

/// Rows written of late, on one timeline.
#[derive(Debug, Default)]
pub(super) struct Recent {
    timeline: Option<u32>,
    batches: VecDeque<(Instant, Arc<RowBatch>)>,
    rows: usize,
}

impl Recent {
    /// Notes rows that a server of this timeline has taken. Returns what has to be written again,
    /// which is more than nothing when it is another timeline than the last time.
    pub(super) fn note(
        &mut self,
        batch: Arc<RowBatch>,
        timeline: Option<u32>,
    ) -> VecDeque<Arc<RowBatch>> {
        let Some(timeline) = timeline else { return VecDeque::new() };
        self.rows += batch.len();
        self.batches.push_back((Instant::now(), batch));
        if self.timeline.replace(timeline).is_none_or(|before| before == timeline) {
            // Not before: an outage is no reason to forget what was written just before it.
            self.forget();
            return VecDeque::new();
        }
        self.rows = 0;
        mem::take(&mut self.batches).into_iter().map(|(_, batch)| batch).collect()
    }

    /// Whether there is nothing to write again.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn forget(&mut self) {
        while let Some((at, batch)) = self.batches.front()
            && (at.elapsed() > KEPT_FOR || self.rows > MOST_ROWS)
        {
            self.rows -= batch.len();
            self.batches.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::AccessRow;

    fn batch(rows: usize) -> Arc<RowBatch> {
        let row = AccessRow {
            id: uuid::Uuid::nil(),
            request_id: String::new(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            user: "ada".into(),
            key_id: None,
            method: String::new(),
            path: String::new(),
            status: 200,
            duration_us: 0,
            model: None,
            error: None,
        };
        Arc::new(RowBatch { usage: Vec::new(), access: vec![row; rows], ..RowBatch::default() })
    }

    #[test]
    fn a_new_timeline_brings_back_what_was_written_on_the_old_one() {
        let mut recent = Recent::default();
        assert!(recent.note(batch(1), Some(1)).is_empty());
        assert!(recent.note(batch(2), Some(1)).is_empty());
        let again = recent.note(batch(3), Some(2));
        assert_eq!(again.iter().map(|batch| batch.len()).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(recent.note(batch(1), Some(2)).is_empty());
        assert!(recent.note(batch(1), None).is_empty(), "SQLite has no replicas");
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let mut recent = Recent::default();
        for _ in 0..30 {
            recent.note(batch(1_000), Some(1));
        }
        assert_eq!(recent.note(batch(1), Some(2)).iter().map(|b| b.len()).sum::<usize>(), 20_001);
    }
}
