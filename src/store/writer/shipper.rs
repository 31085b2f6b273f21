//! The task that writes rows to the database.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::spawn_blocking, time::sleep};

use super::{recent::Recent, state::Shared};
use crate::{
    domain::PromptRow,
    store::{
        RowBatch, SchemaState, Store, StoreError,
        spool::{self, Segment},
    },
};

/// Size of the texts of one batch.
const BATCH_TEXT: usize = 4 * 1024 * 1024;

/// Rows to be written; at least one of the two is there.
#[derive(Debug)]
pub(super) struct Work {
    /// Where they are spooled.
    pub(super) segment: Option<Segment>,
    /// The same rows; without them they are read back.
    pub(super) rows: Option<RowBatch>,
    /// Told when the work is done.
    pub(super) done: mpsc::UnboundedSender<Done>,
}

/// Work that is done.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) segment: Option<Segment>,
    /// Rows of it that no segment held.
    pub(super) unspooled: u64,
}

/// The database's answer to a batch in the end.
enum Verdict {
    /// By a server of this timeline.
    Taken(Option<u32>),
    Refused(String),
}

#[derive(Debug)]
pub(super) struct Shipper {
    store: Arc<dyn Store>,
    batch_rows: usize,
    shared: Arc<Shared>,
    recent: Recent,
}

impl Shipper {
    pub(super) fn new(store: Arc<dyn Store>, batch_rows: usize, shared: Arc<Shared>) -> Self {
        Self { store, batch_rows, shared, recent: Recent::default() }
    }

    /// Works until the collector closes the channel.
    pub(super) async fn run(mut self, mut works: mpsc::Receiver<Work>) {
        while let Some(Work { segment, rows, done }) = works.recv().await {
            let held_by_memory_alone = rows.as_ref().filter(|_| segment.is_none());
            let unspooled = held_by_memory_alone.map_or(0, RowBatch::len) as u64;
            self.ship(segment.as_ref(), rows).await;
            // The collector has ended when nobody listens; then nobody counts either.
            let _ = done.send(Done { segment, unspooled });
        }
        self.look_at_the_timeline().await;
    }

    /// A failover since the last rows would go unnoticed by a process that writes no more.
    async fn look_at_the_timeline(&mut self) {
        if self.recent.is_empty() {
            return;
        }
        let nothing = Arc::new(RowBatch::default());
        if let Ok(timeline) = self.store.write_rows(Arc::clone(&nothing)).await {
            self.note(nothing, timeline).await;
        }
    }

    async fn ship(&mut self, segment: Option<&Segment>, rows: Option<RowBatch>) {
        let rows = match (rows, segment) {
            (Some(rows), _) => rows,
            (None, Some(segment)) => match read_back(segment.path.clone()).await {
                Ok(rows) => rows,
                Err(reason) => return self.set_aside(Some(segment), 0, &reason).await,
            },
            (None, None) => return,
        };
        let total = rows.len() as u64;
        for batch in batches(rows, self.batch_rows) {
            let batch = Arc::new(batch);
            match self.write(Arc::clone(&batch)).await {
                // Texts are too large to be remembered.
                Verdict::Taken(_) if !batch.prompts.is_empty() => {}
                Verdict::Taken(timeline) => self.note(batch, timeline).await,
                Verdict::Refused(reason) => return self.set_aside(segment, total, &reason).await,
            }
        }
        if let Some(segment) = segment {
            let path = segment.path.clone();
            if let Err(error) = blocking(move || spool::remove(&path)).await {
                let path = segment.path.display();
                tracing::warn!(%path, %error, "cannot remove a segment; it is tried at next start");
            }
        }
    }

    /// Writes the batch, however long the database is away or not as it should be. Refused are rows
    /// that a sound database turned down repeatedly, for what they are.
    async fn write(&self, batch: Arc<RowBatch>) -> Verdict {
        const REFUSALS: u32 = 5;
        let mut refusals = 0;
        let mut pause = Pause::default();
        loop {
            match self.store.write_rows(Arc::clone(&batch)).await {
                Ok(timeline) => {
                    self.shared.database_took(&batch);
                    return Verdict::Taken(timeline);
                }
                Err(error) => {
                    let reason = error.to_string();
                    self.shared.database_failed(&reason);
                    if matches!(error, StoreError::Unfit { .. }) && self.is_sound().await {
                        refusals += 1;
                        if refusals == REFUSALS {
                            self.shared.database_refused();
                            return Verdict::Refused(reason);
                        }
                    }
                }
            }
            sleep(pause.next()).await;
        }
    }

    /// Remembers rows that are written; and when a replica has taken the primary's place, writes
    /// again what it may not have received from it.
    async fn note(&mut self, batch: Arc<RowBatch>, timeline: Option<u32>) {
        let mut again = self.recent.note(batch, timeline);
        let rows: usize = again.iter().map(|batch| batch.len()).sum();
        if rows > 0 {
            tracing::info!(rows, "the database was failed over; its last rows are written again");
        }
        while let Some(batch) = again.pop_front() {
            match self.write(Arc::clone(&batch)).await {
                // Another failover meanwhile brings them all back.
                Verdict::Taken(timeline) => again.extend(self.recent.note(batch, timeline)),
                Verdict::Refused(reason) => {
                    let rows = batch.len();
                    tracing::error!(rows, reason, "rows that were written once are refused now");
                }
            }
        }
    }

    /// Whether the schema is as the rows expect it.
    async fn is_sound(&self) -> bool {
        matches!(self.store.schema_state().await, Ok(SchemaState::Current))
    }

    async fn set_aside(&self, segment: Option<&Segment>, rows: u64, reason: &str) {
        let Some(segment) = segment else {
            self.shared.count_dropped(rows);
            tracing::error!(rows, reason, "the database refused rows, and no spool keeps them");
            return;
        };
        self.shared.rejected(reason);
        let path = segment.path.clone();
        match blocking(move || spool::reject(&path)).await {
            Ok(aside) => {
                let path = aside.display();
                tracing::error!(%path, reason, "rows were refused and moved aside; the next start tries again");
            }
            Err(error) => {
                let path = segment.path.display();
                tracing::error!(%path, reason, %error, "rows were refused and cannot be moved aside");
            }
        }
    }
}

/// The rows of a segment, up to where a crash has torn it.
async fn read_back(path: PathBuf) -> Result<RowBatch, String> {
    let shown = path.display().to_string();
    let contents = blocking(move || spool::read(&path)).await?;
    if contents.torn > 0 {
        let (torn, rows) = (contents.torn, contents.rows.len());
        tracing::warn!(path = shown, torn, rows, "a segment ends in a torn record; cut off there");
    }
    Ok(contents.rows)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, String> {
    match spawn_blocking(work).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Cuts the rows into batches of at most `most` rows. Texts are in batches of their own, each with one
/// text at least.
fn batches(rows: RowBatch, most: usize) -> impl Iterator<Item = RowBatch> {
    let mut usage = rows.usage.into_iter();
    let mut access = rows.access.into_iter();
    let mut prompts = rows.prompts.into_iter().peekable();
    std::iter::from_fn(move || {
        let usage: Vec<_> = usage.by_ref().take(most).collect();
        let access: Vec<_> = access.by_ref().take(most - usage.len()).collect();
        if !usage.is_empty() || !access.is_empty() {
            return Some(RowBatch { usage, access, ..RowBatch::default() });
        }
        let mut texts = Vec::from_iter(prompts.next());
        let mut bytes = texts.first().map_or(0, PromptRow::bytes);
        while let Some(next) =
            prompts.next_if(|next| texts.len() < most && bytes + next.bytes() <= BATCH_TEXT)
        {
            bytes += next.bytes();
            texts.push(next);
        }
        (!texts.is_empty()).then(|| RowBatch { prompts: texts, ..RowBatch::default() })
    })
}

/// Growing pauses with a random part, so that instances do not come back all at once.
#[derive(Debug, Default)]
struct Pause {
    tries: u32,
}

impl Pause {
    fn next(&mut self) -> Duration {
        const FIRST_MS: u64 = 100;
        const LONGEST_MS: u64 = 3_000;
        let most = (FIRST_MS << self.tries.min(10)).min(LONGEST_MS);
        self.tries += 1;
        // The low bits of a v4 UUID are random; where entropy is short, a fixed pause will do.
        let random = getrandom::u32().map_or(u64::from(u32::MAX), u64::from);
        Duration::from_millis(most / 2 + random * (most / 2) / u64::from(u32::MAX))
    }
}
