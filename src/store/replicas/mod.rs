//! Replicas of the database: which of them may be read from now.
//!
//! Each is asked once a second how far it is, over a connection of its own, so that neither a busy
//! pool nor a slow read is taken for a replica that hangs. A read waits for its answer as long as
//! the replica is well otherwise; once the replica turns out not to be, the read goes elsewhere.

mod condition;
mod position;
mod watch;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use metrics::counter;
use tokio::{
    sync::{Notify, watch as channel},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

pub use self::{condition::Condition, position::Position};
use self::{position::History, watch::Watch};
use super::{PostgresUrl, ReadStore, Store, StoreError, StoreOptions, postgres::Postgres};
use crate::domain::{Health, Trouble};

/// How old what is known of a replica may be, beyond its lag: a period, a look, and some air.
pub(super) const FRESHNESS: Duration = Duration::from_secs(4);

/// A read without an answer for so long is reason to look after the replica at once.
const SUSPICIOUS: Duration = Duration::from_millis(250);

/// All replicas of the database.
#[derive(Debug)]
pub(super) struct Replicas {
    all: Vec<Arc<Replica>>,
    turn: AtomicUsize,
    _watching: Vec<AbortOnDropHandle<()>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Replica {
    name: String,
    store: Postgres,
    condition: channel::Sender<Condition>,
    health: Health,
    /// Asks for a look at it now.
    look: Notify,
}

impl Replicas {
    /// Begins to watch the replicas, and how far the primary is.
    pub(super) fn open(
        urls: Vec<PostgresUrl>,
        options: &StoreOptions,
        primary: Arc<dyn Store>,
    ) -> Result<Self, StoreError> {
        let history = Arc::new(Mutex::new(History::default()));
        let follow = watch::follow_primary(primary, Arc::clone(&history));
        let mut watching = vec![AbortOnDropHandle::new(tokio::spawn(follow))];
        let mut replicas = Vec::with_capacity(urls.len());
        for url in urls {
            let name = url.hosts();
            let replica = Arc::new(Replica {
                store: Postgres::open(&url, options, &name)?,
                name,
                condition: channel::Sender::new(Condition::Unknown),
                health: Health::default(),
                look: Notify::new(),
            });
            let watch = Watch::new(Arc::clone(&replica), Arc::clone(&history), url, options);
            watching.push(AbortOnDropHandle::new(tokio::spawn(watch.run())));
            replicas.push(replica);
        }
        Ok(Self { all: replicas, turn: AtomicUsize::new(0), _watching: watching })
    }

    /// Those that may be read from, beginning with another one each time.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = &Replica> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len().max(1);
        let (ahead, behind) = self.all.split_at(first);
        let all = behind.iter().chain(ahead).map(|replica| &**replica);
        all.filter(|replica| replica.condition.borrow().is_usable())
    }

    pub(super) fn trouble(&self) -> Option<Arc<Trouble>> {
        let troubled = self.all.iter().filter_map(|r| Some((&r.name, r.health.trouble()?)));
        let troubled: Vec<_> = troubled.collect();
        let since = troubled.iter().map(|(_, trouble)| trouble.since).min()?;
        let errors = troubled.iter().map(|(name, trouble)| format!("{name} {}", trouble.error));
        let error = format!("not read from: {}", errors.collect::<Vec<_>>().join("; "));
        Some(Arc::new(Trouble { since, error }))
    }

    pub(super) async fn survey(&self, within: Duration) -> Vec<(String, Condition)> {
        join_all(self.all.iter().map(|replica| async {
            let mut condition = replica.condition.subscribe();
            let well = condition.wait_for(|condition| condition.complaint().is_none());
            // What it is by then is told below.
            let _ = timeout(within, well).await;
            let condition = replica.condition.borrow().clone();
            (replica.name.clone(), condition)
        }))
        .await
    }
}

impl Replica {
    /// What is read from.
    pub(super) fn store(&self) -> &dyn ReadStore {
        &self.store
    }

    /// The answer, unless the replica fails or turns out to be away meanwhile.
    pub(super) async fn answer<T>(
        &self,
        answer: BoxFuture<'_, Result<T, StoreError>>,
    ) -> Option<T> {
        let (answer, outcome) = tokio::select! {
            answer = answer => match answer {
                Ok(answer) => (Some(answer), "answered"),
                Err(error) => {
                    tracing::debug!(replica = self.name, %error, "a read goes elsewhere");
                    self.look.notify_one();
                    (None, "failed")
                }
            },
            () = self.turns_out_away() => (None, "given up"),
        };
        let labels = [("database", self.name.clone()), ("outcome", outcome.to_owned())];
        counter!("figw_database_reads_total", &labels).increment(1);
        answer
    }

    async fn turns_out_away(&self) {
        let mut condition = self.condition.subscribe();
        let mut away = std::pin::pin!(condition.wait_for(Condition::is_away));
        if timeout(SUSPICIOUS, &mut away).await.is_err() {
            self.look.notify_one();
            // The sender lives as long as this replica.
            let _ = away.await;
        }
    }
}
