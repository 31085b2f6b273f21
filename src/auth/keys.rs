//! Making API keys. The text of a key exists only here and at its owner; figw keeps its hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::{ApiKey, KeyHash};

/// What every key starts with, so that people and leak scanners recognise one.
pub const PREFIX: &str = "figw_";

/// Random bytes in a key.
const RANDOM_BYTES: usize = 32;

/// What the operator decides about a new key.
#[derive(Debug, Clone, Default)]
pub struct KeyRequest {
    /// The operator's name for it.
    pub name: String,
    /// The user its requests are accounted to.
    pub user: String,
    /// Groups it brings.
    pub groups: Vec<String>,
    /// Models it is confined to; empty means all.
    pub models: Vec<String>,
    /// From when on it is refused.
    pub expires_at: Option<Timestamp>,
}

/// Makes a key: its text, to be shown this once, and what is kept of it.
///
/// # Errors
/// When the operating system has no random bytes to give.
pub fn generate(
    request: KeyRequest,
    now: Timestamp,
) -> Result<(Zeroizing<String>, ApiKey), getrandom::Error> {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    getrandom::fill(random.as_mut_slice())?;
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 43));
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
    let key = ApiKey {
        id: Uuid::now_v7(),
        hash: KeyHash::of(&text),
        name: request.name,
        user: request.user,
        groups: request.groups,
        models: request.models,
        created_at: as_stored(now),
        expires_at: request.expires_at.map(as_stored),
        revoked_at: None,
        last_used_at: None,
    };
    Ok((text, key))
}

/// The moment as the databases keep it, so that a key reads the same when it is made and later.
fn as_stored(moment: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(moment.as_microsecond()).unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_new_recognisable_and_found_by_its_hash() {
        let now = Timestamp::UNIX_EPOCH;
        let (first, kept) = generate(KeyRequest::default(), now).unwrap();
        let (second, _) = generate(KeyRequest::default(), now).unwrap();

        assert_ne!(*first, *second);
        assert!(first.starts_with("figw_"));
        assert_eq!(first.len(), 48);
        assert_eq!(kept.hash, KeyHash::of(&first));
        assert!(!format!("{kept:?}").contains(first.as_str()));
    }
}
