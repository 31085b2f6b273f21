//! How far a server is, for telling how far one lags behind the other.

use tokio_postgres::{Client, types::PgLsn};

use super::error::Trouble;
use crate::store::Position;

/// One answer, from a primary or a replica, to any user.
const QUERY: &str = "SELECT pg_is_in_recovery(), \
     CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
     ELSE pg_current_wal_flush_lsn() END, \
     extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8, \
     (SELECT system_identifier FROM pg_control_system()), \
     pg_postmaster_start_time(), \
     (SELECT max(version) FROM refinery_schema_history)";

pub(super) async fn read(client: &Client) -> Result<Position, Trouble> {
    let row = client.query_typed_one(QUERY, &[]).await?;
    let log: Option<PgLsn> = row.try_get(1)?;
    let age: Option<f64> = row.try_get(2)?;
    Ok(Position {
        is_replica: row.try_get(0)?,
        log: log.map_or(0, u64::from),
        age: age.and_then(|age| std::time::Duration::try_from_secs_f64(age.max(0.0)).ok()),
        system: row.try_get(3)?,
        started: row.try_get(4)?,
        schema: row.try_get(5)?,
    })
}
