//! Short-lived state that instances share through Redis. Without Redis nothing is shared, and each
//! instance goes by what it keeps in its own memory.

use std::{sync::Arc, time::Duration};

use redis::{
    AsyncCommands, Client, ExistenceCheck, IntoConnectionInfo, RedisError, Script, SetExpiry,
    SetOptions,
    aio::{ConnectionManager, ConnectionManagerConfig},
    io::tcp::TcpSettings,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use super::Subscription;
use crate::domain::{Health, Trouble};

/// What every key of figw's starts with, so that others can use the same Redis.
pub(super) const PREFIX: &str = "figw:";

/// How long Redis may take for one answer. It is there to save time: what takes longer is done
/// without it.
pub const PATIENCE: Duration = Duration::from_millis(100);

/// How long connecting may take, in the background.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// How often it is made sure that Redis is there.
const WATCH: Duration = Duration::from_secs(1);

/// The same while it is not: a lost connection is only made again for a command.
const WATCH_CLOSELY: Duration = Duration::from_millis(200);

/// State that instances share. Cloning shares the connection.
#[derive(Clone, Default)]
pub struct Cache {
    redis: Option<Arc<Redis>>,
}

pub(super) struct Redis {
    pub(super) client: Client,
    connection: ConnectionManager,
    health: Health,
    /// Whether what others publish is heard; all is well where nobody wants to hear it.
    hearing: Health,
}

/// Why Redis cannot be used at all.
#[derive(Debug, thiserror::Error)]
#[error("cache.redis_url: {0}")]
pub struct CacheError(String);

impl Cache {
    /// A cache in the Redis at `url`. Connects in the background, and again whenever the connection
    /// is lost.
    ///
    /// # Errors
    /// When the URL cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime, which carries the connection.
    pub fn connect(url: &SecretString) -> Result<Self, CacheError> {
        let wrong = |error: RedisError| CacheError(error.to_string());
        // Without a limit, a connection whose other end has vanished is waited for a quarter of an hour.
        let tcp = TcpSettings::default().set_nodelay(true).set_user_timeout(CONNECT);
        let server = url.expose_secret().into_connection_info().map_err(wrong)?;
        let client = Client::open(server.set_tcp_settings(tcp)).map_err(wrong)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(PATIENCE))
            // Whoever asks next tries again; waiting here would only put off the return of Redis.
            .set_number_of_retries(0);
        let connection =
            ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(wrong)?;
        let (health, hearing) = Default::default();
        Ok(Self { redis: Some(Arc::new(Redis { client, connection, health, hearing })) })
    }

    /// Whether anything is shared.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        self.redis.is_some()
    }

    /// Why nothing can be shared at present; `None` while Redis answers.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        let redis = self.redis.as_ref()?;
        redis.health.trouble().or_else(|| redis.hearing.trouble())
    }

    /// Takes `key` for `life` if nobody has it, and says whether that was so; `None` when Redis did not
    /// say.
    pub async fn claim(&self, key: &str, life: Duration) -> Option<bool> {
        let redis = self.redis.as_ref()?;
        let mut connection = redis.connection.clone();
        let milliseconds = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        let options = SetOptions::default()
            .conditional_set(ExistenceCheck::NX)
            .with_expiration(SetExpiry::PX(milliseconds));
        let claim = connection.set_options(format!("{PREFIX}{key}"), "", options);
        let claimed: Option<String> = redis.within_patience(claim).await?;
        Some(claimed.is_some())
    }

    /// Gives `key` up.
    pub async fn release(&self, key: &str) {
        let Some(redis) = &self.redis else { return };
        let mut connection = redis.connection.clone();
        redis.within_patience(connection.del::<_, ()>(format!("{PREFIX}{key}"))).await;
    }

    /// Sends a message to all who hear `channel` now, and returns how many do; `None` when Redis did
    /// not say.
    pub async fn publish(&self, channel: &str, message: &[u8]) -> Option<u64> {
        let redis = self.redis.as_ref()?;
        let mut connection = redis.connection.clone();
        redis.within_patience(connection.publish(format!("{PREFIX}{channel}"), message)).await
    }

    /// What is published to `channel`; `None` without Redis.
    #[must_use]
    pub fn subscribe(&self, channel: &str) -> Option<Subscription> {
        let redis = self.redis.as_ref()?;
        Some(Subscription::new(Arc::clone(redis), format!("{PREFIX}{channel}")))
    }

    /// What was put under `key`. Whatever goes wrong with Redis, there is just nothing.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let redis = self.redis.as_ref()?;
        let mut connection = redis.connection.clone();
        let key = format!("{PREFIX}{key}");
        let found: Option<Vec<u8>> = redis.within_patience(connection.get(&key)).await?;
        serde_json::from_slice(&found?)
            .inspect_err(|error| tracing::debug!(%error, "an entry in Redis is not figw's"))
            .ok()
    }

    /// Puts `value` under `key` for `life`, if Redis takes it.
    pub async fn put(&self, key: &str, value: &(impl Serialize + Sync), life: Duration) {
        let Some(redis) = &self.redis else { return };
        let Ok(text) = serde_json::to_vec(value) else { return };
        let milliseconds = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut connection = redis.connection.clone();
        let key = format!("{PREFIX}{key}");
        let put = connection.pset_ex::<_, _, ()>(&key, text, milliseconds);
        redis.within_patience(put).await;
    }

    /// Lets Redis run `script` in one step, and reads the numbers that it answers. `None` whatever goes
    /// wrong: then the script may have run all the same.
    pub async fn run(&self, script: &Script, keys: &[&str], args: &[String]) -> Option<Vec<i64>> {
        let redis = self.redis.as_ref()?;
        let mut connection = redis.connection.clone();
        let mut call = script.prepare_invoke();
        for key in keys {
            call.key(format!("{PREFIX}{key}"));
        }
        for arg in args {
            call.arg(arg);
        }
        redis.within_patience(call.invoke_async(&mut connection)).await
    }

    /// Looks every second whether Redis takes what it is given, and more often while it does not, so
    /// that [`Self::trouble`] is up to date. Runs for as long as it is polled.
    pub async fn watch(self) {
        let Some(redis) = self.redis else { return };
        loop {
            let mut connection = redis.connection.clone();
            // A Redis that is full or read-only answers everything else.
            let written = connection.set_ex::<_, _, ()>(format!("{PREFIX}watch"), "", 10);
            if redis.within_patience(written).await.is_some() && redis.health.recovered() {
                tracing::info!("Redis can be used again");
            }
            redis.gauge();
            tokio::time::sleep(if redis.is_well() { WATCH } else { WATCH_CLOSELY }).await;
        }
    }
}

impl Redis {
    async fn within_patience<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Option<T> {
        let error = match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", PATIENCE.as_millis()),
        };
        metrics::counter!("figw_cache_errors_total").increment(1);
        if self.health.failed(&error) {
            self.gauge();
            tracing::warn!(error, "Redis cannot be used; this instance goes by its own memory");
        }
        None
    }
}

impl Redis {
    /// Notes that a subscription has begun.
    pub(super) fn is_heard(&self) {
        if self.hearing.recovered() {
            self.gauge();
            tracing::info!("messages of other instances are heard again");
        }
    }

    fn is_well(&self) -> bool {
        self.health.trouble().is_none() && self.hearing.trouble().is_none()
    }

    fn gauge(&self) {
        metrics::gauge!("figw_cache_up").set(if self.is_well() { 1.0 } else { 0.0 });
    }

    /// Notes that one has ended, or could not begin.
    pub(super) fn not_heard(&self, error: &str) {
        metrics::counter!("figw_cache_errors_total").increment(1);
        if self.hearing.failed(error) {
            self.gauge();
            tracing::warn!(error, "messages of other instances cannot be heard through Redis");
        }
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("shared", &self.is_shared()).finish_non_exhaustive()
    }
}
