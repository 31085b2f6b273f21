//! What stands behind the database's keys, and behind Redis'.

use std::time::{Duration, Instant};

use tokio_postgres::SimpleQueryMessage;

use super::{Finding, Subject};
use crate::{
    cache,
    ops::database,
    store::{Location, PostgresUrl, Reader, Session, StoreError, StoreOptions, explain},
};

/// How long replicas may take to be well.
const LONGEST: Duration = Duration::from_secs(5);

/// An answer from the database that takes longer costs every change and every page.
const SLOW: Duration = Duration::from_millis(50);

/// A statement that has run for longer holds others up.
const STUCK_SECONDS: f64 = 60.0;

/// So many dead rows for each living one make a table slow.
const DEAD_SHARE: f64 = 0.5;

/// Fewer are no matter.
const DEAD_ROWS: f64 = 100_000.0;

/// Each replica is one of this database, another server than the primary, and in time.
pub(super) async fn replicas(subject: &Subject) -> Finding {
    if subject.config().database.read_replicas.is_empty() {
        return Finding::not_applicable("database.read_replicas names none");
    }
    let options = match database::options(subject.config()) {
        Ok(options) => options,
        Err(error) => return Finding::fail(error.to_string(), "see `figw config check`"),
    };
    if let Err(error) = options.replica_locations() {
        return Finding::fail(error.to_string(), "set database.read_replicas to replicas only");
    }
    match survey(&options).await {
        Ok((number, complaints)) if complaints.is_empty() => {
            Finding::pass(format!("{number} well"))
        }
        Ok((_, complaints)) => Finding::warn(
            complaints.join("; "),
            "bring them back, or take them out of database.read_replicas",
        ),
        Err(error) => Finding::warn(
            format!("replicas are measured against the primary: {error}"),
            "bring the primary back, and run `figw doctor` again",
        ),
    }
}

async fn survey(options: &StoreOptions) -> Result<(usize, Vec<String>), StoreError> {
    let reader = Reader::open(options, database::open(options).await?)?;
    let conditions = reader.survey(LONGEST).await;
    let complaints = conditions
        .iter()
        .filter_map(|(name, condition)| Some(format!("{name} {}", condition.complaint()?)));
    Ok((conditions.len(), complaints.collect()))
}

/// A session with the server itself, past any pooler.
async fn session(subject: &Subject) -> Result<Session, Finding> {
    let options = subject.behind.store_options();
    let options = options.map_err(|found| Finding::warn(found.evidence, "see database.schema"))?;
    let url: Box<PostgresUrl> = match options.migration_location() {
        Ok(Location::Postgres(url)) => url,
        Ok(Location::Sqlite(_)) => {
            return Err(Finding::not_applicable("SQLite is a file: there is no server to ask"));
        }
        Err(error) => return Err(Finding::fail(error.to_string(), "see `figw config check`")),
    };
    let opened = Session::open(&url, &options).await;
    opened.map_err(|error| Finding::warn(error.to_string(), "see database.schema"))
}

/// The first row of what a query answers, as numbers.
async fn numbers<const N: usize>(session: &Session, query: &str) -> Result<[f64; N], Finding> {
    let failed =
        |reason: String| Finding::warn(reason, "see that figw's role may read pg_stat views");
    let rows = session.client.query_typed(query, &[]).await;
    let rows = rows.map_err(|error| failed(explain(&error)))?;
    let row = rows.first().ok_or_else(|| failed("the server's views are empty".to_owned()))?;
    let mut numbers = [0.0; N];
    for (index, number) in numbers.iter_mut().enumerate() {
        let value =
            row.try_get::<_, Option<f64>>(index).map_err(|error| failed(explain(&error)))?;
        *number = value.unwrap_or_default();
    }
    Ok(numbers)
}

/// All instances together get as many connections as they may open.
pub(super) async fn connections(subject: &Subject) -> Finding {
    look_at_connections(subject).await.unwrap_or_else(|finding| finding)
}

async fn look_at_connections(subject: &Subject) -> Result<Finding, Finding> {
    let session = session(subject).await?;
    let [most, reserved, used] = numbers(
        &session,
        "SELECT current_setting('max_connections')::float8, \
         current_setting('superuser_reserved_connections')::float8, \
         (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::float8",
    )
    .await?;
    let config = subject.config();
    let instances = u32::try_from(config.instances.len().max(1)).unwrap_or(u32::MAX);
    // One more for each that takes over, and a few for backups, migrations and health.
    let wanted = f64::from(config.database.max_connections) * f64::from(instances) + 5.0;
    let told = format!(
        "the server allows {most}, {used} are open; {instances} instances may open {wanted}"
    );
    if config.database.migration_url.is_some() {
        return Ok(Finding::pass(format!("{told}, through a pooler")));
    }
    if wanted > most - reserved {
        return Ok(Finding::fail(
            told,
            "set max_connections in postgresql.conf higher, database.max_connections lower, or put \
             PgBouncer between (`figw generate pgbouncer`)",
        ));
    }
    Ok(Finding::pass(told))
}

/// PgBouncer, where there is one, gives out whole transactions.
pub(super) async fn pooler(subject: &Subject) -> Finding {
    let config = subject.config();
    if config.database.migration_url.is_none() {
        return Finding::not_applicable("database.migration_url is not set: no pooler is between");
    }
    match ask_for_mode(subject).await {
        Ok(mode) => judge_mode(&mode),
        Err(reason) => Finding::not_applicable(format!(
            "the pooler's console cannot be asked for its mode: {reason}"
        )),
    }
}

/// What the console of PgBouncer, a database of that name, says of itself.
async fn ask_for_mode(subject: &Subject) -> Result<String, String> {
    let options = subject.behind.store_options().map_err(|finding| finding.evidence)?;
    let Ok(Location::Postgres(url)) = options.location() else {
        return Err("database.url is no server's".to_owned());
    };
    let console = url.with_database("pgbouncer");
    let session = Session::open(&console, &options).await.map_err(|error| error.to_string())?;
    let answer = session.client.simple_query("SHOW CONFIG").await;
    let answer = answer.map_err(|error| explain(&error))?;
    let rows = answer.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.try_get(0).ok()??, row.try_get(1).ok()??)),
        _ => None,
    });
    let mode = rows.filter(|(key, _)| *key == "pool_mode").map(|(_, mode)| mode.to_owned()).next();
    mode.ok_or_else(|| "it does not say".to_owned())
}

fn judge_mode(mode: &str) -> Finding {
    match mode {
        "transaction" => Finding::pass("PgBouncer's pool_mode is transaction"),
        "session" => Finding::warn(
            "PgBouncer's pool_mode is session: each connection holds one of the server's",
            "set pool_mode = transaction (`figw generate pgbouncer`)",
        ),
        other => Finding::fail(
            format!("PgBouncer's pool_mode is {other}, which tears transactions apart"),
            "set pool_mode = transaction (`figw generate pgbouncer`)",
        ),
    }
}

/// The database answers fast, nothing is stuck in it, and its tables are looked after.
pub(super) async fn performance(subject: &Subject) -> Finding {
    look_at_performance(subject).await.unwrap_or_else(|finding| finding)
}

async fn look_at_performance(subject: &Subject) -> Result<Finding, Finding> {
    let session = session(subject).await?;
    let begun = Instant::now();
    let [_] = numbers(&session, "SELECT 1::float8").await?;
    let took = begun.elapsed();
    let [stuck, dead, alive, bytes] = numbers(
        &session,
        "SELECT (SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) \
          FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' \
          AND pid <> pg_backend_pid())::float8, \
         (SELECT sum(n_dead_tup) FROM pg_stat_user_tables)::float8, \
         (SELECT sum(n_live_tup) FROM pg_stat_user_tables)::float8, \
         pg_database_size(current_database())::float8",
    )
    .await?;
    let mut complaints = Vec::new();
    if took > SLOW {
        complaints.push("an answer takes long".to_owned());
    }
    if stuck > STUCK_SECONDS {
        complaints.push(format!("a transaction has been open for {stuck:.0} s"));
    }
    if dead > DEAD_ROWS && dead > alive * DEAD_SHARE {
        complaints.push(format!("{dead} dead rows beside {alive} living ones"));
    }
    let told = format!(
        "an answer takes {:.1} ms, {:.1} MiB, {alive} rows and {dead} dead ones, {}",
        took.as_secs_f64() * 1_000.0,
        bytes / 1_048_576.0,
        slowest_statement(&session).await
    );
    if complaints.is_empty() {
        return Ok(Finding::pass(told));
    }
    Ok(Finding::warn(
        format!("{}; {told}", complaints.join("; ")),
        "look at pg_stat_activity, run VACUUM ANALYZE, and see that autovacuum is on",
    ))
}

/// What the statistics of statements say, where the server keeps them.
async fn slowest_statement(session: &Session) -> String {
    let slowest = "SELECT max(max_exec_time)::float8 FROM pg_stat_statements s \
                   JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = current_database()";
    match numbers(session, slowest).await {
        Ok([milliseconds]) => format!("the slowest statement took {milliseconds:.0} ms"),
        Err(_) => "no statistics of statements (pg_stat_statements)".to_owned(),
    }
}

/// Redis neither grows without end nor refuses what it is given once it is full.
pub(super) async fn redis_memory(subject: &Subject) -> Finding {
    let Some(url) = &subject.config().cache.redis_url else {
        return Finding::not_applicable("cache.redis_url is not set");
    };
    let url = match url.reveal() {
        Ok(url) => url,
        Err(error) => return Finding::fail(error.to_string(), "make the secret readable for figw"),
    };
    let seen = match cache::inspect(&url).await {
        Ok(seen) => seen,
        Err(error) => return Finding::warn(error, "see redis.answers"),
    };
    let remedy = "`redis-cli CONFIG SET maxmemory 256mb` and `CONFIG SET maxmemory-policy \
                  volatile-ttl`, and the same in redis.conf: all that figw keeps there has an end";
    let persistence = if seen.persists == Some(true) {
        "; it writes to disk, which figw does not need"
    } else {
        ""
    };
    match (seen.most_memory, seen.eviction.as_deref()) {
        (None, _) => Finding::warn("its memory has no limit (maxmemory)", remedy),
        (Some(_), Some("noeviction")) => {
            Finding::warn("once it is full it refuses writes (noeviction)", remedy)
        }
        (Some(most), policy) => Finding::pass(format!(
            "at most {} MiB, then {}{persistence}",
            most >> 20,
            policy.unwrap_or("it makes room")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    #[test]
    fn a_pooler_must_leave_transactions_whole() {
        for (mode, outcome) in [
            ("transaction", Outcome::Pass),
            ("session", Outcome::Warn),
            ("statement", Outcome::Fail),
        ] {
            assert_eq!(judge_mode(mode).outcome, outcome, "{mode}");
        }
    }
}
