//! What keeps the tables in order, off every request's way: usage is summed up by hour and day, and
//! what has become too old is deleted. One instance at a time does it.

mod expiry;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use metrics::counter;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use uuid::Uuid;

use self::expiry::Expiry;
use super::{Store, StoreError};
use crate::domain::Health;

/// How often new rows are summed up.
const PAUSE: Duration = Duration::from_secs(2);

/// How long an instance has the task to itself without saying that it goes on.
const LEASE: Duration = Duration::from_secs(30);

/// Tables whose rows go when they are old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aging {
    /// Inference requests. Their sums stay.
    Usage,
    /// Other requests.
    Access,
    /// Texts of prompts and answers.
    Prompts,
}

impl Aging {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Usage, Self::Access, Self::Prompts];

    /// The table's name.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Access => "access",
            Self::Prompts => "prompts",
        }
    }
}

/// A part of a table, by when its requests began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Of the first row that may be there still.
    pub from: Timestamp,
    /// Of the first row that stays.
    pub until: Timestamp,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Number of rows.
    pub rows: u64,
    /// When the last of them began; none when there were none.
    pub up_to: Option<Timestamp>,
}

/// What the task asks of the database.
#[async_trait]
pub trait UpkeepStore {
    /// Takes or keeps the right to do the upkeep for the length of `lease`, by the database's clock.
    /// Returns `false` when another holder has it.
    async fn lease_upkeep(&self, holder: Uuid, lease: Duration) -> Result<bool, StoreError>;

    /// Gives that right up.
    async fn release_upkeep(&self, holder: Uuid) -> Result<(), StoreError>;

    /// Adds what some thousands of rows have left pending to the sums. Returns of how many rows, 0 when
    /// nothing is pending; nothing when somebody else is at it.
    async fn roll_up(&self) -> Result<Option<u64>, StoreError>;

    /// Deletes the oldest rows of the span, at most `most`. Sums count them as before, also those that
    /// are still pending.
    async fn delete_old(&self, table: Aging, span: Span, most: u32) -> Result<Deleted, StoreError>;
}

/// How long rows stay; for ever where there is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Inference requests.
    pub usage: Option<Duration>,
    /// Other requests.
    pub access: Option<Duration>,
    /// Texts of prompts and answers.
    pub prompts: Option<Duration>,
    /// Time between two looks for rows that have become too old.
    pub every: Duration,
}

impl Retention {
    const fn of(&self, table: Aging) -> Option<Duration> {
        match table {
            Aging::Usage => self.usage,
            Aging::Access => self.access,
            Aging::Prompts => self.prompts,
        }
    }
}

/// Does the upkeep whenever no other instance does, until it is dropped.
#[derive(Debug)]
pub struct Upkeep {
    store: Arc<dyn Store>,
    holder: Uuid,
    retention: watch::Receiver<Retention>,
    leased_until: Option<Instant>,
    health: Health,
}

impl Upkeep {
    /// For this database. The retention may change meanwhile.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, retention: watch::Receiver<Retention>) -> Self {
        Self {
            store,
            holder: Uuid::new_v4(),
            retention,
            leased_until: None,
            health: Health::default(),
        }
    }

    /// Runs until `stop` ends, and then leaves the task to another instance.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.go_on() => {}
            () = stop => {}
        }
        if self.leased_until.is_some() {
            // It would end by itself.
            let _ = self.store.release_upkeep(self.holder).await;
        }
    }

    async fn go_on(&mut self) {
        let mut looked_at: Option<Instant> = None;
        loop {
            sleep(PAUSE).await;
            match self.round(&mut looked_at).await {
                Ok(()) if self.health.recovered() => tracing::info!("usage is summed up again"),
                Ok(()) => {}
                Err(error) => {
                    self.leased_until = None;
                    // Whoever reads and writes says that the database is away.
                    let is_away = matches!(error, StoreError::Unavailable { .. });
                    if !is_away && self.health.failed(&error.to_string()) {
                        tracing::warn!(%error, "usage is not summed up, and no old rows are deleted");
                    } else {
                        tracing::debug!(%error, "usage is not summed up at present");
                    }
                }
            }
        }
    }

    /// Sums up what is there, and then looks for what is too old, when it is time for that.
    async fn round(&mut self, looked_at: &mut Option<Instant>) -> Result<(), StoreError> {
        if !self.holds().await? {
            return Ok(());
        }
        if !self.sum_up().await? {
            return Ok(());
        }
        let retention = *self.retention.borrow();
        if looked_at.is_some_and(|at| at.elapsed() < retention.every) {
            return Ok(());
        }
        for table in Aging::ALL {
            if let Some(age) = retention.of(table)
                && !self.expire(table, age).await?
            {
                return Ok(());
            }
        }
        *looked_at = Some(Instant::now());
        Ok(())
    }

    /// Whether this instance does the upkeep; asks anew long before the lease ends.
    async fn holds(&mut self) -> Result<bool, StoreError> {
        let now = Instant::now();
        if self.leased_until.is_some_and(|until| until > now + LEASE / 2) {
            return Ok(true);
        }
        let holds = self.store.lease_upkeep(self.holder, LEASE).await?;
        self.leased_until = holds.then(|| now + LEASE);
        Ok(holds)
    }

    /// Adds all rows that wait to the sums. False when that is another's task for the moment.
    async fn sum_up(&mut self) -> Result<bool, StoreError> {
        while self.holds().await? {
            match self.store.roll_up().await? {
                Some(0) => return Ok(true),
                Some(rows) => counter!("figw_rows_rolled_up_total").increment(rows),
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Deletes rows older than this. False when that is another's task for the moment.
    async fn expire(&mut self, table: Aging, age: Duration) -> Result<bool, StoreError> {
        let Ok(until) = Timestamp::now().checked_sub(age) else { return Ok(true) };
        let mut expiry = Expiry::new(table, until);
        let mut is_done = false;
        let mut summed_up = Instant::now();
        while !is_done {
            // This may take hours, in which sums are wanted, too.
            if summed_up.elapsed() >= PAUSE {
                if !self.sum_up().await? {
                    break;
                }
                summed_up = Instant::now();
            }
            match expiry.step(&*self.store).await? {
                Some(rest) => sleep(rest).await,
                None => is_done = true,
            }
        }
        let (rows, table) = (expiry.deleted(), table.table());
        if rows > 0 {
            tracing::info!(rows, table, older_than = %until, "old rows were deleted");
        }
        Ok(is_done)
    }
}
