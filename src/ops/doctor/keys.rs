//! API keys that are no longer needed are doors that nobody watches.

use std::sync::Arc;

use jiff::SignedDuration;

use super::{Finding, Subject};
use crate::store::Store;

/// A key that nobody has used for so long is not needed.
const UNUSED: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Names that one line shows.
const SHOWN: usize = 5;

pub(super) async fn check(subject: &Subject) -> Finding {
    let store: &Arc<dyn Store> = match subject.behind.store().await {
        Ok(store) => store,
        Err(finding) => return Finding::warn(finding.evidence, "see database.schema"),
    };
    let keys = match store.keys().await {
        Ok(keys) => keys,
        Err(error) => return Finding::warn(error.to_string(), "see database.schema"),
    };
    let valid: Vec<_> = keys.iter().filter(|key| key.is_valid(subject.now)).collect();
    let endless: Vec<_> = valid.iter().filter(|key| key.expires_at.is_none()).collect();
    let unused = valid.iter().filter(|key| {
        let last = key.last_used_at.unwrap_or(key.created_at);
        subject.now.duration_since(last) > UNUSED
    });
    let unused: Vec<_> = unused.collect();
    let mut complaints = Vec::new();
    for (word, keys) in [("never end", &endless), ("were not used for 90 days", &unused)] {
        if !keys.is_empty() {
            let names: Vec<_> = keys.iter().take(SHOWN).map(|key| key.name.as_str()).collect();
            let more = if keys.len() > SHOWN { ", …" } else { "" };
            complaints.push(format!("{} {word} ({}{more})", keys.len(), names.join(", ")));
        }
    }
    if complaints.is_empty() {
        return Finding::pass(format!("{} keys, each with an end, each in use", valid.len()));
    }
    Finding::warn(
        format!("of {} keys, {}", valid.len(), complaints.join(", ")),
        "`figw key revoke ID`, and give new ones an end: `figw key create --expires …`",
    )
}
