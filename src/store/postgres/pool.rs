//! Connections to one database: kept, lent, and dropped rather than lent once more when they may
//! lead nowhere or to the wrong server.

use std::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use deadpool::{
    Runtime,
    managed::{
        Manager, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType,
    },
};
use metrics::{counter, gauge};
use tokio::{task::JoinHandle, time::error::Elapsed};
use tokio_postgres::Client;

use super::{PostgresUrl, connect::Way, error::Trouble};
use crate::store::{StoreError, StoreOptions};

/// Whoever gives a connection up after so long without an answer casts doubt on the others.
const SILENCE: Duration = Duration::from_secs(1);

/// The connections to one database.
pub(super) struct Connections {
    target: String,
    /// What metrics call the database.
    name: String,
    pool: Pool<Connector>,
    lent: AtomicUsize,
    patience: Duration,
}

/// A connection in use. Unless it is settled, it is closed: the answer to an old question may still
/// come on it, or never.
pub(super) struct Loan<'a> {
    connections: &'a Connections,
    connection: Object<Connector>,
    since: Instant,
    is_settled: bool,
}

struct Connector {
    way: Way,
    lifetime: Duration,
}

struct Connection {
    client: Client,
    task: JoinHandle<()>,
    made: Instant,
    /// Why it must not be used again.
    doom: Option<&'static str>,
}

impl Connections {
    /// Connects to nobody yet. `name` is what metrics call the database.
    pub(super) fn new(
        url: &PostgresUrl,
        options: &StoreOptions,
        name: &str,
    ) -> Result<Self, StoreError> {
        let target = url.describe();
        let way = Way::new(url, options)?;
        let pool = Pool::builder(Connector { way, lifetime: options.connection_lifetime })
            .max_size(options.max_connections.max(1))
            .wait_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| StoreError::Failed { target: target.clone(), reason: e.to_string() })?;
        for why in ["read only", "unanswered", "unwell"] {
            count_closed(name, why, 0);
        }
        let lent = AtomicUsize::new(0);
        Ok(Self { target, name: name.to_owned(), pool, lent, patience: options.statement_timeout })
    }

    /// The database, without its password.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// A connection: an idle one that is still good, or a new one.
    pub(super) async fn lend(&self) -> Result<Loan<'_>, StoreError> {
        let connection = self.pool.get().await.map_err(|error| self.explain(error))?;
        self.lent.fetch_add(1, Ordering::Relaxed);
        self.report();
        Ok(Loan { connections: self, connection, since: Instant::now(), is_settled: false })
    }

    /// Closes those that nobody uses: they may lead to a server that is gone or demoted.
    pub(super) fn forget_idle(&self, why: &'static str) {
        let closed = self.pool.retain(|_, _| false).removed.len() as u64;
        count_closed(&self.name, why, closed);
        self.report();
    }

    fn explain(&self, error: PoolError<StoreError>) -> StoreError {
        let reason = match error {
            PoolError::Backend(error) => return error,
            PoolError::Timeout(TimeoutType::Wait) => {
                "all connections stayed busy; raise database.max_connections".to_owned()
            }
            other => other.to_string(),
        };
        StoreError::Unavailable { target: self.target.clone(), reason }
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    fn report(&self) {
        let status = self.pool.status();
        let busy = self.lent.load(Ordering::Relaxed);
        let set = |state: &'static str, value: usize| {
            let labels = [("database", self.name.clone()), ("state", state.to_owned())];
            gauge!("figw_database_connections", &labels).set(value as f64);
        };
        set("busy", busy);
        set("idle", status.size.saturating_sub(busy));
        gauge!("figw_database_connections_limit", "database" => self.name.clone())
            .set(status.max_size as f64);
        gauge!("figw_database_connections_awaited", "database" => self.name.clone())
            .set(status.waiting as f64);
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("target", &self.target).finish_non_exhaustive()
    }
}

fn count_closed(name: &str, why: &'static str, number: u64) {
    counter!("figw_database_connections_closed_total", "database" => name.to_owned(), "reason" => why)
        .increment(number);
}

impl Loan<'_> {
    pub(super) fn client(&mut self) -> &mut Client {
        &mut self.connection.client
    }

    /// Gives the connection back, if what came of it leaves it usable.
    pub(super) fn settle<T>(
        mut self,
        outcome: Result<Result<T, Trouble>, Elapsed>,
    ) -> Result<T, StoreError> {
        let connections = self.connections;
        match outcome {
            Ok(result) => {
                self.is_settled = true;
                result.map_err(|trouble| {
                    if trouble.is_read_only() {
                        self.connection.close("read only");
                        connections.forget_idle("read only");
                    }
                    trouble.explain(&connections.target)
                })
            }
            Err(_) => Err(StoreError::Unavailable {
                target: connections.target.clone(),
                reason: format!("no answer within {:?}", connections.patience),
            }),
        }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.connections.lent.fetch_sub(1, Ordering::Relaxed);
        if !self.is_settled {
            self.connection.close("unanswered");
            if self.since.elapsed() >= SILENCE {
                self.connections.forget_idle("unanswered");
            }
        }
    }
}

impl Connection {
    fn close(&mut self, why: &'static str) {
        self.doom = Some(why);
        self.task.abort();
    }

    /// Why it cannot be lent once more.
    fn fault(&self, lifetime: Duration) -> Option<&'static str> {
        self.doom
            .or_else(|| self.client.is_closed().then_some("closed by the server"))
            .or_else(|| (self.made.elapsed() >= lifetime).then_some("old"))
    }
}

impl Manager for Connector {
    type Type = Connection;
    type Error = StoreError;

    async fn create(&self) -> Result<Connection, StoreError> {
        let (client, task) = self.way.connect().await?;
        Ok(Connection { client, task, made: Instant::now(), doom: None })
    }

    /// Asks the server nothing: there is no session state to clean up.
    async fn recycle(&self, it: &mut Connection, _: &Metrics) -> RecycleResult<StoreError> {
        it.fault(self.lifetime).map_or(Ok(()), |why| Err(RecycleError::message(why)))
    }
}
