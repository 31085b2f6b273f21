//! Clusters, endpoints, federations and keys as one immutable view, swapped when the store changes.

pub mod edits;
pub mod fixtures;
mod rules;
pub mod snapshot;
pub mod watch;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use jiff::Timestamp;

pub use rules::{Fault, Kind};
pub use snapshot::{Federated, FederatedTarget, KeyRefusal, Served, Snapshot};

/// The catalogue of a running gateway: the newest [`Snapshot`], and whether it is kept up to date.
#[derive(Debug)]
pub struct Catalog {
    current: ArcSwap<Snapshot>,
    trouble: ArcSwapOption<Trouble>,
}

/// Why the snapshot may be out of date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// When the store first failed to answer.
    pub since: Timestamp,
    /// What it said last.
    pub error: String,
}

impl Catalog {
    /// Starts with `snapshot`.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self { current: ArcSwap::from_pointee(snapshot), trouble: ArcSwapOption::empty() }
    }

    /// The newest snapshot, for the length of one short task; costs no reference count.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The newest snapshot, to be kept across `await` points.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts a newer snapshot in place; requests under way keep theirs.
    pub fn replace(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }

    /// Why the snapshot may be out of date; `None` while the store answers.
    #[must_use]
    pub fn trouble(&self) -> Option<Arc<Trouble>> {
        self.trouble.load_full()
    }
}
