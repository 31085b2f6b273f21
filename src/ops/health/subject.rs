//! What is looked at, with what several checks need and only one has to fetch.

use std::{sync::Arc, time::Duration};

use tokio::sync::OnceCell;
use url::Url;

use super::{Finding, State};
use crate::{
    backends::globus_compute::Compute,
    cache::Cache,
    catalog::Snapshot,
    config::{Config, secret},
    ops::{database, serve},
    store::{CatalogData, Location, Store, StoreError, StoreOptions},
};

/// Who looks has less patience than who works.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is looked at.
#[derive(Debug)]
pub struct Subject {
    /// The configuration.
    pub config: Config,
    /// Where the gateway answers; as `server.listen` has it when this is not given.
    pub url: Option<Url>,
    /// Whether the gateway may take the one who looks for its monitoring.
    pub is_monitoring: bool,
    store: OnceCell<Result<Arc<dyn Store>, Finding>>,
    catalogue: OnceCell<Result<Arc<Catalogue>, String>>,
    compute: OnceCell<Result<Option<Compute>, String>>,
}

/// The catalogue, as it is stored and as it is served.
#[derive(Debug)]
pub(in crate::ops) struct Catalogue {
    pub(in crate::ops) data: CatalogData,
    pub(in crate::ops) snapshot: Snapshot,
}

impl Subject {
    /// The gateway of this configuration, or the one at `url`.
    #[must_use]
    pub fn new(config: Config, url: Option<Url>) -> Self {
        let (store, catalogue, compute) = Default::default();
        Self { config, url, is_monitoring: true, store, catalogue, compute }
    }

    /// How the database is asked.
    pub(in crate::ops) fn store_options(&self) -> Result<StoreOptions, Finding> {
        let options = database::options(&self.config)
            .map_err(|error| Finding::new(State::Unknown, error.to_string()))?;
        Ok(StoreOptions {
            connect_timeout: options.connect_timeout.min(PATIENCE),
            statement_timeout: options.statement_timeout.min(PATIENCE),
            max_connections: 2,
            ..options
        })
    }

    /// The database, open and with the schema that this program expects; or what is wrong with it.
    pub(in crate::ops) async fn store(&self) -> Result<&Arc<dyn Store>, Finding> {
        self.store.get_or_init(|| self.open()).await.as_ref().map_err(Clone::clone)
    }

    async fn open(&self) -> Result<Arc<dyn Store>, Finding> {
        let options = self.store_options()?;
        // Opening an SQLite file creates it, and looking must change nothing.
        if let Ok(Location::Sqlite(path)) = options.location() {
            let name = path.display().to_string();
            let wrong = match super::within(PATIENCE, move || path.exists()).await {
                Some(true) => None,
                Some(false) => Some(format!("{name} does not exist; run `figw migrate`")),
                None => Some(format!("{name}: its file system does not answer; look at its mount")),
            };
            if let Some(evidence) = wrong {
                return Err(Finding::new(State::Critical, evidence));
            }
        }
        let patience = options.connect_timeout + options.statement_timeout;
        match tokio::time::timeout(patience, database::open(&options)).await {
            Ok(Ok(store)) => Ok(store),
            Ok(Err(error @ StoreError::Invalid(_))) => {
                Err(Finding::new(State::Unknown, error.to_string()))
            }
            Ok(Err(error)) => Err(Finding::new(State::Critical, error.to_string())),
            Err(_) => {
                let evidence = format!(
                    "the database did not answer within {}; look whether it hangs",
                    humantime::format_duration(patience)
                );
                Err(Finding::new(State::Critical, evidence))
            }
        }
    }

    /// The catalogue, or why it is not known.
    pub(in crate::ops) async fn catalogue(&self) -> Result<Arc<Catalogue>, String> {
        let read = async {
            let store = self.store().await.map_err(|finding| finding.evidence)?;
            let data = tokio::time::timeout(PATIENCE, store.catalog()).await;
            let data = data.map_err(|_| "the database did not answer in time".to_owned())?;
            let data = data.map_err(|error| error.to_string())?;
            let resolve =
                |source: &_| secret::reveal("api_key", source).map_err(|error| error.to_string());
            let snapshot = Snapshot::build(data.clone(), &resolve);
            Ok(Arc::new(Catalogue { data, snapshot }))
        };
        self.catalogue.get_or_init(|| read).await.clone()
    }

    /// The way to Globus Compute, where there is one.
    pub(super) async fn compute(&self) -> Result<Option<Compute>, String> {
        let start = async {
            serve::compute(&self.config, Cache::default()).map_err(|error| error.to_string())
        };
        self.compute.get_or_init(|| start).await.clone()
    }
}
