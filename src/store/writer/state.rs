//! How the writer is doing: for `/ready` and metrics.

use std::{
    mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use jiff::Timestamp;
use metrics::{counter, gauge};
use serde::Serialize;

use crate::store::RowBatch;
use crate::telemetry::metrics::float;

/// How the writer is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WriterState {
    /// Rows in the spool that the database does not have yet, as far as their number is known.
    pub spool_rows: u64,
    /// Size of the spool in bytes.
    pub spool_bytes: u64,
    /// Files in the spool.
    pub spool_segments: u64,
    /// Why rows are not kept in the spool, while that is so.
    pub spool_error: Option<String>,
    /// When rows last reached the database.
    pub last_success: Option<Timestamp>,
    /// Why rows do not reach the database, while that is so.
    pub last_error: Option<String>,
    /// Since when they do not.
    pub since: Option<Timestamp>,
    /// Rows lost because the queue was full, or there was neither a spool nor a database.
    pub dropped: u64,
    /// Segments that the database refused, moved aside until the next start.
    pub rejected_segments: u64,
    /// Why the last of them was refused, and when.
    pub refusal: Option<(Timestamp, String)>,
}

impl WriterState {
    /// Whether rows go where they should.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.last_error.is_none() && self.spool_error.is_none() && self.refusal.is_none()
    }
}

/// The state that handles and tasks share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<Inner>,
    /// Size of the texts that wait in the queue.
    waiting_text: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inner {
    state: WriterState,
    dropped_unreported: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self) -> WriterState {
        self.lock().state.clone()
    }

    /// Makes room in the queue for texts of this size, as long as all together stay below `most`.
    pub(super) fn admit_text(&self, bytes: usize, most: usize) -> bool {
        let waiting = self.waiting_text.fetch_add(bytes, Ordering::Relaxed);
        let fits = waiting.saturating_add(bytes) <= most;
        if !fits {
            self.text_left(bytes);
        }
        fits
    }

    /// Texts of this size have left the queue.
    pub(super) fn text_left(&self, bytes: usize) {
        self.waiting_text.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, rows: u64) {
        let mut inner = self.lock();
        inner.state.dropped += rows;
        inner.dropped_unreported += rows;
    }

    /// Logs what was dropped since the last time.
    pub(super) fn report_dropped(&self) {
        let dropped = mem::take(&mut self.lock().dropped_unreported);
        if dropped > 0 {
            counter!("figw_rows_dropped_total").increment(dropped);
            tracing::error!(
                dropped,
                "usage rows were dropped: they come faster than they are written"
            );
        }
    }

    /// Sets the spool's size.
    pub(super) fn set_spool(&self, segments: u64, rows: u64, bytes: u64) {
        let mut inner = self.lock();
        inner.state.spool_segments = segments;
        inner.state.spool_rows = rows;
        inner.state.spool_bytes = bytes;
        drop(inner);
        gauge!("figw_spool_segments").set(float(segments));
        gauge!("figw_spool_rows").set(float(rows));
        gauge!("figw_spool_bytes").set(float(bytes));
    }

    pub(super) fn spool_failed(&self, reason: &str) {
        let first = self.lock().state.spool_error.replace(reason.to_owned()).is_none();
        if first {
            tracing::error!(reason, "rows cannot be spooled; they go to the database directly");
        }
    }

    pub(super) fn spool_works(&self) {
        if self.lock().state.spool_error.take().is_some() {
            tracing::info!("rows are spooled again");
        }
    }

    pub(super) fn database_failed(&self, reason: &str) {
        let mut inner = self.lock();
        let first = inner.state.last_error.replace(reason.to_owned()).is_none();
        if first {
            inner.state.since = Some(Timestamp::now());
            drop(inner);
            tracing::error!(reason, "rows do not reach the database; they are kept in the spool");
        }
    }

    pub(super) fn database_took(&self, rows: &RowBatch) {
        let mut inner = self.lock();
        inner.state.last_success = Some(Timestamp::now());
        inner.state.since = None;
        let recovered = inner.state.last_error.take().is_some();
        drop(inner);
        let count = |kind: &'static str, rows: usize| {
            counter!("figw_rows_written_total", "kind" => kind).increment(rows as u64);
        };
        count("usage", rows.usage.len());
        count("access", rows.access.len());
        count("prompts", rows.prompts.len());
        if recovered {
            tracing::info!("rows reach the database again");
        }
    }

    /// The database answers, and what it does not take is the rows' fault.
    pub(super) fn database_refused(&self) {
        let state = &mut self.lock().state;
        state.since = None;
        state.last_error = None;
    }

    pub(super) fn rejected(&self, reason: &str) {
        counter!("figw_spool_rejected_segments_total").increment(1);
        let state = &mut self.lock().state;
        state.rejected_segments += 1;
        state.refusal = Some((Timestamp::now(), reason.to_owned()));
    }
}
