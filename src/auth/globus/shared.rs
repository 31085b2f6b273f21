//! Facts about tokens that the instances share through the cache.
//!
//! Whoever can write to Redis must not be able to let themselves in, so every entry carries an
//! authentication code that only holders of the registration's secret can make. It covers the key,
//! too: an entry cannot be moved to another token, and it ends by itself.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{facts::Facts, rules::Rules};
use crate::{cache::Cache, domain::KeyHash};

/// Changes with the form of the entries.
const FORM: &str = "login-1";

/// Facts and until when they may be gone by.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) facts: Facts,
    pub(super) fresh_until: Timestamp,
}

/// An [`Entry`] as it is kept.
#[derive(Serialize, Deserialize)]
struct Sealed {
    entry: String,
    code: String,
}

/// The shared facts.
pub(super) struct Shared {
    cache: Cache,
    secret: SecretString,
    /// Facts that were asked for in another name, or with other policies, are of no use here.
    scope: String,
}

impl Shared {
    pub(super) fn new(cache: Cache, id: &str, secret: SecretString, rules: &Rules) -> Self {
        let mut policies = rules.policies.clone();
        policies.sort_unstable();
        let scope = Sha256::digest(format!("{id} {}", policies.join(",")));
        Self { cache, secret, scope: URL_SAFE_NO_PAD.encode(&scope[..12]) }
    }

    pub(super) async fn get(&self, token: &KeyHash, now: Timestamp) -> Option<Entry> {
        let key = self.key(token);
        let sealed: Sealed = self.cache.get(&key).await?;
        let entry = self.open(&key, &sealed);
        if entry.is_none() {
            tracing::warn!("a login in Redis was not written by an instance with this secret");
        }
        entry.filter(|entry| now < entry.fresh_until)
    }

    pub(super) async fn put(&self, token: &KeyHash, entry: &Entry, now: Timestamp) {
        let life = Duration::try_from(entry.fresh_until.duration_since(now));
        let (true, Ok(life)) = (self.cache.is_shared(), life) else { return };
        let key = self.key(token);
        if let Some(sealed) = self.seal(&key, entry) {
            self.cache.put(&key, &sealed, life).await;
        }
    }

    fn key(&self, token: &KeyHash) -> String {
        format!("{FORM}:{}:{}", self.scope, URL_SAFE_NO_PAD.encode(token.0))
    }

    fn seal(&self, key: &str, entry: &Entry) -> Option<Sealed> {
        let entry = serde_json::to_string(entry).ok()?;
        let code = self.code(key, &entry)?.finalize().into_bytes();
        Some(Sealed { entry, code: URL_SAFE_NO_PAD.encode(code) })
    }

    fn open(&self, key: &str, sealed: &Sealed) -> Option<Entry> {
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

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// The moment `life` from `now`, but not after `end`.
pub(super) fn at_most(now: Timestamp, life: Duration, end: Timestamp) -> Timestamp {
    let life = SignedDuration::try_from(life).unwrap_or(SignedDuration::MAX);
    now.checked_add(life).map_or(end, |then| then.min(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::globus::Introspection;

    fn shared(secret: &str) -> Shared {
        Shared::new(Cache::default(), "app", secret.into(), &Rules::default())
    }

    fn entry() -> Entry {
        let introspection = Introspection { active: true, ..Introspection::default() };
        let facts = Facts::of(introspection, &["group"]);
        Entry { facts, fresh_until: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn an_entry_opens_under_its_own_key_and_secret_only() {
        let here = shared("secret");
        let (one, two) = (here.key(&KeyHash::of("one")), here.key(&KeyHash::of("two")));
        let sealed = here.seal(&one, &entry()).unwrap();

        assert_eq!(here.open(&one, &sealed), Some(entry()));
        assert_eq!(shared("secret").open(&one, &sealed), Some(entry()));
        assert_eq!(here.open(&two, &sealed), None);
        assert_eq!(shared("another").open(&one, &sealed), None);

        let forged = Sealed { entry: sealed.entry.replace("group", "admin"), ..sealed };
        assert_eq!(here.open(&one, &forged), None);
    }

    #[test]
    fn another_registration_or_other_policies_have_entries_of_their_own() {
        let token = KeyHash::of("one");
        let rules = Rules { policies: vec!["p".into()], ..Rules::default() };
        let with = |id, rules| Shared::new(Cache::default(), id, "secret".into(), rules);
        let keys = [
            with("app", &Rules::default()).key(&token),
            with("other", &Rules::default()).key(&token),
            with("app", &rules).key(&token),
        ];
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
    }
}
