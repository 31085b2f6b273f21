//! The parts that are opened before anything is started.

use std::sync::Arc;

use anyhow::Context as _;
use secrecy::SecretString;

use super::{ServeError, listeners::Listeners, logins, takeover::Predecessor};
use crate::{
    auth::globus::Logins,
    cache::Cache,
    catalog::{self, Catalog, Snapshot, snapshot::ResolveSecret},
    config::{Config, secret},
    ops::database,
    store::{Reader, Store, StoreError},
};

/// What is there before anything is started: it may take long, or be refused, and then there is
/// nothing to undo.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) reader: Reader,
    pub(super) resolve: Arc<ResolveSecret<'static>>,
    pub(super) catalog: Arc<Catalog>,
    pub(super) cache: Cache,
    pub(super) logins: Option<Logins>,
    pub(super) listeners: Listeners,
    pub(super) predecessor: Option<Predecessor>,
}

impl Opened {
    /// Opens all of it.
    ///
    /// # Errors
    /// What keeps the gateway from starting.
    pub(super) async fn open(
        config: &Config,
        store: Option<Arc<dyn Store>>,
        take_over: bool,
    ) -> Result<Self, ServeError> {
        let (store, reader) = open_store(store, config).await?;
        let resolve: Arc<ResolveSecret<'static>> = Arc::new(resolve_secret);
        let snapshot =
            catalog::watch::load(&*store, &*resolve).await.context("cannot read the catalogue")?;
        refuse_without_callers(config, &snapshot)?;
        let catalog = Arc::new(Catalog::new(snapshot));
        let cache = logins::cache(config)?;
        let logins = logins::logins(config, cache.clone()).await?;
        let (listeners, predecessor) = Listeners::get(config, take_over).await?;
        Ok(Self { store, reader, resolve, catalog, cache, logins, listeners, predecessor })
    }
}

fn refuse_without_callers(config: &Config, snapshot: &Snapshot) -> Result<(), ServeError> {
    if snapshot.key_count() > 0 || config.auth.globus.application_id.is_some() {
        return Ok(());
    }
    Err(ServeError::Configuration(
        "nobody could be let in: there is no API key, and auth.globus is not set up; make one with `figw key create --name NAME --user USER`"
            .to_owned(),
    ))
}

async fn open_store(
    open: Option<Arc<dyn Store>>,
    config: &Config,
) -> Result<(Arc<dyn Store>, Reader), ServeError> {
    if let Some(store) = open {
        return Ok((Arc::clone(&store), Reader::without_replicas(store)));
    }
    let options =
        database::options(config).map_err(|error| ServeError::Configuration(error.to_string()))?;
    let failed = |error| match error {
        StoreError::Invalid(message) => ServeError::Configuration(message),
        error => ServeError::Failed(error.into()),
    };
    let store = database::open(&options).await.map_err(failed)?;
    let reader = Reader::open(&options, Arc::clone(&store)).map_err(failed)?;
    Ok((store, reader))
}

fn resolve_secret(source: &crate::domain::SecretSource) -> Result<SecretString, String> {
    secret::reveal("api_key", source).map_err(|error| error.to_string())
}
