//! `figw backup drill`: the newest backup put into a scratch database, by the clock.

mod scratch;

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::PathBuf,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use self::scratch::Scratch;
use super::{
    backup::{
        BackupError, Backups,
        repository::{Repository, write_synced},
    },
    restore::Source,
};
use crate::{
    config::Objectives,
    store::{self, Location, SchemaState, StoreOptions},
};

/// Where the newest drill's report is, in the directory of backups.
const REPORT: &str = "drill.json";

/// What a drill found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DrillReport {
    /// Whether the backup could be restored, within the objectives.
    pub ok: bool,
    /// The backup; none when there is no good one.
    pub id: Option<String>,
    /// The database that it is of; none in reports of figw before it told databases apart.
    #[serde(default)]
    pub database: Option<String>,
    /// When the drill began.
    pub started_at: Timestamp,
    /// Recovery time: seconds from the beginning until the database could be used. None when it
    /// never could.
    pub recovery_time_seconds: Option<f64>,
    /// Recovery point: age of the state in the backup when the drill began, in seconds.
    pub recovery_point_seconds: Option<f64>,
    /// What both were held against.
    pub objectives: ObjectiveSeconds,
    /// Rows of each table, counted in the restored database.
    pub tables: BTreeMap<String, u64>,
    /// Why it is not `ok`.
    pub reason: Option<String>,
}

/// `backup.objectives` in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveSeconds {
    /// The longest time that a recovery may take.
    pub rto_seconds: f64,
    /// The most time that may be lost.
    pub rpo_seconds: f64,
}

impl From<&Objectives> for ObjectiveSeconds {
    fn from(objectives: &Objectives) -> Self {
        Self {
            rto_seconds: Duration::as_secs_f64(&objectives.rto),
            rpo_seconds: Duration::as_secs_f64(&objectives.rpo),
        }
    }
}

/// What the newest drill found; none when there has never been one.
///
/// # Errors
/// When the report cannot be read.
pub fn last(repository: &Repository) -> Result<Option<DrillReport>, BackupError> {
    let path = repository.directory().join(REPORT);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| BackupError::io("read", &path, &error))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        BackupError::failed(format!(
            "{} cannot be read: {error}; `figw backup drill` writes it anew",
            path.display()
        ))
    })
}

/// Restores the newest backup into a scratch database, which is removed afterwards, and keeps the
/// report for [`last`].
///
/// # Errors
/// [`BackupError::Busy`] while another run changes the backups, [`BackupError::Invalid`] on wrong
/// usage, and when there are no backups. What else goes wrong stands in the report.
pub async fn run(
    backups: &Backups,
    into: Option<&SecretString>,
    identities: &[PathBuf],
) -> Result<DrillReport, BackupError> {
    let (started_at, since) = (Timestamp::now(), Instant::now());
    let id = Source::locate(backups, "latest").await;
    let bringing = since.elapsed();
    if !backups.repository().directory().is_dir() {
        return Err(id.err().unwrap_or_else(|| backups.no_backups()));
    }
    let _lock = backups.repository().lock_shared(backups.lock_wait()).await?;
    // A drill that should not have been begun says nothing about the backups.
    let is_before_all = || -> Result<bool, BackupError> {
        Ok(backups.repository().list()?.is_empty() && last(backups.repository())?.is_none())
    };
    let id = match id {
        Err(error) if is_before_all()? => return Err(error),
        id => id,
    };
    let objectives = &backups.config().backup.objectives;
    let mut report = DrillReport {
        ok: false,
        id: None,
        database: None,
        started_at,
        recovery_time_seconds: None,
        recovery_point_seconds: None,
        objectives: objectives.into(),
        tables: BTreeMap::new(),
        reason: None,
    };
    let recovered = match id {
        Ok(id) => recover(backups, &id, into, identities, &mut report).await,
        Err(error) => Err(error),
    };
    match recovered {
        Ok(took) => {
            // Waiting for another run is no part of a recovery, but bringing the backup here is.
            report.recovery_time_seconds = Some((bringing + took).as_secs_f64());
            report.reason = missed(&report, objectives);
        }
        Err(error @ (BackupError::Invalid(_) | BackupError::Busy { .. })) => return Err(error),
        Err(error) => report.reason = Some(error.to_string()),
    }
    report.ok = report.reason.is_none();
    keep(backups.repository(), &report)?;
    Ok(report)
}

/// Restores, proves, and removes; notes in the report what it has found so far. Returns the time
/// until the database could be used.
async fn recover(
    backups: &Backups,
    id: &str,
    into: Option<&SecretString>,
    identities: &[PathBuf],
    report: &mut DrillReport,
) -> Result<Duration, BackupError> {
    let since = Instant::now();
    let source = Source::find(backups, id, identities)?;
    let manifest = source.manifest();
    report.id = Some(manifest.id.clone());
    let age = report.started_at.duration_since(manifest.moment).as_secs_f64();
    report.recovery_point_seconds = Some(age.max(0.0));
    let (facts, part) = source.database()?;
    report.database = Some(facts.identity.clone());
    source.check_schema()?;
    source.check_part(part).await?;
    let scratch = Scratch::make(backups, &source, into).await?;
    let filled = fill(backups, &source, &scratch).await;
    let proved = match &filled {
        Ok(_) => try_out(scratch.location(), backups.options()).await,
        Err(_) => Ok(()),
    };
    let took = since.elapsed();
    // What could not be filled may hold somebody else's data by now.
    let removed = if filled.is_ok() || scratch.is_own() { scratch.remove().await } else { Ok(()) };
    report.tables = filled?;
    proved?;
    removed.map(|()| took)
}

async fn fill(
    backups: &Backups,
    source: &Source,
    scratch: &Scratch,
) -> Result<BTreeMap<String, u64>, BackupError> {
    let target = scratch.target(backups.options()).await?;
    target.check(source)?;
    target.look_through(source).await?;
    target.fill(source).await
}

/// Reads from it as a gateway would: the catalogue first. An older schema is migrated before that.
async fn try_out(location: Location, options: &StoreOptions) -> Result<(), BackupError> {
    let options = StoreOptions { max_connections: 1, ..options.clone() };
    let store = store::open_location(location, &options).await?;
    match store.schema_state().await? {
        SchemaState::Current => store.catalog().await.map(drop).map_err(Into::into),
        SchemaState::Behind { .. } => Ok(()),
        state => Err(BackupError::failed(format!("the restored database: {state}"))),
    }
}

/// Which objectives were missed, if any.
fn missed(report: &DrillReport, objectives: &Objectives) -> Option<String> {
    let checks = [
        (report.recovery_time_seconds, objectives.rto, "the recovery took", "rto"),
        (report.recovery_point_seconds, objectives.rpo, "a recovery would have lost", "rpo"),
    ];
    let missed = checks.into_iter().filter_map(|(seconds, objective, what, key)| {
        let took = Duration::try_from_secs_f64(seconds?).ok()?;
        (took > objective).then(|| {
            format!(
                "{what} {}, more than the {} of backup.objectives.{key}",
                for_people(took),
                humantime::format_duration(objective)
            )
        })
    });
    let missed: Vec<_> = missed.collect();
    (!missed.is_empty()).then(|| missed.join("; "))
}

/// A duration as people read it: `1h 2m 3s`, or `2.3s` below a minute.
#[must_use]
pub fn for_people(duration: Duration) -> String {
    if duration < Duration::from_mins(1) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

/// Keeps the report for [`last`].
fn keep(repository: &Repository, report: &DrillReport) -> Result<(), BackupError> {
    let mut text = serde_json::to_vec_pretty(report)
        .map_err(|error| BackupError::failed(format!("{REPORT}: {error}")))?;
    text.push(b'\n');
    write_synced(&repository.directory().join(REPORT), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(time: f64, point: f64) -> DrillReport {
        DrillReport {
            ok: true,
            id: None,
            database: None,
            started_at: Timestamp::UNIX_EPOCH,
            recovery_time_seconds: Some(time),
            recovery_point_seconds: Some(point),
            objectives: (&Objectives::default()).into(),
            tables: BTreeMap::new(),
            reason: None,
        }
    }

    #[test]
    fn each_objective_that_was_missed_is_named() {
        let missed = |time, point| missed(&report(time, point), &Objectives::default());
        assert_eq!(missed(7200.0, 3600.0), None, "exactly met");
        let time = missed(7261.0, 0.0).unwrap();
        assert_eq!(time, "the recovery took 2h 1m 1s, more than the 2h of backup.objectives.rto");
        let both = missed(7261.0, 3601.5).unwrap();
        assert!(both.starts_with(&time) && both.contains("lost 1h 1s"), "{both}");
    }
}
