//! API keys: for people and services without another login.

use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// SHA-256 of a key's text. A key has 256 random bits, so no salt and no slow hash are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Hashes a key as the caller sent it.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// An API key as it is kept: everything but the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// Names the key in lists, rows and `key revoke`.
    pub id: Uuid,
    /// What finds it; never shown.
    #[serde(skip)]
    pub hash: KeyHash,
    /// The operator's name for it.
    pub name: String,
    /// The user its requests are accounted to.
    pub user: String,
    /// Groups it brings.
    pub groups: Vec<String>,
    /// Models it is confined to; empty means all.
    pub models: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
    /// Since when it is refused for good.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to within a minute.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// Whether it opens the door at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
