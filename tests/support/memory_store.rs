//! A store that lives in memory, may be switched off, and can lose races on purpose.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use figw::{
    domain::{
        ApiKey, Batch, BatchOutcome, BatchStatus, RemoteTask, TaskOutcome,
        report::{Days, Grouping, UsageSum},
    },
    store::{
        Admission, Aging, BatchStore, CatalogData, CatalogEdit, Deleted, ReadStore, ReportStore,
        RowBatch, SchemaState, Select, Selected, Span, Store, StoreError, TaskStore, UpkeepStore,
    },
};
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct MemoryStore {
    data: Mutex<CatalogData>,
    batches: Mutex<Vec<KeptBatch>>,
    tasks: Mutex<Vec<KeptTask>>,
    pub away: AtomicBool,
    /// How many edits are still answered with a conflict.
    pub races: AtomicU32,
}

#[derive(Debug)]
struct KeptBatch {
    batch: Batch,
    result: Option<String>,
    lease: Option<(Uuid, Instant)>,
}

impl KeptBatch {
    fn is_open(&self) -> bool {
        self.batch.finished_at.is_none()
    }

    fn end(&mut self, outcome: &BatchOutcome, at: Timestamp) {
        self.batch.status = outcome.status();
        self.batch.error = outcome.error().map(ToOwned::to_owned);
        self.batch.metrics = outcome.metrics();
        self.batch.finished_at = Some(at);
        self.result = outcome.result().map(ToOwned::to_owned);
    }
}

#[derive(Debug)]
struct KeptTask {
    task: RemoteTask,
    leased_until: Option<Instant>,
    finished_at: Option<Instant>,
}

impl KeptTask {
    fn lease(&mut self, lease: Duration) -> bool {
        let now = Instant::now();
        let free = self.finished_at.is_none() && self.leased_until.is_none_or(|end| end <= now);
        if free {
            self.leased_until = Some(now + lease);
        }
        free
    }
}

impl MemoryStore {
    pub fn data(&self) -> MutexGuard<'_, CatalogData> {
        self.data.lock().unwrap()
    }

    fn reach(&self) -> Result<MutexGuard<'_, CatalogData>, StoreError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable {
                target: self.describe(),
                reason: "switched off".into(),
            });
        }
        Ok(self.data())
    }

    fn reach_batches(&self) -> Result<MutexGuard<'_, Vec<KeptBatch>>, StoreError> {
        self.reach().map(|_| self.batches.lock().unwrap())
    }

    fn tasks(&self) -> Result<MutexGuard<'_, Vec<KeptTask>>, StoreError> {
        drop(self.reach()?);
        Ok(self.tasks.lock().unwrap())
    }
}

fn replace<T>(items: &mut Vec<T>, new: T, same: impl Fn(&T) -> bool) {
    items.retain(|item| !same(item));
    items.push(new);
}

#[async_trait]
impl Store for MemoryStore {
    fn describe(&self) -> String {
        "memory".into()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().map(drop)
    }

    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        Ok(SchemaState::Current)
    }

    async fn catalog_version(&self) -> Result<i64, StoreError> {
        Ok(self.reach()?.version)
    }

    async fn catalog(&self) -> Result<CatalogData, StoreError> {
        let mut data = self.reach()?.clone();
        data.keys.retain(|key| key.revoked_at.is_none());
        Ok(data)
    }

    async fn edit_catalog(&self, base: i64, edits: &[CatalogEdit]) -> Result<i64, StoreError> {
        let mut data = self.reach()?;
        let raced = |left: u32| left.checked_sub(1);
        if self.races.fetch_update(Ordering::SeqCst, Ordering::SeqCst, raced).is_ok() {
            data.version += 1;
        }
        if data.version != base {
            return Err(StoreError::Conflict("the catalogue has changed meanwhile".into()));
        }
        for edit in edits.iter().cloned() {
            match edit {
                CatalogEdit::PutCluster(new) => {
                    let name = new.name.clone();
                    replace(&mut data.clusters, new, |old| old.name == name);
                }
                CatalogEdit::PutEndpoint(new) => {
                    let slug = new.slug.clone();
                    replace(&mut data.endpoints, new, |old| old.slug == slug);
                }
                CatalogEdit::PutFederation(new) => {
                    let model = new.model.clone();
                    replace(&mut data.federations, new, |old| old.model == model);
                }
                CatalogEdit::RemoveCluster(name) => data.clusters.retain(|c| c.name != name),
                CatalogEdit::RemoveEndpoint(slug) => data.endpoints.retain(|e| e.slug != slug),
                CatalogEdit::RemoveFederation(model) => {
                    data.federations.retain(|f| f.model != model);
                }
            }
        }
        data.version += 1;
        Ok(data.version)
    }

    async fn create_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let mut data = self.reach()?;
        data.keys.push(key.clone());
        data.version += 1;
        Ok(())
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        Ok(self.reach()?.keys.clone())
    }

    async fn revoke_key(&self, id: Uuid, at: Timestamp) -> Result<bool, StoreError> {
        let mut data = self.reach()?;
        data.version += 1;
        let key = data.keys.iter_mut().find(|key| key.id == id);
        Ok(key.map(|key| key.revoked_at = key.revoked_at.or(Some(at))).is_some())
    }

    async fn write_rows(&self, _: Arc<RowBatch>) -> Result<Option<u32>, StoreError> {
        Ok(None)
    }
}

#[async_trait]
impl BatchStore for MemoryStore {
    async fn create_batch(&self, batch: &Batch, quota: u32) -> Result<Admission, StoreError> {
        let mut batches = self.reach_batches()?;
        let open = || batches.iter().filter(|kept| kept.is_open() && kept.batch.user == batch.user);
        if let Some(same) = open().find(|kept| kept.batch.job.input_file == batch.job.input_file) {
            return Ok(Admission::SameInput(same.batch.id));
        }
        if quota > 0 && open().count() >= quota as usize {
            return Ok(Admission::OverQuota);
        }
        batches.push(KeptBatch { batch: batch.clone(), result: None, lease: None });
        Ok(Admission::Admitted)
    }

    async fn batch_submitted(
        &self,
        id: Uuid,
        task: Uuid,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut batches = self.reach_batches()?;
        let waiting = batches.iter_mut().find(|kept| {
            kept.batch.id == id && kept.is_open() && kept.batch.task.is_none_or(|old| old == task)
        });
        Ok(waiting
            .map(|kept| (kept.batch.task, kept.batch.submitted_at) = (Some(task), Some(at)))
            .is_some())
    }

    async fn give_up_unsubmitted(&self, reason: &str) -> Result<Vec<Uuid>, StoreError> {
        let now = Timestamp::now();
        let mut ids = Vec::new();
        for kept in self.reach_batches()?.iter_mut().filter(|kept| kept.is_open()) {
            if kept.batch.task.is_none() && kept.batch.submit_by < now {
                kept.end(&BatchOutcome::Failed(reason.to_owned()), now);
                ids.push(kept.batch.id);
            }
        }
        Ok(ids)
    }

    async fn batch(&self, user: &str, id: Uuid) -> Result<Option<Batch>, StoreError> {
        Ok(self.batches(user, None).await?.into_iter().find(|batch| batch.id == id))
    }

    async fn batch_result(&self, user: &str, id: Uuid) -> Result<Option<String>, StoreError> {
        let batches = self.reach_batches()?;
        let kept = batches.iter().find(|kept| kept.batch.id == id && kept.batch.user == user);
        Ok(kept.and_then(|kept| kept.result.clone()))
    }

    async fn claim_batches(
        &self,
        follower: Uuid,
        lease: Duration,
    ) -> Result<Vec<Batch>, StoreError> {
        let now = Instant::now();
        let mut claimed = Vec::new();
        for kept in self.reach_batches()?.iter_mut().filter(|kept| kept.is_open()) {
            let free = kept.lease.is_none_or(|(by, until)| by == follower || until < now);
            if free && kept.batch.task.is_some() {
                kept.lease = Some((follower, now + lease));
                claimed.push(kept.batch.clone());
            }
        }
        Ok(claimed)
    }

    async fn renew_batches(&self, follower: Uuid, lease: Duration) -> Result<(), StoreError> {
        let now = Instant::now();
        for kept in self.reach_batches()?.iter_mut().filter(|kept| kept.is_open()) {
            if kept.lease.is_some_and(|(by, until)| by == follower && until >= now) {
                kept.lease = Some((follower, now + lease));
            }
        }
        Ok(())
    }

    async fn batch_running(&self, id: Uuid) -> Result<(), StoreError> {
        for kept in self.reach_batches()?.iter_mut() {
            if kept.batch.id == id && kept.is_open() {
                kept.batch.status = BatchStatus::Running;
            }
        }
        Ok(())
    }

    async fn finish_batch(
        &self,
        id: Uuid,
        outcome: &BatchOutcome,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut batches = self.reach_batches()?;
        let open = batches.iter_mut().find(|kept| kept.batch.id == id && kept.is_open());
        Ok(open.map(|kept| kept.end(outcome, at)).is_some())
    }
}

#[async_trait]
impl ReadStore for MemoryStore {
    async fn batches(
        &self,
        user: &str,
        status: Option<BatchStatus>,
    ) -> Result<Vec<Batch>, StoreError> {
        let batches = self.reach_batches()?;
        let mine = batches.iter().rev().map(|kept| &kept.batch).filter(|batch| batch.user == user);
        Ok(mine.filter(|b| status.is_none_or(|status| b.status == status)).cloned().collect())
    }

    async fn select(&self, _: &Select) -> Result<Selected, StoreError> {
        Err(StoreError::Invalid("a memory knows no SQL".into()))
    }
}

#[async_trait]
impl ReportStore for MemoryStore {
    async fn usage_sums(&self, _: Grouping, _: Days) -> Result<Vec<UsageSum>, StoreError> {
        self.reach().map(|_| vec![UsageSum::default()])
    }
}

#[async_trait]
impl UpkeepStore for MemoryStore {
    async fn lease_upkeep(&self, _: Uuid, _: Duration) -> Result<bool, StoreError> {
        self.reach().map(|_| true)
    }

    async fn release_upkeep(&self, _: Uuid) -> Result<(), StoreError> {
        self.reach().map(drop)
    }

    async fn roll_up(&self) -> Result<Option<u64>, StoreError> {
        self.reach().map(|_| Some(0))
    }

    async fn delete_old(&self, _: Aging, _: Span, _: u32) -> Result<Deleted, StoreError> {
        self.reach().map(|_| Deleted { rows: 0, up_to: None })
    }
}

#[async_trait]
impl TaskStore for MemoryStore {
    async fn add_task(&self, task: &RemoteTask) -> Result<(), StoreError> {
        let task = task.clone();
        self.tasks()?.push(KeptTask { task, leased_until: None, finished_at: None });
        Ok(())
    }

    async fn task(&self, user: &str, id: Uuid) -> Result<Option<RemoteTask>, StoreError> {
        let tasks = self.tasks()?;
        let found = tasks.iter().find(|kept| kept.task.id == id && kept.task.user == user);
        Ok(found.map(|kept| kept.task.clone()))
    }

    async fn lease_task(&self, id: Uuid, lease: Duration) -> Result<bool, StoreError> {
        let mut tasks = self.tasks()?;
        Ok(tasks.iter_mut().find(|kept| kept.task.id == id).is_some_and(|kept| kept.lease(lease)))
    }

    async fn lease_tasks(&self, lease: Duration, most: u32) -> Result<Vec<RemoteTask>, StoreError> {
        let mut tasks = self.tasks()?;
        tasks.sort_by_key(|kept| kept.leased_until);
        let leased =
            tasks.iter_mut().filter_map(|kept| kept.lease(lease).then(|| kept.task.clone()));
        Ok(leased.take(most as usize).collect())
    }

    async fn rest_tasks(&self, ids: &[Uuid], pause: Duration) -> Result<(), StoreError> {
        for kept in self.tasks()?.iter_mut().filter(|kept| ids.contains(&kept.task.id)) {
            kept.leased_until = Some(Instant::now() + pause);
        }
        Ok(())
    }

    async fn finish_task(&self, id: Uuid, outcome: &TaskOutcome) -> Result<bool, StoreError> {
        let mut tasks = self.tasks()?;
        let open = tasks.iter_mut().find(|kept| kept.task.id == id && kept.finished_at.is_none());
        Ok(open
            .map(|kept| {
                kept.task.outcome = Some(outcome.clone());
                kept.finished_at = Some(Instant::now());
            })
            .is_some())
    }

    async fn prune_tasks(
        &self,
        results_for: Duration,
        open_for: Duration,
    ) -> Result<u64, StoreError> {
        let mut tasks = self.tasks()?;
        let before = tasks.len();
        let too_old = Timestamp::now() - jiff::SignedDuration::try_from(open_for).unwrap();
        tasks.retain(|kept| {
            kept.finished_at.is_none_or(|at| at.elapsed() <= results_for)
                && kept.task.submitted_at >= too_old
        });
        Ok((before - tasks.len()) as u64)
    }
}
