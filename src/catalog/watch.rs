//! Keeps a running gateway's [`Catalog`] in step with the store.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::MissedTickBehavior};

use super::{Catalog, Snapshot, snapshot::ResolveSecret};
use crate::store::{Store, StoreError};

/// How often the version is asked for. Together with [`PATIENCE`] it keeps the promise that every
/// instance sees a change within 5 seconds.
const PERIOD: Duration = Duration::from_secs(1);

/// How long the store may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(3);

/// Reads the whole catalogue once.
///
/// # Errors
/// As the store's own.
pub async fn load(store: &dyn Store, resolve: &ResolveSecret<'_>) -> Result<Snapshot, StoreError> {
    Ok(Snapshot::build(store.catalog().await?, resolve))
}

/// Follows the store for as long as it is polled: every second, and whenever `reload` is notified,
/// which also reads the secrets anew. While the store is away the old snapshot stays, and
/// [`Catalog::trouble`] says so.
pub async fn follow(
    catalog: Arc<Catalog>,
    store: Arc<dyn Store>,
    resolve: Arc<ResolveSecret<'static>>,
    reload: Arc<Notify>,
) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A reload that failed is owed until one succeeds. So is one after an outage: a promoted replica
    // may have come to the same version by another way.
    let mut forced = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = reload.notified() => forced = true,
        }
        let known = catalog.load().version();
        let update = newer(store.as_ref(), &*resolve, (!forced).then_some(known));
        match tokio::time::timeout(PATIENCE, update).await {
            Ok(Ok(update)) => {
                if let Some(snapshot) = update {
                    tracing::info!(version = snapshot.version(), "catalogue loaded");
                    catalog.replace(snapshot);
                }
                forced = false;
                catalog.recovered();
                continue;
            }
            Ok(Err(error)) => catalog.failed(&error.to_string()),
            Err(_) => catalog.failed(&format!(
                "database {} did not answer within {} s",
                store.describe(),
                PATIENCE.as_secs()
            )),
        }
        forced = true;
    }
}

/// A snapshot if the store's version differs from `known`. A version may also go back: a restore.
async fn newer(
    store: &dyn Store,
    resolve: &ResolveSecret<'_>,
    known: Option<i64>,
) -> Result<Option<Snapshot>, StoreError> {
    let version = store.catalog_version().await?;
    if known == Some(version) {
        return Ok(None);
    }
    load(store, resolve).await.map(Some)
}

impl Catalog {
    fn failed(&self, error: &str) {
        if self.health.failed(error) {
            tracing::warn!(error, "the catalogue cannot be refreshed; the last one stays in use");
        }
    }

    fn recovered(&self) {
        if self.health.recovered() {
            tracing::info!("the catalogue is followed again");
        }
    }
}
