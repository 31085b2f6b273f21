//! Making a backup: everything under a hidden name, verified, and only then given its own.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    BackupError, Backups, Pruned,
    archive::Sealing,
    blocking,
    configuration::Sources,
    dump::Server,
    manifest::{ConfigurationFacts, DatabaseFacts, FORMAT, Kind, Manifest, Part},
    offsite::{Patience, Place, Synced},
    repository::{Draft, Repository, Stored},
    sqlite,
};
use crate::{ops::database, store::Location};

/// What a run has done.
#[derive(Debug)]
pub struct Made {
    /// The backup.
    pub stored: Stored,
    /// What it says about itself.
    pub manifest: Manifest,
    /// What retention then removed.
    pub pruned: Pruned,
    /// What was done off-site; none when there is no place for copies.
    pub offsite: Result<Option<Synced>, BackupError>,
    /// Hidden names of what interrupted runs had left, now removed.
    pub swept: Vec<String>,
}

/// The database in a backup.
type DatabasePart = (DatabaseFacts, Part, Timestamp);

impl Backups {
    /// Makes a backup, verifies it, and applies retention.
    ///
    /// # Errors
    /// When another run holds the lock, or anything goes wrong; then nothing of the backup stays,
    /// and no other one is touched.
    pub async fn make(&self, kind: Kind) -> Result<Made, BackupError> {
        let sealing = self.sealing()?;
        let place = self.place(Patience::Transfer)?;
        if kind.has_configuration() {
            Sources::check(&self.config)?;
        }
        let repository = Repository::create(self.repository.directory())?;
        let _lock = repository.lock(self.lock_wait).await?;
        let swept = repository.sweep()?;
        let (stored, manifest) = self.make_locked(kind, &sealing).await?;
        let (offsite, pruned) = self.copy_and_prune(place.as_ref(), &stored).await?;
        Ok(Made { stored, manifest, pruned, offsite, swept })
    }

    /// Copies off-site what belongs there, then applies retention here. As long as copies fail,
    /// nothing is removed: it may be what the other place still lacks. The exclusive lock must be
    /// held.
    pub(super) async fn copy_and_prune(
        &self,
        place: Option<&Place>,
        stored: &Stored,
    ) -> Result<(Result<Option<Synced>, BackupError>, Pruned), BackupError> {
        let offsite = self.copy_offsite(place, stored).await;
        let pruned = if offsite.is_ok() { self.prune_locked() } else { Ok(Pruned::default()) };
        let pruned = pruned.map_err(|error| {
            BackupError::failed(format!("backup {} is made and good, but then: {error}", stored.id))
        })?;
        Ok((offsite, pruned))
    }

    /// Makes and verifies a backup. The exclusive lock must be held.
    ///
    /// # Errors
    /// As [`Backups::make`].
    pub(in crate::ops) async fn make_locked(
        &self,
        kind: Kind,
        sealing: &Sealing,
    ) -> Result<(Stored, Manifest), BackupError> {
        self.make_before(None, kind, sealing).await
    }

    /// Backs up a database that the backup `restored` is about to replace. The exclusive lock
    /// must be held.
    ///
    /// # Errors
    /// As [`Backups::make`].
    pub(in crate::ops) async fn make_safety(
        &self,
        restored: &str,
    ) -> Result<(Stored, Manifest), BackupError> {
        self.make_before(Some(restored.to_owned()), Kind::Database, &self.sealing()?).await
    }

    async fn make_before(
        &self,
        before_restore_of: Option<String>,
        kind: Kind,
        sealing: &Sealing,
    ) -> Result<(Stored, Manifest), BackupError> {
        let started_at = Timestamp::now();
        let draft = Arc::new(self.repository.begin(started_at)?);
        let database =
            if kind.has_database() { Some(self.dump(sealing, &draft).await?) } else { None };
        let configuration = if kind.has_configuration() {
            Some(self.archive_configuration(sealing, &draft).await?)
        } else {
            None
        };
        let moment = database.as_ref().map_or(started_at, |(.., moment)| *moment);
        let (database, database_part) = database.map(|(facts, part, _)| (facts, part)).unzip();
        let (configuration, configuration_part) = configuration.unzip();
        let manifest = Manifest {
            format: FORMAT,
            id: draft.id.clone(),
            kind,
            figw: env!("CARGO_PKG_VERSION").to_owned(),
            started_at,
            moment,
            finished_at: Timestamp::now(),
            database,
            configuration,
            base: None,
            encrypted_to: self.config.backup.encrypt_to.clone(),
            before_restore_of,
            parts: database_part.into_iter().chain(configuration_part).collect(),
        };
        self.commit(draft, manifest).await
    }

    /// Gives a backup whose parts are verified its name.
    pub(super) async fn commit(
        &self,
        draft: Arc<Draft>,
        manifest: Manifest,
    ) -> Result<(Stored, Manifest), BackupError> {
        blocking(move || {
            let manifest = Manifest { finished_at: Timestamp::now(), ..manifest };
            let draft = Arc::into_inner(draft)
                .ok_or_else(|| BackupError::failed("the backup is still being written"))?;
            Ok((draft.commit(&manifest)?, manifest))
        })
        .await
    }

    async fn dump(
        &self,
        sealing: &Sealing,
        draft: &Arc<Draft>,
    ) -> Result<DatabasePart, BackupError> {
        match self.options.migration_location()? {
            Location::Postgres(url) => {
                // Under a name of its own, so that nobody takes it for a gateway's session.
                let url = url.named("figw backup");
                let server = Server::connect(&url, &self.options).await?;
                server.dump(&self.verifier(&[])?, sealing, draft).await
            }
            Location::Sqlite(path) => {
                let (sealing, draft) = (sealing.clone(), Arc::clone(draft));
                let verifier = self.verifier(&[])?;
                blocking(move || sqlite::dump(&path, &sealing, &draft, &verifier)).await
            }
        }
    }

    async fn archive_configuration(
        &self,
        sealing: &Sealing,
        draft: &Arc<Draft>,
    ) -> Result<(ConfigurationFacts, Part), BackupError> {
        self.meter.begin("archiving the configuration", 0);
        let catalogue = match database::open(&self.options).await {
            Ok(store) => store.catalog().await,
            Err(error) => Err(error),
        };
        let catalogue = catalogue.map_err(|error| error.to_string());
        let (config, file) = (self.config.clone(), self.config_file.clone());
        let (sealing, draft) = (sealing.clone(), Arc::clone(draft));
        let verifier = self.verifier(&[])?;
        blocking(move || {
            let sources = Sources { config: &config, file: file.as_deref(), catalogue };
            sources.archive(&sealing, &draft, &verifier)
        })
        .await
    }
}
