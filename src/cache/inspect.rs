//! A look at Redis from outside the gateway: for checks, which want to know more than that it answers.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use redis::{Client, FromRedisValue, InfoDict, RedisError, aio::MultiplexedConnection};
use secrecy::{ExposeSecret, SecretString};

use super::shared::{CONNECT, PREFIX};

/// How long the whole look may take.
const LONGEST: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// How long an answer took.
    pub round_trip: Duration,
    /// Its clock, at the moment of the answer's half.
    pub ahead: SignedDuration,
    /// What it holds, in bytes.
    pub used_memory: Option<u64>,
    /// The most that it may hold, in bytes; none when that is not limited.
    pub most_memory: Option<u64>,
    /// What it does when it is full (`noeviction`, `allkeys-lru` …).
    pub eviction: Option<String>,
    /// Whether it keeps what it holds when it is restarted; none when it does not say.
    pub persists: Option<bool>,
}

/// Looks at the Redis at `url`: it must answer, and take a write.
///
/// # Errors
/// What is wrong, without the URL's password.
pub async fn inspect(url: &SecretString) -> Result<Inspection, String> {
    let looked = tokio::time::timeout(LONGEST, look(url)).await;
    let limit = || Err(format!("no answer within {} s", LONGEST.as_secs()));
    looked.map_or_else(|_| limit(), |looked| looked.map_err(|error| error.to_string()))
}

async fn look(url: &SecretString) -> Result<Inspection, RedisError> {
    let client = Client::open(url.expose_secret())?;
    let config = redis::AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    // A Redis that is full or read-only answers everything else.
    let key = format!("{PREFIX}health");
    redis::cmd("SET").arg(key).arg("").arg("EX").arg(10).exec_async(&mut connection).await?;
    let (begun, sent) = (Instant::now(), Timestamp::now());
    let (seconds, micros): (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await?;
    let round_trip = begun.elapsed();
    let told = SignedDuration::from_secs(seconds) + SignedDuration::from_micros(micros);
    let half = SignedDuration::try_from(round_trip / 2).unwrap_or_default();
    let info: InfoDict = redis::cmd("INFO").query_async(&mut connection).await?;
    let most_memory = info.get::<u64>("maxmemory").filter(|most| *most > 0);
    Ok(Inspection {
        round_trip,
        ahead: told - sent.as_duration() - half,
        used_memory: info.get("used_memory"),
        most_memory,
        eviction: info.get("maxmemory_policy"),
        persists: persists(&mut connection, &info).await,
    })
}

/// Some services allow no `CONFIG`.
async fn persists(connection: &mut MultiplexedConnection, info: &InfoDict) -> Option<bool> {
    if info.get::<u8>("aof_enabled") == Some(1) {
        return Some(true);
    }
    let mut asked = redis::cmd("CONFIG");
    let asked = asked.arg("GET").arg("save");
    let answer: redis::Value = asked.query_async(connection).await.ok()?;
    let (_, rules) = <Vec<(String, String)>>::from_redis_value(answer).ok()?.into_iter().next()?;
    Some(!rules.is_empty())
}
