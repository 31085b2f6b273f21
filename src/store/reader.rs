//! Reads that may lag: what is shown to people, as lists, reports and dashboards are. Whoever has
//! only a [`Reader`] cannot ask for anything that must be current.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use metrics::counter;

use super::{
    Condition, PRIMARY, ReportStore, Select, Selected, Store, StoreError, StoreOptions,
    replicas::{FRESHNESS, Replicas},
};
use crate::domain::{
    Batch, BatchStatus, Trouble,
    report::{Days, Grouping, UsageSum},
};

/// Users whose writes are remembered before those that have been forgotten are swept out.
const SWEEP_AT: usize = 1_024;

/// How long a question of the dashboard may take the database.
pub(super) const LONGEST_SELECT: Duration = Duration::from_secs(5);

/// Whoever reads what all have written.
const NOBODY: &str = "";

/// Reads whose answer may be a moment old.
#[async_trait]
pub trait ReadStore: ReportStore {
    /// A user's batches, the newest first, at most [`super::LONGEST_LIST`].
    async fn batches(
        &self,
        user: &str,
        status: Option<BatchStatus>,
    ) -> Result<Vec<Batch>, StoreError>;

    /// Answers a question of the dashboard, or gives up when it takes too long.
    async fn select(&self, select: &Select) -> Result<Selected, StoreError>;
}

/// Reads from the replicas in turn, as long as they are well and lag no more than they may, and
/// else from the primary. Who has just written through this process reads from the primary, and
/// so sees what was written. Clones are handles of one reader.
#[derive(Debug, Clone)]
pub struct Reader {
    primary: Arc<dyn Store>,
    replicas: Option<Arc<Replicas>>,
    writers: Arc<Writers>,
}

impl Reader {
    /// Reads from this store and no replica.
    #[must_use]
    pub fn without_replicas(primary: Arc<dyn Store>) -> Self {
        Self { primary, replicas: None, writers: Arc::default() }
    }

    /// Reads from the replicas that the options name, and watches them for as long as it lives.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when their URLs make no sense.
    pub fn open(options: &StoreOptions, primary: Arc<dyn Store>) -> Result<Self, StoreError> {
        let urls = options.replica_locations()?;
        if urls.is_empty() {
            return Ok(Self::without_replicas(primary));
        }
        let replicas = Replicas::open(urls, options, Arc::clone(&primary))?;
        // A replica that may be read from has all that was there so long ago.
        let writers = Writers::remembering(options.replica_max_lag + FRESHNESS);
        Ok(Self { primary, replicas: Some(Arc::new(replicas)), writers: Arc::new(writers) })
    }

    /// Notes that something of this user's has been written, or may have been.
    pub fn wrote(&self, user: &str) {
        if self.replicas.is_some() {
            self.writers.note(user);
        }
    }

    /// Whether there are replicas at all.
    #[must_use]
    pub fn has_replicas(&self) -> bool {
        self.replicas.is_some()
    }

    /// Which replicas are not read from, since when and why; none while all are.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.replicas.as_ref()?.trouble()
    }

    /// Each replica's condition, once all are well or at the end of `within`.
    pub async fn survey(&self, within: Duration) -> Vec<(String, Condition)> {
        match &self.replicas {
            Some(replicas) => replicas.survey(within).await,
            None => Vec::new(),
        }
    }

    async fn read<'s, T>(
        &'s self,
        user: &'s str,
        ask: impl Fn(&'s dyn ReadStore) -> BoxFuture<'s, Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        if let Some(replicas) = self.replicas.as_ref().filter(|_| !self.writers.holds(user)) {
            for replica in replicas.in_turn() {
                if let Some(answer) = replica.answer(ask(replica.store())).await {
                    return Ok(answer);
                }
            }
        }
        if self.replicas.is_some() {
            counter!("figw_database_reads_total", "database" => PRIMARY, "outcome" => "answered")
                .increment(1);
        }
        ask(&*self.primary).await
    }
}

#[async_trait]
impl ReadStore for Reader {
    async fn batches(
        &self,
        user: &str,
        status: Option<BatchStatus>,
    ) -> Result<Vec<Batch>, StoreError> {
        self.read(user, |store| store.batches(user, status)).await
    }

    async fn select(&self, select: &Select) -> Result<Selected, StoreError> {
        self.read(&select.reader, |store| store.select(select)).await
    }
}

#[async_trait]
impl ReportStore for Reader {
    async fn usage_sums(&self, by: Grouping, days: Days) -> Result<Vec<UsageSum>, StoreError> {
        self.read(NOBODY, |store| store.usage_sums(by, days)).await
    }
}

/// Who has written of late.
#[derive(Debug, Default)]
struct Writers {
    memory: Duration,
    until: Mutex<HashMap<String, Instant>>,
}

impl Writers {
    fn remembering(memory: Duration) -> Self {
        Self { memory, until: Mutex::default() }
    }

    fn note(&self, user: &str) {
        let now = Instant::now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= SWEEP_AT {
            until.retain(|_, until| *until > now);
        }
        until.insert(user.to_owned(), now + self.memory);
    }

    fn holds(&self, user: &str) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(user).is_some_and(|until| *until > Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_remembered_for_as_long_as_a_replica_may_lag() {
        let writers = Writers::remembering(Duration::from_millis(50));
        writers.note("ada");
        assert!(writers.holds("ada") && !writers.holds("bob"));
        std::thread::sleep(Duration::from_millis(60));
        assert!(!writers.holds("ada"));
        for number in 0..SWEEP_AT {
            writers.note(&number.to_string());
        }
        assert!(writers.until.lock().unwrap().len() <= SWEEP_AT, "ada is swept out");
    }
}
