//! What a disaster would cost now: the age of the newest good backup, and of the newest proof that
//! one can be restored.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{Finding, Measure, State, Subject};
use crate::{
    config::Backup,
    ops::{
        backup::{BackupError, blocking, repository::Repository, wal::describe_gap},
        database,
        drill::{self, DrillReport},
    },
};

/// How old the newest drill may be: a monthly one, with some days to spare.
const DRILL_AGE: Duration = Duration::from_hours(35 * 24);

/// The age of the newest good backup with a database in it.
pub(super) async fn age(subject: &Subject) -> Option<Finding> {
    let settings = &subject.config.backup;
    let newest = async {
        let own = own_database(subject)?;
        let repository = Repository::at(&settings.directory);
        blocking(move || match repository.newest(|manifest| manifest.is_for_recovery_of(&own))? {
            Some(newest) => Ok(Ok(newest)),
            None => Ok(Err((own, repository.databases()?))),
        })
        .await
    };
    Some(match newest.await {
        Ok(Ok((stored, manifest))) => {
            judge_age(&stored.id, since(manifest.moment), settings.objectives.rpo)
                .since(Some(manifest.moment))
        }
        Ok(Err((own, others))) => Finding::new(State::Critical, none(settings, &own, &others)),
        Err(error) => Finding::new(State::Unknown, error.to_string()),
    })
}

/// What backups of the configured database say that they are of.
fn own_database(subject: &Subject) -> Result<String, BackupError> {
    Ok(database::options(&subject.config)?.migration_location()?.describe())
}

/// What to say when there is no backup: who never wanted one learns how to say so.
fn none(settings: &Backup, own: &str, others: &BTreeSet<String>) -> String {
    let directory = settings.directory.display();
    if *settings == Backup::default() && !settings.directory.exists() {
        return format!(
            "no backup at all: {directory} does not exist and the section backup is not configured; \
             set backup.directory and let cron run `figw backup` (see `figw generate cron`), or name \
             the checks that matter here with --only"
        );
    }
    let others: Vec<_> = others.iter().map(String::as_str).collect();
    let others = match &others[..] {
        [] => String::new(),
        all => format!(" (those there are of {})", all.join(", ")),
    };
    format!("no good backup of {own} in {directory}{others}; make one with `figw backup`")
}

fn judge_age(id: &str, age: Duration, rpo: Duration) -> Finding {
    let (state, remedy) = if age <= rpo {
        (State::Ok, "")
    } else {
        let state = if age <= rpo * 2 { State::Warning } else { State::Critical };
        (state, "; look why `figw backup` does not run or fails")
    };
    let evidence = format!(
        "newest backup {id} is {} old, {} allowed{remedy}",
        humantime::format_duration(Duration::from_secs(age.as_secs())),
        humantime::format_duration(rpo),
    );
    let (warning, critical) = (Some(rpo.as_secs_f64()), Some((rpo * 2).as_secs_f64()));
    let measure = Measure::seconds("backup_age", whole(age)).above(warning, critical);
    Finding::new(state, evidence).measuring([measure])
}

/// Whether the archived WAL leads on from the newest base backup; nothing to say without one.
pub(super) async fn wal(subject: &Subject) -> Option<Finding> {
    let repository = Repository::at(&subject.config.backup.directory);
    match blocking(move || repository.gap_in_wal()).await {
        Ok(None) => None,
        Ok(Some((id, None))) => {
            let evidence = format!("the archived WAL after the base backup {id} has no gap");
            Some(Finding::new(State::Ok, evidence))
        }
        Ok(Some((id, Some(missing)))) => {
            Some(Finding::new(State::Critical, describe_gap(&id, &missing)))
        }
        Err(error) => Some(Finding::new(State::Unknown, error.to_string())),
    }
}

/// The age and outcome of the newest drill.
pub(super) async fn drill(subject: &Subject) -> Option<Finding> {
    let settings = &subject.config.backup;
    let repository = Repository::at(&settings.directory);
    let last =
        async { Ok((own_database(subject)?, blocking(move || drill::last(&repository)).await?)) };
    Some(match last.await {
        Ok((own, Some(DrillReport { database: Some(other), .. }))) if other != own => {
            let evidence = format!(
                "the newest drill was of {other}, not of {own}: give each gateway a backup.directory \
                 of its own, or run `figw backup drill`"
            );
            Finding::new(State::Warning, evidence)
        }
        Ok((_, Some(drill))) => {
            judge_drill(&drill, since(drill.started_at), settings).since(Some(drill.started_at))
        }
        Ok((_, None)) => {
            let evidence = "there has been no drill: nobody knows whether the backups can be \
                            restored; run `figw backup drill`";
            Finding::new(State::Warning, evidence)
        }
        Err(error) => Finding::new(State::Unknown, BackupError::to_string(&error)),
    })
}

fn judge_drill(drill: &DrillReport, age: Duration, settings: &Backup) -> Finding {
    let days = age.as_secs() / (24 * 3600);
    let what = drill.id.as_deref().map(|id| format!(" of {id}")).unwrap_or_default();
    let (state, evidence) = if !drill.ok {
        let reason = drill.reason.as_deref().unwrap_or("it missed the objectives");
        (State::Critical, format!("the newest drill{what} failed: {reason}"))
    } else if age > DRILL_AGE {
        let evidence =
            format!("the newest drill{what} is {days} days old; run `figw backup drill`");
        (State::Warning, evidence)
    } else {
        (State::Ok, format!("the newest drill{what} succeeded {days} days ago"))
    };
    let measure = |name: &'static str, value: Option<f64>, warning, critical| {
        value.map(|value| Measure::seconds(name, value).above(warning, critical))
    };
    let rto = Some(settings.objectives.rto.as_secs_f64());
    let rpo = Some(settings.objectives.rpo.as_secs_f64());
    let measures = [
        measure("drill_age", Some(whole(age)), Some(DRILL_AGE.as_secs_f64()), None),
        measure("recovery_time", drill.recovery_time_seconds, None, rto),
        measure("recovery_point", drill.recovery_point_seconds, None, rpo),
    ];
    Finding::new(state, evidence).measuring(measures.into_iter().flatten())
}

/// A moment in the future is a clock that was set back: as new as can be.
fn since(moment: Timestamp) -> Duration {
    Timestamp::now().duration_since(moment).try_into().unwrap_or_default()
}

fn whole(age: Duration) -> f64 {
    Duration::from_secs(age.as_secs()).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_backup_is_held_against_the_recovery_point_objective() {
        let rpo = Duration::from_hours(1);
        for (age, state) in [
            (0, State::Ok),
            (3600, State::Ok),
            (3601, State::Warning),
            (7200, State::Warning),
            (7201, State::Critical),
        ] {
            let found = judge_age("ID", Duration::from_secs(age), rpo);
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.evidence.contains("ID"), "{found:?}");
        }
    }

    #[test]
    fn a_drill_must_have_succeeded_of_late() {
        let drill = |ok| DrillReport {
            ok,
            id: None,
            database: None,
            started_at: Timestamp::now(),
            recovery_time_seconds: Some(3.5),
            recovery_point_seconds: None,
            objectives: (&Backup::default().objectives).into(),
            tables: BTreeMap::new(),
            reason: (!ok).then(|| "it is broken".to_owned()),
        };
        let judge = |ok, days: u64| {
            judge_drill(&drill(ok), Duration::from_hours(24 * days), &Backup::default())
        };
        assert_eq!(judge(true, 35).state, State::Ok);
        assert_eq!(judge(true, 36).state, State::Warning);
        let failed = judge(false, 1);
        assert_eq!(failed.state, State::Critical);
        assert!(failed.evidence.contains("it is broken"), "{failed:?}");
        assert_eq!(failed.measures.len(), 2);
    }
}
