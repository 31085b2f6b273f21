//! From the request path to the database, without the one waiting for the other.
//!
//! Handles push rows into a bounded queue. The *collector* takes them out and, every flush
//! interval, writes them to the spool; the *shipper* writes them to the database and then removes
//! them from the spool. While the shipper is busy (the database is slow or away) rows stay in the
//! spool and leave memory; it reads them back when it gets there. A row may reach the database
//! twice (a crash between writing and removing), where its id makes the second time harmless.

mod collector;
mod recent;
mod shipper;
mod state;

use std::{path::PathBuf, sync::Arc, time::Duration};

use metrics::counter;
use tokio::sync::{mpsc, oneshot};

pub use self::state::WriterState;
use self::{collector::Collector, shipper::Shipper, state::Shared};
use super::Store;
use crate::domain::{AccessRow, PromptRow, UsageRow};

/// Size of the texts that may wait to be collected: more than the longest that one request has.
const QUEUE_TEXT: usize = 64 * 1024 * 1024;

/// How rows are collected, kept and written.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// The directory below which every instance has its spool.
    pub spool_directory: PathBuf,
    /// This instance's name: that of its directory.
    pub instance: String,
    /// How long a row may stay in memory only: what `kill -9` may cost.
    pub flush_interval: Duration,
    /// As many rows are flushed without waiting for the interval.
    pub flush_rows: usize,
    /// Rows that may wait to be collected; more are dropped and counted.
    pub queue_rows: usize,
    /// Rows written by one statement.
    pub batch_rows: usize,
}

impl WriterOptions {
    /// The defaults, for a spool in this directory.
    #[must_use]
    pub fn new(spool_directory: PathBuf, instance: impl Into<String>) -> Self {
        Self {
            spool_directory,
            instance: instance.into(),
            flush_interval: Duration::from_secs(1),
            flush_rows: 4_000,
            queue_rows: 32_000,
            batch_rows: 1_000,
        }
    }
}

/// A row on its way.
#[derive(Debug)]
enum Row {
    Usage(Box<UsageRow>),
    Access(Box<AccessRow>),
    Prompt(Box<PromptRow>),
}

/// The order to finish.
#[derive(Debug)]
struct Stop {
    deadline: Duration,
    done: oneshot::Sender<()>,
}

/// Takes rows and sees to it that they reach the database. Clones are handles of one writer.
#[derive(Debug, Clone)]
pub struct RowWriter {
    rows: mpsc::Sender<Row>,
    stop: mpsc::Sender<Stop>,
    shared: Arc<Shared>,
}

impl RowWriter {
    /// Starts the writer's tasks; they begin with what an earlier run left in the spool. A spool
    /// that cannot be used is reported by [`Self::state`], and rows then go to the database
    /// directly.
    #[must_use]
    pub fn start(store: Arc<dyn Store>, options: WriterOptions) -> Self {
        let shared = Arc::new(Shared::default());
        let (rows, queue) = mpsc::channel(options.queue_rows.max(1));
        let (stop, stops) = mpsc::channel(1);
        // One piece of work may wait while another is under way: that bounds what is in memory.
        let (work, works) = mpsc::channel(1);
        let shipper = Shipper::new(store, options.batch_rows.max(1), Arc::clone(&shared));
        let shipper = tokio::spawn(shipper.run(works));
        let collector = Collector::new(options, work, Arc::clone(&shared));
        tokio::spawn(collector.run(queue, stops, shipper));
        Self { rows, stop, shared }
    }

    /// Takes the row of an inference request. Never waits; a row that finds the queue full is
    /// dropped and counted.
    pub fn record_usage(&self, row: UsageRow) {
        self.push(Row::Usage(Box::new(row)));
    }

    /// Takes the row of another request, as [`Self::record_usage`] does.
    pub fn record_access(&self, row: AccessRow) {
        self.push(Row::Access(Box::new(row)));
    }

    /// Takes what was asked and answered in an inference request. Never waits; texts that find no
    /// room are dropped and counted.
    pub fn record_prompt(&self, row: PromptRow) {
        if self.shared.admit_text(row.bytes(), QUEUE_TEXT) {
            self.push(Row::Prompt(Box::new(row)));
        } else {
            counter!("figw_prompts_dropped_total").increment(1);
        }
    }

    fn push(&self, row: Row) {
        if let Err(error) = self.rows.try_send(row) {
            if let Row::Prompt(row) = error.into_inner() {
                self.shared.text_left(row.bytes());
            }
            self.shared.count_dropped(1);
        }
    }

    /// How many rows wait in memory to be collected.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.rows.max_capacity() - self.rows.capacity()
    }

    /// How the writer is doing. Cheap.
    #[must_use]
    pub fn state(&self) -> WriterState {
        self.shared.snapshot()
    }

    /// Takes no more rows, and returns when those taken are in the database, or at the deadline:
    /// then what the database does not have is in the spool.
    pub async fn flush_and_stop(&self, deadline: Duration) {
        let (done, finished) = oneshot::channel();
        if self.stop.send(Stop { deadline, done }).await.is_ok() {
            // The sender is dropped when the collector has ended, in whichever way.
            let _ = finished.await;
        }
    }
}
