//! Whether something figw depends on is well.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

/// What is wrong with something figw depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When it was first seen.
    pub since: Timestamp,
    /// What was seen last; nothing secret.
    pub error: String,
}

/// Remembers whether something is well, from one use of it to the next.
#[derive(Debug, Default)]
pub struct Health(ArcSwapOption<Trouble>);

impl Health {
    /// What is wrong; `None` while all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.0.load_full()
    }

    /// Notes a failure. True when it is the first since all was well.
    pub fn failed(&self, error: &str) -> bool {
        let known = self.trouble();
        let since = known.as_ref().map_or_else(Timestamp::now, |trouble| trouble.since);
        self.0.store(Some(Arc::new(Trouble { since, error: error.to_owned() })));
        known.is_none()
    }

    /// Notes that all is well. True when it was not before.
    pub fn recovered(&self) -> bool {
        self.0.load().is_some() && self.0.swap(None).is_some()
    }
}
