//! Values in Redis that nobody can make up.
//!
//! Whoever can write to Redis must not be able to let themselves in, or to take an endpoint away. So
//! every value carries an authentication code that only holders of a secret can make. It covers the
//! key, too: a value cannot be moved to another key. What is to end by itself says so in its value.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::Sha256;

use super::Cache;

/// A cache for holders of one secret.
#[derive(Clone)]
pub struct SealedCache {
    cache: Cache,
    secret: SecretString,
}

/// A value as it is kept.
#[derive(Serialize, Deserialize)]
struct Sealed {
    entry: String,
    code: String,
}

impl SealedCache {
    /// What holders of `secret` keep in `cache`.
    #[must_use]
    pub const fn new(cache: Cache, secret: SecretString) -> Self {
        Self { cache, secret }
    }

    /// The cache itself.
    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// What a holder of the secret has put under `key`; whatever else is there is nothing.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let sealed: Sealed = self.cache.get(key).await?;
        let value = self.open(key, &sealed);
        if value.is_none() {
            tracing::warn!("an entry in Redis was not written by an instance with this secret");
        }
        value
    }

    /// Puts `value` under `key` for `life`, if Redis takes it.
    pub async fn put(&self, key: &str, value: &(impl Serialize + Sync), life: Duration) {
        if !self.cache.is_shared() {
            return;
        }
        if let Some(sealed) = self.seal(key, value) {
            self.cache.put(key, &sealed, life).await;
        }
    }

    fn seal(&self, key: &str, value: &impl Serialize) -> Option<Sealed> {
        let entry = serde_json::to_string(value).ok()?;
        let code = self.code(key, &entry)?.finalize().into_bytes();
        Some(Sealed { entry, code: URL_SAFE_NO_PAD.encode(code) })
    }

    fn open<T: DeserializeOwned>(&self, key: &str, sealed: &Sealed) -> Option<T> {
        let code = URL_SAFE_NO_PAD.decode(&sealed.code).ok()?;
        self.code(key, &sealed.entry)?.verify_slice(&code).ok()?;
        serde_json::from_str(&sealed.entry).ok()
    }

    fn code(&self, key: &str, entry: &str) -> Option<Hmac<Sha256>> {
        let mut code = Hmac::new_from_slice(self.secret.expose_secret().as_bytes()).ok()?;
        // No key has a line break, so the two cannot run into each other.
        code.update(key.as_bytes());
        code.update(b"\n");
        code.update(entry.as_bytes());
        Some(code)
    }
}

impl std::fmt::Debug for SealedCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealedCache").field("cache", &self.cache).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(secret: &str) -> SealedCache {
        SealedCache::new(Cache::default(), secret.into())
    }

    #[test]
    fn a_value_opens_under_its_own_key_and_secret_only() {
        let here = sealed("secret");
        let value = "a member of the group".to_owned();
        let kept = here.seal("one", &value).unwrap();

        assert_eq!(here.open("one", &kept), Some(value.clone()));
        assert_eq!(sealed("secret").open("one", &kept), Some(value));
        assert_eq!(here.open::<String>("two", &kept), None);
        assert_eq!(sealed("another").open::<String>("one", &kept), None);

        let forged = Sealed { entry: kept.entry.replace("member", "admin"), ..kept };
        assert_eq!(here.open::<String>("one", &forged), None);
    }
}
