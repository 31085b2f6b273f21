//! Looking after the replicas.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use metrics::gauge;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Condition, Replica, position::History};
use crate::store::{Position, PostgresUrl, Session, Store, StoreError, StoreOptions, postgres};

/// How often each server is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a server may take to say how far it is.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shortest time between two looks that reads have asked for.
const PAUSE: Duration = Duration::from_millis(100);

type Shared = Arc<Mutex<History>>;

/// Notes how far the primary is. While it is away, replicas are measured against where it was.
pub(super) async fn follow_primary(primary: Arc<dyn Store>, history: Shared) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let begun = Instant::now();
        if let Ok(Ok(Some(position))) = timeout(PATIENCE, primary.position()).await
            && !position.is_replica
        {
            history.lock().unwrap_or_else(PoisonError::into_inner).note(begun, position);
        }
    }
}

/// Watches one replica.
pub(super) struct Watch {
    replica: Arc<Replica>,
    history: Shared,
    url: PostgresUrl,
    options: StoreOptions,
    session: Option<Session>,
}

impl Watch {
    pub(super) fn new(
        replica: Arc<Replica>,
        history: Shared,
        url: PostgresUrl,
        options: &StoreOptions,
    ) -> Self {
        Self { replica, history, url, options: options.clone(), session: None }
    }

    pub(super) async fn run(mut self) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.replica.look.notified() => {}
            }
            let condition = self.look().await;
            self.tell(condition);
            sleep(PAUSE).await;
        }
    }

    async fn look(&mut self) -> Condition {
        let session = match self.session.take() {
            Some(session) => session,
            None => match Session::open(&self.url, &self.options).await {
                Ok(session) => session,
                Err(StoreError::Unavailable { reason, .. } | StoreError::Failed { reason, .. }) => {
                    return Condition::Away(format!("cannot be reached: {reason}"));
                }
                Err(error) => return Condition::Away(error.to_string()),
            },
        };
        let begun = Instant::now();
        match timeout(PATIENCE, postgres::position(&session.client)).await {
            Ok(Ok(position)) => {
                self.session = Some(session);
                self.judge(begun, &position)
            }
            Ok(Err(reason)) => Condition::Away(format!("answers: {reason}")),
            Err(_) => Condition::Away(format!("has not answered within {} s", PATIENCE.as_secs())),
        }
    }

    fn judge(&self, at: Instant, position: &Position) -> Condition {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        match history.newest() {
            None => Condition::Unknown,
            Some(primary) => {
                let lag = history.lag(at, position);
                judge(&primary, position, lag, self.options.replica_max_lag)
            }
        }
    }

    fn tell(&self, condition: Condition) {
        let name = &self.replica.name;
        let well = gauge!("figw_replica_usable", "database" => name.clone());
        well.set(if condition.is_usable() { 1.0 } else { 0.0 });
        if let Some(lag) = condition.lag() {
            gauge!("figw_replica_lag_seconds", "database" => name.clone()).set(lag.as_secs_f64());
        }
        let health = &self.replica.health;
        match condition.complaint() {
            Some(_) if condition == Condition::Unknown => {}
            Some(reason) => {
                if health.failed(&reason) {
                    tracing::warn!(replica = name, reason, "a replica is not read from");
                }
            }
            None => {
                if health.recovered() {
                    tracing::info!(replica = name, "a replica is read from again");
                }
            }
        }
        if condition.is_away() {
            self.replica.store.forget_connections();
        }
        self.replica.condition.send_replace(condition);
    }
}

/// How a replica is that lags so far behind its primary.
fn judge(primary: &Position, seen: &Position, lag: Duration, limit: Duration) -> Condition {
    let away = |reason: &str| Condition::Away(reason.to_owned());
    if seen.system != primary.system {
        return away("is no replica of this database: it belongs to another cluster");
    }
    if !seen.is_replica {
        return if seen.started == primary.started {
            Condition::Primary
        } else {
            away("is not in recovery: it follows no primary")
        };
    }
    if lag > limit {
        return Condition::Behind { lag, limit };
    }
    if seen.schema != primary.schema {
        return away("has another schema than the primary");
    }
    Condition::Usable { lag }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn primary() -> Position {
        Position {
            is_replica: false,
            log: 100,
            age: None,
            system: 1,
            started: Timestamp::UNIX_EPOCH,
            schema: Some(4),
        }
    }

    #[test]
    fn only_a_replica_of_this_database_in_time_is_read_from() {
        let replica = Position { is_replica: true, started: Timestamp::MAX, ..primary() };
        let of = |seen: Position| judge(&primary(), &seen, Duration::ZERO, LIMIT);
        assert!(of(replica).is_usable());
        assert_eq!(judge(&primary(), &replica, LIMIT, LIMIT).lag(), Some(LIMIT));
        let late = judge(&primary(), &replica, LIMIT + PERIOD, LIMIT);
        assert!(!late.is_usable() && !late.is_away() && late.complaint().is_some());
        assert_eq!(of(primary()), Condition::Primary);
        for seen in [
            Position { system: 2, ..replica },
            Position { is_replica: false, ..replica },
            Position { schema: Some(3), ..replica },
            Position { schema: None, ..replica },
        ] {
            assert!(of(seen).is_away(), "{seen:?}");
        }
    }
}
