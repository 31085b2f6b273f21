//! Point-in-time recovery: a base backup laid out as a data directory that PostgreSQL brings to a
//! moment by itself, with WAL from the archive.

mod choose;
mod place;
mod settings;
mod unpack;

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, lchown},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Instant, SystemTime},
};

use jiff::{Timestamp, Unit};
use serde::Serialize;

use self::{
    choose::Choice,
    place::Place,
    settings::{Fetching, auto_conf},
};
use super::{
    anew::create_anew,
    backup::{
        BackupError, Backups, blocking,
        manifest::{BaseFacts, Content, Manifest},
        repository::Stored,
        tools::{Running, Tools},
        verify::Verifier,
        wal::{Reach, WalName},
    },
};

/// The program that compares a data directory with its manifest.
const VERIFIER: &str = "pg_verifybackup";

/// What is to be recovered.
#[derive(Debug, Clone)]
pub struct Order {
    /// The base backup, or `latest`: the newest one that had ended by then.
    pub id: String,
    /// The moment to recover to.
    pub to_time: Timestamp,
    /// The timeline to recover along; none for the newest that the archive knows of.
    pub timeline: Option<u32>,
    /// The data directory, which must be missing or empty.
    pub into: PathBuf,
    /// Files with keys of age, besides those of the configuration.
    pub identities: Vec<PathBuf>,
    /// The program that PostgreSQL is to fetch WAL with.
    pub figw: PathBuf,
}

/// A data directory that is ready to start and recover.
#[derive(Debug, Serialize)]
pub struct LaidOut {
    /// The base backup.
    pub id: String,
    /// The data directory.
    pub into: PathBuf,
    /// The moment that it recovers to.
    pub target_time: Timestamp,
    /// Major version of PostgreSQL that must start it.
    pub major: u32,
    /// The timeline that it recovers along.
    pub timeline: u32,
    /// The first WAL segment that recovery asks for.
    pub start_wal: String,
    /// How long it took.
    pub seconds: f64,
    /// The program to start it with.
    pub pg_ctl: PathBuf,
    /// Whether the server's configuration is in it; Debian keeps it elsewhere.
    pub has_configuration: bool,
    /// Whether nothing was archived after the moment, so that recovery may not find it.
    pub is_after_archive: bool,
}

impl Backups {
    /// Lays out a data directory for recovery to a moment.
    ///
    /// # Errors
    /// When no base backup fits, the archive is away, another cluster's or breaks off before the
    /// moment, the backup is damaged or cannot be opened, or the directory is in use. Then the directory is as it was before.
    pub async fn lay_out(&self, order: Order) -> Result<LaidOut, BackupError> {
        let since = Instant::now();
        if order.to_time > Timestamp::now() {
            return Err(BackupError::Invalid(format!(
                "--to-time {} lies in the future; give a moment that has been",
                order.to_time
            )));
        }
        let restore_command = self.restore_command(&order)?;
        let verifier = self.verifier(&order.identities)?;
        let survey = self.survey_wal().await?;
        let Choice { stored, manifest, base, lineage } = self.choose(&order, &survey).await?;
        let _lock = self.repository().lock_shared(self.lock_wait()).await?;
        self.check_cluster(&base)?;
        let reach = survey.reach(&base, &lineage);
        let to_time = SystemTime::from(order.to_time);
        if let Some(missing) = reach.missing_for(to_time) {
            return Err(self.broken_off(&stored.id, &reach, missing));
        }
        let programs = Programs::of(self, base.major);
        let work = Work { stored, manifest, base, verifier, tools: programs.tools.clone() };
        let (order, work, into) = blocking(move || {
            let into = work.lay_out(&order, &restore_command)?;
            Ok((order, work, into))
        })
        .await?;
        Ok(LaidOut {
            has_configuration: into.join("postgresql.conf").exists(),
            is_after_archive: reach.until.is_none_or(|until| until < to_time),
            timeline: lineage.timeline(),
            id: work.stored.id,
            into,
            target_time: order.to_time,
            major: work.base.major,
            start_wal: work.base.start_wal,
            seconds: since.elapsed().as_secs_f64(),
            pg_ctl: programs.pg_ctl(),
        })
    }

    /// PostgreSQL runs it in the data directory, with an environment of its own.
    fn restore_command(&self, order: &Order) -> Result<String, BackupError> {
        let keys = self.config().backup.identities.iter();
        let directory = self.repository().directory();
        for (key, path) in std::iter::once(("backup.directory", directory))
            .chain(keys.map(|path| ("backup.identities", path.as_path())))
        {
            if path.is_relative() {
                return Err(BackupError::Invalid(format!(
                    "{key} is the relative path {}; PostgreSQL fetches WAL with figw from another \
                     directory, so write an absolute one",
                    path.display()
                )));
            }
        }
        let absolute =
            |path: &Path| std::path::absolute(path).map_err(|e| BackupError::io("read", path, &e));
        let config = self.config_file().map(absolute).transpose()?;
        let identities: Result<Vec<_>, _> =
            order.identities.iter().map(|path| absolute(path)).collect();
        let fetching =
            Fetching { figw: &order.figw, config: config.as_deref(), identities: &identities? };
        fetching.command()
    }

    /// Recovery needs WAL of the same cluster.
    fn check_cluster(&self, base: &BaseFacts) -> Result<(), BackupError> {
        let archive = self.wal();
        match archive.system_identifier()? {
            Some(known) if known != base.system_identifier => Err(BackupError::failed(format!(
                "{} holds WAL of the PostgreSQL cluster {known}, but the base backup is of {}; \
                 bring back the archive that belongs to it",
                archive.directory().display(),
                base.system_identifier
            ))),
            _ => Ok(()),
        }
    }

    /// What to say when the log breaks off before the moment.
    fn broken_off(&self, id: &str, reach: &Reach, missing: &WalName) -> BackupError {
        let directory = self.wal().directory().display().to_string();
        let place = match &self.config().backup.offsite_url {
            Some(_) => format!("neither in {directory} nor off-site"),
            None => format!("not in {directory}"),
        };
        let until = reach.until.and_then(|until| Timestamp::try_from(until).ok());
        let until = match until.and_then(|until| until.round(Unit::Second).ok()) {
            Some(until) => format!("--to-time can be until about {until}"),
            None => "nothing after its end can be recovered with it".to_owned(),
        };
        BackupError::failed(format!(
            "the WAL segment {missing} is {place}, where recovery from backup {id} would break off: \
             {until}, unless the segment comes back or a base backup was made after it"
        ))
    }
}

/// PostgreSQL's programs of one version.
#[derive(Debug)]
struct Programs {
    tools: Tools,
    directory: Option<PathBuf>,
}

impl Programs {
    /// Those of `backup.postgres_bin`, or else where packages put them, off the search path.
    fn of(backups: &Backups, major: u32) -> Self {
        let configured = backups.config().backup.postgres_bin.clone();
        let usual = [format!("/usr/lib/postgresql/{major}/bin"), format!("/usr/pgsql-{major}/bin")];
        let directory =
            configured.or_else(|| usual.into_iter().map(PathBuf::from).find(|path| path.is_dir()));
        Self { tools: Tools::new(directory.as_deref()), directory }
    }

    fn pg_ctl(&self) -> PathBuf {
        self.directory.clone().unwrap_or_default().join("pg_ctl")
    }
}

/// Everything that laying out takes.
struct Work {
    stored: Stored,
    manifest: Manifest,
    base: BaseFacts,
    verifier: Verifier,
    tools: Tools,
}

impl Work {
    fn lay_out(&self, order: &Order, restore_command: &str) -> Result<PathBuf, BackupError> {
        let place = Place::begin(&order.into)?;
        self.unpack(&place)?;
        self.verify(&place)?;
        prepare(&place, restore_command, order)?;
        place.commit()
    }

    fn unpack(&self, place: &Place) -> Result<(), BackupError> {
        let part = self.manifest.part(&[Content::PostgresqlBaseTar]).ok_or_else(|| {
            BackupError::Damaged(format!("backup {} has no archive", self.stored.id))
        })?;
        self.verifier.meter.begin(format!("unpacking {}", self.stored.id), part.content_bytes);
        let mut reader = self.verifier.open(&self.stored.directory, part)?;
        let unpacked = unpack::unpack(&mut reader, place.path(), place.is_roots()?);
        let refused = unpacked.map_err(|error| match error.kind() {
            // What the layers of the archive report, and not the disk.
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::Other => reader.damaged(&with_causes(&error)),
            _ => BackupError::failed(format!("cannot unpack the backup: {}", with_causes(&error))),
        })?;
        if let Some(path) = refused {
            return Err(BackupError::Damaged(format!(
                "backup {}: its archive holds {}, which is neither a file nor a directory in the \
                 data directory; figw does not make such backups, so use another one",
                self.stored.id,
                path.display()
            )));
        }
        reader.finish(part)
    }

    /// PostgreSQL's own checksums of every file, when its program for that is there.
    fn verify(&self, place: &Place) -> Result<(), BackupError> {
        if let Err(error) = self.tools.require(VERIFIER, self.base.major) {
            tracing::info!("the files are not checked once more: {error}");
            return Ok(());
        }
        self.verifier.meter.begin("verifying every file", 0);
        let mut command = self.tools.command(VERIFIER, None);
        command.arg("--no-parse-wal").arg("--quiet").arg(place.path());
        let running = Running::start(VERIFIER, command, Stdio::null(), Stdio::null())?;
        running.finish().map_err(|error| BackupError::Damaged(error.to_string()))
    }
}

/// Makes the unpacked backup a server that recovers when it is started.
fn prepare(place: &Place, restore_command: &str, order: &Order) -> Result<(), BackupError> {
    let file = |name: &str| place.path().join(name);
    let conf = file("postgresql.auto.conf");
    let before = match fs::read_to_string(&conf) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.map_err(|e| BackupError::io("read", &conf, &e))?,
    };
    let write = |path: &Path, text: &str| {
        create_anew(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| BackupError::io("write", path, &e))
    };
    write(&conf, &auto_conf(&before, restore_command, order.to_time, order.timeline))?;
    let signal = file("recovery.signal");
    write(&signal, "")?;
    // The backup of a standby would follow its old primary instead of recovering.
    match fs::remove_file(file("standby.signal")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BackupError::io("remove", &file("standby.signal"), &error));
        }
        _ => {}
    }
    if place.is_roots()? {
        let owner = file("PG_VERSION");
        let owner = owner.symlink_metadata().map_err(|e| BackupError::io("read", &owner, &e))?;
        // pg_basebackup itself adds the manifest to the archive, and makes up an owner.
        for path in [&conf, &signal, &file("backup_manifest"), place.path()] {
            lchown(path, Some(owner.uid()), Some(owner.gid()))
                .map_err(|e| BackupError::io("write", path, &e))?;
        }
    }
    Ok(())
}

/// An error with what caused it, on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let first = Some(error);
    let chain = std::iter::successors(first, |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
