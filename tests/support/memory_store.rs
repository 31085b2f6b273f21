//! A store that lives in memory, may be switched off, and can lose races on purpose.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use async_trait::async_trait;
use figw::{
    domain::ApiKey,
    store::{CatalogData, CatalogEdit, RowBatch, SchemaState, Store, StoreError},
};
use jiff::Timestamp;
use uuid::Uuid;

#[derive(Debug, Default)]
pub struct MemoryStore {
    data: Mutex<CatalogData>,
    pub away: AtomicBool,
    /// How many edits are still answered with a conflict.
    pub races: AtomicU32,
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

    async fn write_rows(&self, _: Arc<RowBatch>) -> Result<(), StoreError> {
        Ok(())
    }
}
