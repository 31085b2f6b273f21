//! `figw restore`: all that can be checked is checked before anything is touched, and what is
//! touched changes at one moment, or not at all.

mod configuration;
mod gateways;
pub(super) mod postgres;
mod script;
mod source;
pub(super) mod sqlite;
mod target;
mod things;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Instant,
};

use secrecy::SecretString;
use serde::Serialize;

pub(super) use self::{source::Source, target::Target};
use super::backup::{
    BackupError, Backups, blocking,
    manifest::{Kind, Part},
};
use crate::store::{self, Location, StoreOptions};

/// What is to be put back, and where.
#[derive(Debug, Clone)]
pub struct Order {
    /// The backup's name, or `latest`.
    pub id: String,
    /// The URL of the database, when it is not the configuration's own.
    pub into: Option<SecretString>,
    /// Whether what is in the database may go.
    pub replace: bool,
    /// Whether what goes is backed up before.
    pub safety_backup: bool,
    /// Where the configuration is unpacked.
    pub config_to: Option<PathBuf>,
    /// Files with keys, besides those of the configuration.
    pub identities: Vec<PathBuf>,
}

/// What a restore has done.
#[derive(Debug, Serialize)]
pub struct Restored {
    /// The backup.
    pub id: String,
    /// The database, without its password; none when only the configuration was unpacked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// Rows of each table, counted in the restored database.
    pub tables: BTreeMap<String, u64>,
    /// How long it took.
    pub seconds: f64,
    /// The backup of what was in the database before.
    pub safety_backup: Option<String>,
    /// The newest migration that the restored database has seen.
    pub schema: Option<String>,
    /// Where the configuration is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_to: Option<PathBuf>,
    /// What was damaged, and where it is now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub set_aside: Vec<PathBuf>,
    /// What is left to do.
    pub hints: Vec<String>,
}

/// A restore whose every check has passed. Other runs may work on the backups while its operator
/// makes up his mind.
#[derive(Debug)]
pub struct Prepared<'a> {
    backups: &'a Backups,
    order: Order,
    source: Source,
    target: Option<Target>,
    hints: Vec<String>,
}

/// Checks everything that can be checked, and changes nothing.
///
/// # Errors
/// [`BackupError::Busy`] while another run works on the backups; otherwise what speaks against it.
pub async fn prepare(backups: &Backups, mut order: Order) -> Result<Prepared<'_>, BackupError> {
    let id = Source::locate(backups, &order.id).await?;
    let _lock = backups.repository().lock(backups.lock_wait()).await?;
    let source = Source::find(backups, &id, &order.identities)?;
    let mut hints = Vec::new();
    if let Some(directory) = &mut order.config_to {
        let part = source.configuration()?;
        *directory = configuration::check(directory)?;
        source.check_part(part).await?;
    }
    let only_configuration = source.manifest.kind == Kind::Config && order.config_to.is_some();
    let target = if only_configuration {
        None
    } else {
        let (_, part) = source.database()?;
        source.check_schema()?;
        let options = target_options(backups, &order);
        let target = Target::look(place(&options, &order)?, &options).await?;
        target.check(&source)?;
        if !order.replace {
            target.must_be_empty("give --replace to put the backup in its place")?;
        }
        source.check_part(part).await?;
        hints.extend(target.look_through(&source).await?);
        Some(target)
    };
    Ok(Prepared { backups, order, source, target, hints })
}

/// How to reach the database that is to be filled.
fn target_options(backups: &Backups, order: &Order) -> StoreOptions {
    match &order.into {
        None => backups.options().clone(),
        Some(url) => {
            StoreOptions { url: url.clone(), migration_url: None, ..backups.options().clone() }
        }
    }
}

fn place(options: &StoreOptions, order: &Order) -> Result<Location, BackupError> {
    match &order.into {
        None => Ok(options.migration_location()?),
        Some(url) => Ok(Location::parse(url, "--into")?),
    }
}

impl Prepared<'_> {
    /// The backup's name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.source.id()
    }

    /// What a person must agree to; none when nothing is lost.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        let target = self.target.as_ref()?;
        target.content()?;
        let safety = match (target, self.order.safety_backup) {
            (Target::Sqlite(file), _) if file.is_damaged() => " It is damaged and is set aside.",
            (_, true) => " It is backed up before.",
            (_, false) => " It is NOT backed up before.",
        };
        Some(format!(
            "Replace everything in {} by the backup {} of {}?{safety}",
            target.describe(),
            self.id(),
            self.source.manifest.moment
        ))
    }

    /// Puts the backup back. `tell` is told at once what its operator must know even if the rest
    /// fails.
    ///
    /// # Errors
    /// Why it was not done; the message says in which state the database is.
    pub async fn run(mut self, tell: &(dyn Fn(&str) + Sync)) -> Result<Restored, BackupError> {
        let _lock = self.backups.repository().lock(self.backups.lock_wait()).await?;
        // Another run may have removed it, or found it broken.
        self.source = Source::find(self.backups, self.id(), &self.order.identities)?;
        let since = Instant::now();
        let mut restored = Restored {
            id: self.id().to_owned(),
            into: None,
            tables: BTreeMap::new(),
            seconds: 0.0,
            safety_backup: None,
            schema: None,
            config_to: None,
            set_aside: Vec::new(),
            hints: std::mem::take(&mut self.hints),
        };
        if let Some(directory) = self.order.config_to.clone() {
            self.unpack_configuration(&directory).await?;
            restored.config_to = Some(directory);
        } else if self.source.manifest.kind == Kind::Complete {
            restored.hints.push(
                "the backup holds the configuration, too; --config-to DIR unpacks it".to_owned(),
            );
        }
        match self.target.clone() {
            Some(Target::Postgres(target)) => {
                self.fill_postgres(&target, tell, &mut restored).await?;
            }
            Some(Target::Sqlite(target)) => self.fill_sqlite(target, tell, &mut restored).await?,
            None => {}
        }
        if let Some(target) = &self.target {
            restored.into = Some(target.describe());
            let facts = self.source.manifest.database.as_ref();
            restored.schema = facts.and_then(|facts| facts.schema.clone());
            if restored.schema.as_deref().is_none_or(store::is_older) {
                restored.hints.push(
                    "the backup's schema is older than this figw's: run `figw migrate`".to_owned(),
                );
            }
        }
        restored.seconds = since.elapsed().as_secs_f64();
        Ok(restored)
    }

    async fn unpack_configuration(&self, directory: &Path) -> Result<(), BackupError> {
        let part: Part = self.source.configuration()?.clone();
        let (source, directory) = (self.source.clone(), directory.to_owned());
        blocking(move || configuration::unpack(&source, &part, &directory)).await
    }

    async fn fill_postgres(
        &self,
        target: &postgres::Target,
        tell: &(dyn Fn(&str) + Sync),
        restored: &mut Restored,
    ) -> Result<(), BackupError> {
        if target.content().is_some() {
            let instances = self.instances().await?;
            for instance in &instances {
                instance.must_be_drained()?;
            }
            let drained = gateways::Places::of(&instances).await;
            target.must_have_no_gateways(&drained).await?;
            if !instances.is_empty() {
                restored
                    .hints
                    .push("put the drained gateways back: curl -X POST …/admin/undrain".to_owned());
            }
            restored.safety_backup = self.make_safety_backup(tell).await?;
        }
        restored.tables = target.fill(&self.source).await?;
        Ok(())
    }

    async fn fill_sqlite(
        &self,
        target: sqlite::Target,
        tell: &(dyn Fn(&str) + Sync),
        restored: &mut Restored,
    ) -> Result<(), BackupError> {
        for instance in self.instances().await? {
            instance.must_be_stopped()?;
        }
        let place = target.clone();
        let mut hold = blocking(move || place.hold()).await?;
        if !hold.set_aside && target.content().is_some() {
            match self.make_safety_backup(tell).await {
                Ok(made) => restored.safety_backup = made,
                // What cannot be backed up is kept as it is.
                Err(BackupError::Damaged(_)) => hold.set_aside = true,
                Err(other) => return Err(other),
            }
        }
        let source = self.source.clone();
        let filled = blocking(move || target.fill(&source, hold)).await?;
        if !filled.set_aside.is_empty() {
            let paths = filled.set_aside.iter().map(|path| path.display().to_string());
            restored.hints.push(format!(
                "what was there could not be read, and was set aside: {}",
                paths.collect::<Vec<_>>().join(", ")
            ));
        }
        restored.tables = filled.tables;
        restored.set_aside = filled.set_aside;
        Ok(())
    }

    /// The gateways that answer, when the target is their database.
    async fn instances(&self) -> Result<Vec<gateways::Instance>, BackupError> {
        if self.is_gateways_database()? {
            gateways::ask(self.backups.config()).await
        } else {
            Ok(Vec::new())
        }
    }

    fn is_gateways_database(&self) -> Result<bool, BackupError> {
        if self.order.into.is_none() {
            return Ok(true);
        }
        let own = self.backups.options().migration_location()?;
        let into = place(self.backups.options(), &self.order)?;
        Ok(match (own, into) {
            (Location::Sqlite(own), Location::Sqlite(into)) => {
                into == own
                    || matches!((into.canonicalize(), own.canonicalize()), (Ok(a), Ok(b)) if a == b)
            }
            (Location::Postgres(own), Location::Postgres(into)) => own.is_same_database(&into),
            _ => false,
        })
    }

    /// Backs up what is about to be replaced, unless that was declined.
    async fn make_safety_backup(
        &self,
        tell: &(dyn Fn(&str) + Sync),
    ) -> Result<Option<String>, BackupError> {
        if !self.order.safety_backup {
            return Ok(None);
        }
        let of_target = self.backups.of_database(target_options(self.backups, &self.order));
        let made = of_target.make_safety(self.id()).await;
        let (stored, _) = made.map_err(|error| {
            let message = format!(
                "the safety backup failed, and nothing was changed: {error}; --no-safety-backup \
                 goes on without"
            );
            match error {
                BackupError::Damaged(_) => BackupError::Damaged(message),
                _ => BackupError::failed(message),
            }
        })?;
        tell(&format!("what was there is backed up as {}", stored.id));
        Ok(Some(stored.id))
    }
}

/// A hidden name beside the file, of the same file system.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(ending);
    path.with_file_name(name)
}
