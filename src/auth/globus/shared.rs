//! Facts about tokens that the instances share through the cache, sealed with the registration's
//! secret.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{facts::Facts, rules::Rules};
use crate::{
    cache::{Cache, SealedCache},
    domain::KeyHash,
};

/// Changes with the form of the entries.
const FORM: &str = "login-1";

/// Facts and until when they may be gone by.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) facts: Facts,
    pub(super) fresh_until: Timestamp,
}

/// The shared facts.
pub(super) struct Shared {
    cache: SealedCache,
    /// Facts that were asked for in another name, or with other policies, are of no use here.
    scope: String,
}

impl Shared {
    pub(super) fn new(cache: Cache, id: &str, secret: SecretString, rules: &Rules) -> Self {
        let mut policies = rules.policies.clone();
        policies.sort_unstable();
        let scope = Sha256::digest(format!("{id} {}", policies.join(",")));
        let cache = SealedCache::new(cache, secret);
        Self { cache, scope: URL_SAFE_NO_PAD.encode(&scope[..12]) }
    }

    pub(super) async fn get(&self, token: &KeyHash, now: Timestamp) -> Option<Entry> {
        let entry: Entry = self.cache.get(&self.key(token)).await?;
        Some(entry).filter(|entry| now < entry.fresh_until)
    }

    pub(super) async fn put(&self, token: &KeyHash, entry: &Entry, now: Timestamp) {
        if let Ok(life) = Duration::try_from(entry.fresh_until.duration_since(now)) {
            self.cache.put(&self.key(token), entry, life).await;
        }
    }

    fn key(&self, token: &KeyHash) -> String {
        format!("{FORM}:{}:{}", self.scope, URL_SAFE_NO_PAD.encode(token.0))
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
