//! The backup that is put back, and all that is asked of it before anything else is touched.

use std::{path::PathBuf, process::Stdio, sync::Arc, thread};

use crate::{
    ops::backup::{
        BackupError, Backups,
        archive::{Identities, PartReader, check_stored},
        blocking,
        manifest::{Content, DatabaseFacts, Engine, Kind, Manifest, Part},
        meter::Meter,
        repository::{Repository, Stored},
        tools::{Running, Tools},
        verify::{Metered, feed},
    },
    store,
};

/// A good backup, with the keys that open it.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Source {
    pub(super) stored: Stored,
    pub(super) manifest: Manifest,
    pub(super) identities: Arc<Identities>,
    pub(super) tools: Tools,
    pub(super) meter: Arc<Meter>,
    repository: Repository,
}

impl Source {
    /// The name of the backup that is meant, which is in the directory afterwards; what is only
    /// off-site is brought here. No lock may be held.
    pub(in crate::ops) async fn locate(
        backups: &Backups,
        name: &str,
    ) -> Result<String, BackupError> {
        if name == "latest" {
            return backups.locate_latest().await;
        }
        Ok(backups.find_anywhere(name).await?.id)
    }

    /// The backup of this name, which is in the directory. A lock must be held.
    pub(in crate::ops) fn find(
        backups: &Backups,
        id: &str,
        identities: &[PathBuf],
    ) -> Result<Self, BackupError> {
        let repository = backups.repository();
        let stored = repository.find(id)?;
        let manifest = stored.state.clone().map_err(|why| {
            BackupError::Damaged(format!(
                "backup {id} cannot be used: {why}; `figw backup list` shows the good ones"
            ))
        })?;
        let paths = [&backups.config().backup.identities[..], identities].concat();
        Ok(Self {
            stored,
            manifest,
            identities: Arc::new(Identities::read(&paths)?),
            tools: backups.tools(),
            meter: Arc::clone(&backups.meter),
            repository: repository.clone(),
        })
    }

    /// What the backup says about itself.
    pub(in crate::ops) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) fn id(&self) -> &str {
        &self.manifest.id
    }

    /// The database in it.
    pub(in crate::ops) fn database(&self) -> Result<(&DatabaseFacts, &Part), BackupError> {
        let part = self.manifest.part(&[Content::PostgresqlDump, Content::SqliteFile]);
        match (&self.manifest.database, part) {
            (Some(facts), Some(part)) => Ok((facts, part)),
            _ if self.manifest.kind == Kind::Base => Err(BackupError::Invalid(format!(
                "backup {} is a physical one, for recovery to a point in time: --to-time",
                self.id()
            ))),
            _ => Err(BackupError::Invalid(format!(
                "backup {} has no database in it, only the configuration; unpack that with \
                 --config-to DIR",
                self.id()
            ))),
        }
    }

    /// The configuration in it.
    pub(super) fn configuration(&self) -> Result<&Part, BackupError> {
        self.manifest.part(&[Content::ConfigurationTar]).ok_or_else(|| {
            BackupError::Invalid(format!(
                "backup {} has no configuration in it, so there is nothing for --config-to; name \
                 one of kind complete or config",
                self.id()
            ))
        })
    }

    /// Whether this program can work with what is in the database.
    pub(in crate::ops) fn check_schema(&self) -> Result<(), BackupError> {
        let schema = self.manifest.database.as_ref().and_then(|facts| facts.schema.as_deref());
        match schema {
            Some(schema) if store::is_newer(schema) => Err(BackupError::failed(format!(
                "backup {} has the schema {schema}, which is newer than this figw knows; restore \
                 it with figw {} or newer",
                self.id(),
                self.manifest.figw
            ))),
            _ => Ok(()),
        }
    }

    /// Whether the part is what was stored, and one of the keys opens it. A damaged one is noted
    /// for every later command.
    pub(in crate::ops) async fn check_part(&self, part: &Part) -> Result<(), BackupError> {
        let (source, part) = (self.clone(), part.clone());
        blocking(move || {
            source.meter.begin("checking the backup", 0);
            // Without a key there is no need to read it all.
            let checked =
                source.open(&part).and_then(|_| check_stored(&source.stored.directory, &part));
            if let Err(BackupError::Damaged(why)) = &checked {
                source.repository.mark_broken(source.id(), why)?;
            }
            checked
        })
        .await
    }

    /// Opens a part.
    pub(super) fn open(&self, part: &Part) -> Result<Metered, BackupError> {
        let reader = PartReader::open(&self.stored.directory, part, &self.identities)?;
        Ok(Metered { reader, meter: Arc::clone(&self.meter) })
    }

    /// What `pg_restore` lists as the dump's contents: proof that this version of it can read the
    /// dump. Blocks.
    pub(super) fn list(&self, part: &Part) -> Result<String, BackupError> {
        let mut command = self.tools.command("pg_restore", None);
        command.arg("--list");
        let mut running = Running::start("pg_restore", command, Stdio::piped(), Stdio::piped())?;
        let broken = |error| BackupError::failed(format!("pg_restore: {error}"));
        let mut stdin = running.stdin().map_err(broken)?;
        let stdout = running.stdout().map_err(broken)?;
        let listing = thread::spawn(move || std::io::read_to_string(stdout));
        // It reads no further than the contents, which come first.
        feed(&mut self.open(part)?, &mut stdin)?;
        drop(stdin);
        let listing = listing.join().map_err(|_| BackupError::failed("reading the list failed"))?;
        running.finish()?;
        listing.map_err(broken)
    }

    /// The engine must be the backup's.
    pub(super) fn check_engine(&self, wanted: Engine, target: &str) -> Result<(), BackupError> {
        let (facts, _) = self.database()?;
        if facts.engine == wanted {
            return Ok(());
        }
        let name = |engine| match engine {
            Engine::Postgresql => ("PostgreSQL", "--into postgres://…"),
            Engine::Sqlite => ("SQLite", "--into sqlite:PATH"),
        };
        let ((from, remedy), (to, _)) = (name(facts.engine), name(wanted));
        Err(BackupError::Invalid(format!(
            "backup {} is of a {from} database, but {target} is {to}; name a {from} database with \
             {remedy}",
            self.id()
        )))
    }
}
