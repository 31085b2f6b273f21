//! How old the newest backup is, for metrics.

use std::time::Duration;

use crate::{
    config::Config,
    ops::{
        backup::{blocking, repository::Repository},
        database,
    },
    telemetry::metrics::float,
};

/// How often it is looked.
const LOOK: Duration = Duration::from_mins(1);

/// Looks now and then, as long as the process lives, for the newest backup of its database. Where
/// there is none, as on machines that make none, there is no metric either.
pub(super) async fn watch(config: Config) {
    let Some(own) = own_database(&config) else { return };
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let (own, repository) = (own.clone(), Repository::at(&config.backup.directory));
        let newest = blocking(move || {
            let newest = repository.newest(|manifest| manifest.is_for_recovery_of(&own))?;
            Ok(newest.map(|(_, manifest)| manifest.moment))
        });
        if let Ok(Some(moment)) = newest.await {
            let seconds = u64::try_from(moment.as_second()).unwrap_or_default();
            metrics::gauge!("figw_backup_newest_timestamp_seconds").set(float(seconds));
        }
    }
}

/// What backups of the configured database say that they are of.
fn own_database(config: &Config) -> Option<String> {
    Some(database::options(config).ok()?.migration_location().ok()?.describe())
}
