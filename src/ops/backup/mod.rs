//! Backups: made, verified, kept for as long as the policy says, and removed.

pub mod archive;
pub mod base;
mod configuration;
mod copy_lines;
pub mod dump;
pub mod error;
mod growth;
mod make;
pub mod manifest;
pub mod meter;
mod newest;
pub mod offsite;
pub mod repository;
pub mod retention;
pub mod sqlite;
pub mod tools;
pub mod verify;
pub mod wal;
mod watch;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;

use self::{
    archive::{Identities, Sealing},
    meter::Meter,
    repository::{Repository, Stored},
    retention::{Candidate, Verdict, judge},
    tools::Tools,
    verify::{Depth, Verifier},
    wal::{Need, WalArchive, WalName},
};
pub use self::{error::BackupError, make::Made};
use crate::{config::Config, ops::database, store::StoreOptions};

/// The backups of one configuration.
#[derive(Debug)]
pub struct Backups {
    config: Config,
    /// The configuration file, which is a part of backups.
    config_file: Option<PathBuf>,
    options: StoreOptions,
    repository: Repository,
    /// Told how far a long operation has come.
    pub meter: Arc<Meter>,
    lock_wait: Duration,
}

/// What retention has removed, or would.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The verdict on each backup, oldest first.
    pub verdicts: Vec<Verdict>,
    /// The archived WAL.
    pub wal: PrunedWal,
}

/// What retention has removed of the archived WAL, or would.
#[derive(Debug, Default, Serialize)]
pub struct PrunedWal {
    /// How many files.
    pub files: usize,
    /// The first segment that is still needed; none when all of them are.
    pub needed_from: Option<String>,
}

impl Backups {
    /// The backups in `backup.directory`, which need not exist yet. `lock_wait` is how long an
    /// operation waits for another run.
    ///
    /// # Errors
    /// When a secret of the database's URL cannot be read.
    pub fn new(
        config: Config,
        config_file: Option<&Path>,
        lock_wait: Duration,
    ) -> Result<Self, BackupError> {
        let options = database::options(&config)?;
        let repository = Repository::at(&config.backup.directory);
        let config_file = config_file.map(Path::to_owned);
        let meter = Arc::default();
        Ok(Self { config, config_file, options, repository, meter, lock_wait })
    }

    /// Backups in the same directory, but of another database.
    #[must_use]
    pub(in crate::ops) fn of_database(&self, options: StoreOptions) -> Self {
        Self {
            config: self.config.clone(),
            config_file: self.config_file.clone(),
            options,
            repository: self.repository.clone(),
            meter: Arc::clone(&self.meter),
            lock_wait: self.lock_wait,
        }
    }

    /// Where they are.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The archived WAL beside them.
    #[must_use]
    pub fn wal(&self) -> WalArchive {
        WalArchive::beside(self.repository.directory())
    }

    /// The file that the configuration was read from, if there was one.
    #[must_use]
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file.as_deref()
    }

    /// The configuration that they belong to.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How to reach the database that they are of.
    #[must_use]
    pub fn options(&self) -> &StoreOptions {
        &self.options
    }

    /// How long an operation waits for another run.
    #[must_use]
    pub fn lock_wait(&self) -> Duration {
        self.lock_wait
    }

    /// PostgreSQL's programs.
    #[must_use]
    pub fn tools(&self) -> Tools {
        Tools::new(self.config.backup.postgres_bin.as_deref())
    }

    /// How parts are written.
    ///
    /// # Errors
    /// When a public key cannot be read.
    pub fn sealing(&self) -> Result<Sealing, BackupError> {
        Sealing::new(self.config.backup.compression, &self.config.backup.encrypt_to)
    }

    /// What verifies backups, with the configured keys and these further ones.
    ///
    /// # Errors
    /// When a file with keys cannot be read.
    pub fn verifier(&self, identities: &[PathBuf]) -> Result<Verifier, BackupError> {
        let paths = [&self.config.backup.identities[..], identities].concat();
        Ok(Verifier {
            tools: self.tools(),
            identities: Arc::new(Identities::read(&paths)?),
            meter: Arc::clone(&self.meter),
            repository: self.repository.clone(),
        })
    }

    /// Verifies one backup, or all that are in the directory, oldest first.
    ///
    /// # Errors
    /// When another run holds the lock, or there is no backup of this name. What is wrong with a
    /// backup stands in its place of the answer.
    pub async fn verify(
        &self,
        id: Option<&str>,
        identities: &[PathBuf],
    ) -> Result<Vec<(Stored, Result<Depth, BackupError>)>, BackupError> {
        let verifier = self.verifier(identities)?;
        self.bring_for(id).await?;
        if !self.repository.directory().is_dir() {
            return Err(self.no_backups());
        }
        let _lock = self.repository.lock_shared(self.lock_wait).await?;
        let wanted = match id {
            Some("latest") => {
                let all = self.repository.list()?.into_iter();
                all.max_by_key(|stored| Candidate::from(stored).moment).into_iter().collect()
            }
            Some(id) => vec![self.repository.find(id)?],
            None => self.repository.list()?,
        };
        if wanted.is_empty() {
            return Err(self.no_backups());
        }
        blocking(move || {
            let found = wanted.into_iter().map(|stored| {
                let depth = verifier.verify(&stored);
                (stored, depth)
            });
            Ok(found.collect())
        })
        .await
    }

    /// Brings a backup that is off-site alone.
    async fn bring_for(&self, id: Option<&str>) -> Result<(), BackupError> {
        match id {
            Some("latest") => {
                let newest = self.repository.list()?.pop().map(|stored| {
                    let moment = Candidate::from(&stored).moment;
                    (moment, stored.id)
                });
                self.bring_newer(newest, |_| true).await?;
            }
            Some(id) if self.repository.find(id).is_err() => {
                self.find_anywhere(id).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Removes what the policy does not keep, and archived WAL that no base backup needs any
    /// more. A dry run removes nothing.
    ///
    /// # Errors
    /// When another run holds the lock, or something cannot be removed.
    pub async fn prune(&self, dry_run: bool) -> Result<Pruned, BackupError> {
        if !self.repository.directory().is_dir() {
            return Ok(Pruned::default());
        }
        if dry_run {
            return Ok(self.judge()?.0);
        }
        let _lock = self.repository.lock(self.lock_wait).await?;
        self.repository.sweep()?;
        self.prune_locked()
    }

    /// What would go, with the files of the archived WAL.
    fn judge(&self) -> Result<(Pruned, Vec<PathBuf>), BackupError> {
        let stored = self.repository.list()?;
        let candidates: Vec<_> = stored.iter().map(Candidate::from).collect();
        let verdicts = judge(&candidates, &self.config.backup.keep, Timestamp::now());
        let staying = stored.iter().zip(&verdicts).filter(|(_, verdict)| verdict.keep);
        let needed = wal::needed_from(staying.map(|(stored, _)| Need::from(stored)));
        let old = match &needed {
            Some(first) => self.wal().older_than(first)?,
            None => Vec::new(),
        };
        let wal =
            PrunedWal { files: old.len(), needed_from: needed.as_ref().map(WalName::to_string) };
        Ok((Pruned { verdicts, wal }, old))
    }

    fn prune_locked(&self) -> Result<Pruned, BackupError> {
        let (pruned, old) = self.judge()?;
        for verdict in pruned.verdicts.iter().filter(|verdict| !verdict.keep) {
            self.repository.remove(&verdict.id)?;
        }
        self.wal().remove(&old)?;
        Ok(pruned)
    }

    /// What to say when there is nothing to work on.
    #[must_use]
    pub fn no_backups(&self) -> BackupError {
        BackupError::failed(format!(
            "there are no backups in {}; make one with `figw backup`",
            self.repository.directory().display()
        ))
    }
}

/// Runs `work` on a thread that may block.
///
/// # Errors
/// Those of `work`.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(BackupError::failed(error.to_string())))
}
