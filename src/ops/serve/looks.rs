//! What `/ready` tells and can only be found out by looking: looked at in the background, each thing
//! with its own patience, so that whatever hangs is told of and hangs nobody.

use std::{io, path::Path, sync::Arc, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::{
    config::{Config, Space},
    disk::{self, Disk},
    domain::Health,
    gateway::Gateway,
    http::{App, Noted},
    store::{SchemaState, Store},
};

/// How often it is looked at the endpoints, which costs nothing.
const ENDPOINTS: Duration = Duration::from_secs(1);

/// How often at the disk.
const DISK: Duration = Duration::from_secs(5);

/// How often at the schema.
const SCHEMA: Duration = Duration::from_secs(10);

/// How long the disk or the database may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Starts to look, for as long as the process lives.
pub(super) fn look_around(app: &Arc<App>, store: &Arc<dyn Store>, config: &Config) {
    let looking = Arc::clone(app);
    tokio::spawn(async move {
        let mut ticks = ticks(ENDPOINTS);
        loop {
            ticks.tick().await;
            at_endpoints(&looking.gateway, &looking.readiness.noted);
        }
    });
    let looking = Arc::clone(app);
    let (place, least) = (config.server.state_dir.clone(), config.health.disk_free_warning);
    tokio::spawn(async move {
        let mut ticks = ticks(DISK);
        loop {
            ticks.tick().await;
            at_disk(&place, least, &looking.readiness.noted.spool).await;
        }
    });
    let (looking, store) = (Arc::clone(app), Arc::clone(store));
    tokio::spawn(async move {
        let mut ticks = ticks(SCHEMA);
        loop {
            ticks.tick().await;
            at_schema(&*store, &looking.readiness.noted).await;
        }
    });
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn note(health: &Health, outcome: Result<(), String>) {
    match outcome {
        Ok(()) => health.recovered(),
        Err(reason) => health.failed(&reason),
    };
}

fn at_endpoints(gateway: &Gateway, noted: &Noted) {
    let snapshot = gateway.catalog.load();
    let mut fails = None;
    for served in snapshot.endpoints() {
        let is_set_up = served.endpoint.enabled
            && served.unusable.is_none()
            && served.cluster.maintenance.is_none();
        if is_set_up && !gateway.lines.is_out(&served.endpoint.slug) {
            return note(&noted.endpoints, Ok(()));
        }
        fails = fails.or_else(|| is_set_up.then_some(&served.endpoint.slug));
    }
    let reason = match fails {
        Some(slug) => format!(
            "no endpoint can be used: all that are set up fail, among them {slug}; see the log"
        ),
        None => {
            "no endpoint can be used: each is disabled, in maintenance, or not set up".to_owned()
        }
    };
    note(&noted.endpoints, Err(reason));
}

/// Notes whether there is as much room as there should be. Ends only when the file system answers:
/// another look at one that hangs would keep another thread.
async fn at_disk(place: &Path, least: Space, spool: &Health) {
    let path = place.to_owned();
    let mut looking = tokio::task::spawn_blocking(move || disk::of(&path));
    let looked = if let Ok(looked) = timeout(PATIENCE, &mut looking).await {
        looked
    } else {
        note(spool, Err(format!("{}: its file system does not answer", place.display())));
        looking.await
    };
    let looked = looked.unwrap_or_else(|error| Err(io::Error::other(error)));
    note(spool, judge_room(place, least, looked));
}

fn judge_room(place: &Path, least: Space, looked: io::Result<Disk>) -> Result<(), String> {
    let name = place.display();
    let disk = looked.map_err(|error| format!("{name}: {error}"))?;
    if disk.free >= least.of(disk.total) {
        return Ok(());
    }
    Err(format!("{name}: {disk}; rows are lost when there is no room and no database; make room"))
}

async fn at_schema(store: &dyn Store, noted: &Noted) {
    // A database that is away says nothing; another check tells of that.
    let Ok(Ok(state)) = timeout(PATIENCE, store.schema_state()).await else { return };
    let told = || Err(state.to_string());
    let (wrong, newer) = match &state {
        SchemaState::Current => (Ok(()), Ok(())),
        SchemaState::Ahead { .. } => (Ok(()), told()),
        SchemaState::Behind { .. } | SchemaState::Diverged { .. } => (told(), Ok(())),
    };
    note(&noted.wrong_schema, wrong);
    note(&noted.newer_schema, newer);
}
